package wire

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
)

// Lines writes one JSON object a line and ends with {"type":"end","count":n},
// so that a reader sees when a dump was cut.
type Lines struct {
	w *bufio.Writer
	n int
}

// NewLines starts a dump.
func NewLines(w http.ResponseWriter) *Lines {
	w.Header().Set("Content-Type", "application/x-ndjson")
	return &Lines{w: bufio.NewWriterSize(w, 32<<10)}
}

// Add writes one record.
func (l *Lines) Add(record any) error {
	data, err := json.Marshal(record)
	if err != nil {
		return fmt.Errorf("encode record: %w", err)
	}
	l.n++
	if _, err := l.w.Write(append(data, '\n')); err != nil {
		return fmt.Errorf("write record: %w", err)
	}
	return nil
}

// End writes the last line. Without it the dump counts as cut.
func (l *Lines) End() error {
	n := l.n
	if err := l.Add(struct {
		Type  string `json:"type"`
		Count int    `json:"count"`
	}{"end", n}); err != nil {
		return err
	}
	if err := l.w.Flush(); err != nil {
		return fmt.Errorf("flush records: %w", err)
	}
	return nil
}
