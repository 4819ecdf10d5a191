// Package json writes a Document as report.json: the form that other programs, the index and later
// versions read. The schema's name is in the document.
package json

import (
	"encoding/json"
	"io"

	"chaos/internal/report"
)

// Format writes report.json.
func Format() report.Format {
	return report.Format{Name: "json", File: report.DocumentFile, Write: Write}
}

// Write writes doc with one space of indentation, so that two reports can be compared by line.
func Write(w io.Writer, doc *report.Document) error {
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(doc)
}
