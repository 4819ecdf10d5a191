package spec

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Limits on what is read. A file beyond them was not written by a person.
const (
	maxBytes = 1 << 20 // of one file
	maxDepth = 32      // of nested collections
)

// source is a file with its lines, for snippets.
type source struct {
	file  string
	lines []string
}

// Read returns the file's content, refusing one that is larger than maxBytes before reading it all.
func Read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, &Error{File: path, Msg: "can't be read", Hint: plain(err), Err: err}
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	if err != nil {
		return nil, &Error{File: path, Msg: "can't be read", Hint: plain(err), Err: err}
	}
	return data, nil
}

// plain is the cause of a file error without the path, which the message already has.
func plain(err error) string {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

// parse reads one YAML document into our own tree.
//
//	bytes ─size, UTF-8─▶ tokens ─depth─▶ goccy AST ─no anchors, tags, duplicates─▶ value tree ─▶ Node
//
// It never panics: the YAML library is third-party code on hostile input. An error may come with a
// node, so that the caller can report what else is wrong.
func parse(file string, data []byte) (n Node, err error) {
	src := &source{file: file}
	if len(data) > maxBytes {
		return n, Errors{{File: file, Msg: fmt.Sprintf("is larger than %d bytes", maxBytes)}}
	}
	src.lines = strings.Split(strings.ReplaceAll(string(data), "\r\n", "\n"), "\n")
	if !utf8.Valid(data) {
		return n, Errors{src.fail(invalidLine(src.lines), 1, "is not UTF-8 text")}
	}
	defer func() {
		if r := recover(); r != nil {
			n, err = Node{}, Errors{{File: file, Msg: fmt.Sprintf("is not YAML: the parser failed: %v", r)}}
		}
	}()
	tokens := lexer.Tokenize(string(data))
	if tk := tooDeep(tokens); tk != nil {
		return n, Errors{src.fail(tk.Position.Line, tk.Position.Column, "is nested deeper than %d levels", maxDepth)}
	}
	tree, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return n, Errors{src.syntax(err)}
	}
	b := builder{src: src}
	return Node{src: src, val: b.document(tree)}, b.errs.Err()
}

// tooDeep finds the token that nests too deep, before a recursive parser meets it. Each nested
// collection needs an opening bracket, or a dash or ? or colon on the same line, or more indentation.
func tooDeep(tokens token.Tokens) *token.Token {
	flow, inline, line := 0, 0, 0
	for _, tk := range tokens {
		if tk.Position.Line != line {
			line, inline = tk.Position.Line, 0
		}
		switch tk.Type {
		case token.SequenceStartType, token.MappingStartType:
			flow++
		case token.SequenceEndType, token.MappingEndType:
			flow--
		case token.SequenceEntryType, token.MappingKeyType, token.AnchorType, token.TagType:
			inline++
		}
		if flow > maxDepth || inline > maxDepth || tk.Position.Column > maxColumn {
			return tk
		}
	}
	return nil
}

// maxColumn bounds nesting by indentation: a level takes a column at least.
const maxColumn = 4096

// syntax turns the YAML library's error into ours.
func (s *source) syntax(err error) *Error {
	var at yaml.Error
	if errors.As(err, &at) && at.GetToken() != nil && at.GetToken().Position != nil {
		p := at.GetToken().Position
		return s.fail(p.Line, p.Column, "is not YAML: %s", at.GetMessage())
	}
	return &Error{File: s.file, Msg: fmt.Sprintf("is not YAML: %v", err), Err: err}
}

// fail is an error at a place of the file, with its snippet.
func (s *source) fail(line, col int, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{File: s.file, Line: line, Col: col, Msg: err.Error(), Err: errors.Unwrap(err), Snippet: s.snippet(line, col)}
}

// snippet shows the line before and the line itself with a caret under the column.
func (s *source) snippet(line, col int) string {
	if line < 1 || line > len(s.lines) {
		return ""
	}
	var b strings.Builder
	if line > 1 {
		fmt.Fprintf(&b, "  %4d | %s\n", line-1, clip(s.lines[line-2]))
	}
	fmt.Fprintf(&b, "> %4d | %s\n", line, clip(s.lines[line-1]))
	fmt.Fprintf(&b, "       | %s^", strings.Repeat(" ", min(max(col-1, 0), maxLine)))
	return b.String()
}

// maxLine is how much of a long line a snippet shows.
const maxLine = 160

func clip(line string) string {
	// Tabs would misplace the caret; control characters would drive the reader's terminal.
	clean := strings.Map(func(r rune) rune {
		if r == '\t' {
			return ' '
		}
		if r < ' ' || r == 0x7f {
			return '�'
		}
		return r
	}, line)
	if runes := []rune(clean); len(runes) > maxLine {
		return string(runes[:maxLine]) + "…"
	}
	return clean
}

func invalidLine(lines []string) int {
	for i, l := range lines {
		if !utf8.ValidString(l) {
			return i + 1
		}
	}
	return 1
}
