package journal

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
)

// LogSchema is what the lines of some nodes' logs must hold.
type LogSchema struct {
	Nodes    []string `json:"nodes"`
	Required []string `json:"required"`
	Traced   []string `json:"traced,omitempty"` // of lines with a trace_id
}

// maxViolations is how many offending lines of a node are kept, of maxViolation bytes each.
const (
	maxViolations = 5
	maxViolation  = 300
)

// LogLint is what the lint found in one node's log.
type LogLint struct {
	Lines      int         `json:"lines"`
	Violations int         `json:"violations"` // lines that break the schema, each counted once
	First      []Violation `json:"first,omitempty"`
}

// Violation is one offending line.
type Violation struct {
	Line int    `json:"line"`
	Why  string `json:"why"`
	Text string `json:"text"`
}

func unmarshal(raw []byte, into any) bool { return len(raw) > 0 && json.Unmarshal(raw, into) == nil }

// traceText is how a trace id is written in a log.
var traceText = regexp.MustCompile(`^"[0-9a-f]{32}"$`)

// take holds one line against the schema. The last line may be cut by the end of the run: it is no violation.
func (l *LogLint) take(s *LogSchema, line []byte, whole bool) {
	if !whole || len(strings.TrimSpace(string(line))) == 0 {
		return
	}
	l.Lines++
	why := s.breach(line)
	if why == "" {
		return
	}
	l.Violations++
	if len(l.First) < maxViolations {
		text := string(line)
		if len(text) > maxViolation {
			text = strings.ToValidUTF8(text[:maxViolation], "") + "…"
		}
		l.First = append(l.First, Violation{Line: l.Lines, Why: why, Text: text})
	}
}

// breach says in what way a line breaks the schema; empty when it doesn't.
func (s *LogSchema) breach(line []byte) string {
	var fields map[string]json.RawMessage
	if json.Unmarshal(line, &fields) != nil {
		return "it is no JSON object"
	}
	for _, name := range s.Required {
		if blank(fields[name]) {
			return fmt.Sprintf("field %q is missing", name)
		}
	}
	id := fields["trace_id"]
	if blank(id) {
		return ""
	}
	if !traceText.Match(id) {
		return "trace_id is not 32 lower-case hex digits"
	}
	for _, name := range s.Traced {
		if blank(fields[name]) {
			return fmt.Sprintf("field %q is missing, and the line has a trace_id", name)
		}
	}
	return ""
}

func blank(v json.RawMessage) bool { return len(v) == 0 || string(v) == "null" || string(v) == `""` }
