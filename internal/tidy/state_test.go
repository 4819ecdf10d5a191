package tidy

import (
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// noInit: nothing happens because a package was imported.
func noInit(all []source) (bad []string) {
	for _, s := range all {
		for _, d := range s.tree.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Name.Name == "init" && f.Recv == nil {
				bad = append(bad, s.at(f)+": no init functions")
			}
		}
	}
	return bad
}

// linked are variables that only the linker sets.
func linked() []string { return []string{"cmd/chaos version", "targets/payments/cmd/paysys version"} }

// noState: package-level variables are constants that Go can't spell: errors, compiled patterns and
// templates, tables, embedded files, interface checks. They have a value and nothing changes it.
func noState(all []source) (bad []string) {
	changed := changes(all)
	for _, s := range all {
		if s.test() {
			continue
		}
		for _, d := range s.tree.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR {
				continue
			}
			for _, spec := range g.Specs {
				v := spec.(*ast.ValueSpec)
				for _, name := range v.Names {
					key := s.pkg() + " " + name.Name
					switch {
					case name.Name == "_" || slices.Contains(linked(), key) || embedded(g, v):
					case len(v.Values) == 0:
						bad = append(bad, fmt.Sprintf("%s: package-level variable %s has no value: it is state", s.at(v), name.Name))
					case changed[key] != "":
						bad = append(bad, fmt.Sprintf("%s: package-level variable %s is changed at %s", s.at(v), name.Name, changed[key]))
					}
				}
			}
		}
	}
	return bad
}

func embedded(g *ast.GenDecl, v *ast.ValueSpec) bool {
	for _, doc := range []*ast.CommentGroup{g.Doc, v.Doc} {
		if doc != nil && slices.ContainsFunc(doc.List, func(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "//go:embed ") }) {
			return true
		}
	}
	return false
}

// changes maps "package name" to where a name of the package's scope is assigned to, counted up or
// deleted from. Names that a function declares itself hide the package's.
func changes(all []source) map[string]string {
	found := map[string]string{}
	for _, s := range all {
		if s.test() {
			continue
		}
		for _, d := range s.tree.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Body == nil {
				continue
			}
			local := locals(f)
			note := func(e ast.Expr) {
				if name := root(e); name != "" && !local[name] {
					found[s.pkg()+" "+name] = s.at(e)
				}
			}
			ast.Inspect(f.Body, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.AssignStmt:
					if n.Tok != token.DEFINE {
						for _, e := range n.Lhs {
							note(e)
						}
					}
				case *ast.IncDecStmt:
					note(n.X)
				case *ast.CallExpr:
					if id, ok := n.Fun.(*ast.Ident); ok && (id.Name == "delete" || id.Name == "clear") && len(n.Args) > 0 {
						note(n.Args[0])
					}
				}
				return true
			})
		}
	}
	return found
}

// root is the variable that an expression changes: x of x.f[i].
func root(e ast.Expr) string {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x.Name
		case *ast.SelectorExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		default:
			return ""
		}
	}
}

// locals are the names that a function declares anywhere: receiver, parameters, results, variables.
func locals(f *ast.FuncDecl) map[string]bool {
	names := map[string]bool{}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Field:
			for _, id := range n.Names {
				names[id.Name] = true
			}
		case *ast.AssignStmt:
			if n.Tok == token.DEFINE {
				for _, e := range n.Lhs {
					if id, ok := e.(*ast.Ident); ok {
						names[id.Name] = true
					}
				}
			}
		case *ast.ValueSpec:
			for _, id := range n.Names {
				names[id.Name] = true
			}
		case *ast.RangeStmt:
			for _, e := range []ast.Expr{n.Key, n.Value} {
				if id, ok := e.(*ast.Ident); ok && n.Tok == token.DEFINE {
					names[id.Name] = true
				}
			}
		}
		return true
	})
	return names
}
