package tidy

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// module is the module's path.
const module = "chaos"

// source is one Go file, parsed.
type source struct {
	path  string // from the repository's root, with slashes
	text  string
	fset  *token.FileSet
	tree  *ast.File
	lines int
}

func (s source) test() bool  { return strings.HasSuffix(s.path, "_test.go") }
func (s source) pkg() string { return path.Dir(s.path) }

// at is file:line of a node.
func (s source) at(n ast.Node) string {
	return fmt.Sprintf("%s:%d", s.path, s.fset.Position(n.Pos()).Line)
}

// imports are the paths that the file imports.
func (s source) imports() map[string]*ast.ImportSpec {
	found := map[string]*ast.ImportSpec{}
	for _, i := range s.tree.Imports {
		if p, err := strconv.Unquote(i.Path.Value); err == nil {
			found[p] = i
		}
	}
	return found
}

// named is the name under which the file uses an import; "" when it does not import it.
func (s source) named(importPath string) string {
	i, ok := s.imports()[importPath]
	switch {
	case !ok:
		return ""
	case i.Name != nil:
		return i.Name.Name
	case importPath == "math/rand/v2":
		return "rand"
	}
	return path.Base(importPath)
}

func parse(t testing.TB, name, text string) source {
	t.Helper()
	fset := token.NewFileSet()
	tree, err := parser.ParseFile(fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return source{path: name, text: text, fset: fset, tree: tree, lines: strings.Count(text, "\n")}
}

// repository is every Go file of it.
func repository(t testing.TB) []source {
	t.Helper()
	root := filepath.Join("..", "..")
	var all []source
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			switch name := d.Name(); {
			case name == "testdata", name == "bin", name == "reports", strings.HasPrefix(name, ".") && p != root:
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(p) != ".go" {
			return nil
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		text, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		all = append(all, parse(t, filepath.ToSlash(rel), string(text)))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 50 {
		t.Fatalf("only %d Go files were found: the rules were held against nothing", len(all))
	}
	return all
}
