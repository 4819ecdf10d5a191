package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	maxLogLines = 200_000  // lines of WARN and above that are kept, over all nodes
	maxLogBytes = 64 << 20 // bytes of kept text
	maxLogFiles = 1_000
)

// loud are the levels that are kept, upper case; slog writes ERROR+4 for what is above ERROR.
var loud = [...]string{"WARN", "ERR", "FATAL", "PANIC", "CRIT", "DPANIC", "ALERT", "EMERG"}

func isLoud(level string) bool {
	level = strings.ToUpper(level)
	for _, l := range loud {
		if strings.HasPrefix(level, l) {
			return true
		}
	}
	return false
}

// maybeLoud spares most lines the JSON decoder: a line at WARN or above has such a word in it.
func maybeLoud(line []byte) bool {
	for _, l := range loud {
		if bytes.Contains(line, []byte(l)) || bytes.Contains(line, []byte(strings.ToLower(l))) ||
			bytes.Contains(line, []byte(l[:1]+strings.ToLower(l[1:]))) {
			return true
		}
	}
	return false
}

// readLogs keeps, of each node's log, who said what at WARN or above about which trace. Lines that
// are no JSON are no damage: a node logs as it likes.
//
// The lines of the nodes that schema names are held against it.
func readLogs(dir string, schema *LogSchema, d *damage) ([]LogLine, map[string]LogLint, error) {
	entries, err := os.ReadDir(filepath.Join(dir, DirLogs))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil, nil
	} else if err != nil {
		return nil, nil, fmt.Errorf("reading the logs: %w", err)
	}
	if len(entries) > maxLogFiles {
		d.add("%s: more than %d files: the rest was not read", DirLogs, maxLogFiles)
		entries = entries[:maxLogFiles]
	}
	k := logKeeper{schema: schema, lint: make(map[string]LogLint)}
	for _, e := range entries {
		node, ok := strings.CutSuffix(e.Name(), ".log")
		if !ok {
			continue
		}
		if err := k.file(dir, node); err != nil {
			return nil, nil, err
		}
	}
	if k.dropped > 0 {
		d.add("%s: %d lines of WARN and above over the limit were not read", DirLogs, k.dropped)
	}
	return k.lines, k.lint, nil
}

type logKeeper struct {
	schema  *LogSchema
	lint    map[string]LogLint
	lines   []LogLine
	bytes   int
	dropped int
}

func (k *logKeeper) file(dir, node string) error {
	f, size, err := openPart(dir, filepath.Join(DirLogs, node+".log"))
	if err != nil || f == nil {
		return err
	}
	defer f.Close()
	linted := k.schema != nil && slices.Contains(k.schema.Nodes, node)
	var lint LogLint
	defer func() {
		if linted {
			k.lint[node] = lint
		}
	}()
	eachLine(io.LimitReader(f, size), func(line []byte, _ int, whole bool) bool {
		if linted {
			lint.take(k.schema, line, whole)
		}
		if !maybeLoud(line) {
			return true
		}
		l := LogLine{Node: node}
		if json.Unmarshal(line, &l) != nil || !isLoud(l.Level) {
			return true
		}
		l.Node = node
		k.bytes += len(l.Level) + len(l.Trace) + len(l.Key) + len(l.Msg) + len(l.Span) + len(l.Reason) + len(l.TS) + len(l.Time)
		if len(k.lines) >= maxLogLines || k.bytes > maxLogBytes {
			k.dropped++
			return true
		}
		k.lines = append(k.lines, l)
		return true
	})
	return nil
}
