package journal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"chaos/internal/trace"
)

// maxFollowed is how many log lines of one trace are read.
const maxFollowed = 10_000

// Follow reads the log lines of a run, of any level, that bear a trace id. Lines that are no JSON are given
// as they are.
func Follow(dir string, id trace.ID) (lines []trace.Line, err error) {
	entries, err := os.ReadDir(filepath.Join(dir, DirLogs))
	if err != nil && !os.IsNotExist(err) {
		return nil, fmt.Errorf("reading the logs: %w", err)
	}
	want := []byte(id.String())
	for _, e := range entries {
		node, ok := strings.CutSuffix(e.Name(), ".log")
		if !ok {
			continue
		}
		f, size, err := openPart(dir, filepath.Join(DirLogs, e.Name()))
		if err != nil || f == nil {
			return lines, err
		}
		eachLine(io.LimitReader(f, size), func(line []byte, _ int, _ bool) bool {
			if bytes.Contains(line, want) {
				lines = append(lines, followed(node, line))
			}
			return len(lines) < maxFollowed
		})
		if err := f.Close(); err != nil {
			return lines, fmt.Errorf("reading the logs: %w", err)
		}
	}
	return lines, nil
}

// followed reads one line: when, how loud, by which span, and the rest as text.
func followed(node string, line []byte) trace.Line {
	l := trace.Line{Node: node, Text: string(line)}
	var fields map[string]any
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	if d.Decode(&fields) != nil {
		return l
	}
	take := func(names ...string) string {
		for _, name := range names {
			if v, ok := fields[name]; ok {
				delete(fields, name)
				return fmt.Sprint(v)
			}
		}
		return ""
	}
	l.At = wallOf(take("ts", "time", "timestamp"))
	l.Level = strings.ToUpper(take("level", "severity"))
	l.Loud = isLoud(l.Level)
	l.Text = take("msg", "message")
	l.Span = spanOf(take("span_id"))
	take("trace_id")
	take("service")
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if text := fmt.Sprint(fields[name]); text != "" {
			l.Text += fmt.Sprintf(" %s=%s", name, text)
		}
	}
	return l
}

// wallOf reads the time of a log line; zero when it is not RFC 3339.
func wallOf(text string) int64 {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return 0
	}
	return t.UnixNano()
}

func spanOf(text string) (id trace.SpanID) {
	if len(text) == 2*len(id) {
		_ = id.UnmarshalText([]byte(text)) // what is no span id stays zero
	}
	return id
}

// Line is a log line as a trace's story shows it.
func (l LogLine) Line() trace.Line {
	text := l.Msg
	if l.Reason != "" {
		text += " reason=" + string(l.Reason)
	}
	at := wallOf(string(l.TS))
	if at == 0 {
		at = wallOf(string(l.Time))
	}
	return trace.Line{At: at, Span: spanOf(string(l.Span)), Node: l.Node, Level: strings.ToUpper(l.Level), Text: text, Loud: true}
}
