// Package report is the protocol of report formats. Build turns judged runs into a Document that
// holds everything a reader is shown, so that the formats in the subpackages are dumb renderers:
//
//	[]Run ──Build──▶ Document ──Write──▶ report.html, report.md, report.json, junit.xml, postmortem.md
//	                    │ report.json of every run folder
//	                    └──WriteIndex──▶ index.html, index.md
//
// Everything that comes from outside is cleaned once, here: secrets become ***, control and
// direction-changing characters become visible, over-long text is cut. A format has only to escape
// for its own syntax.
package report

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"chaos/internal/journal"
	"chaos/internal/verdict"
)

// Run is one judged variant. History may be nil or empty when the harness failed early.
type Run struct {
	History *journal.History
	Verdict verdict.Verdict
}

// Format is one way to write a Document. Write must be deterministic, must escape what the Document
// holds for its own syntax, and returns the writer's error. reporttest.Run is its conformance suite.
type Format struct {
	Name  string // as given to --format
	File  string // name inside the run's folder
	Write func(io.Writer, *Document) error
}

// IndexFormat is one way to write a Suite.
type IndexFormat struct {
	Name  string
	File  string // name inside the reports folder
	Write func(io.Writer, *Suite) error
}

// fileMode keeps a report as private as the run's folder (0700): it holds keys and amounts.
const fileMode fs.FileMode = 0o600

// Write writes every format into dir. Each file is complete or absent: it is rendered in memory,
// written beside its place and renamed. One failing format does not keep the others from being
// written; the errors are joined and each names its path.
func Write(dir string, doc *Document, formats []Format) error {
	var errs []error
	for _, f := range formats {
		var out bytes.Buffer
		err := f.Write(&out, doc)
		if err == nil {
			err = replaceFile(dir, f.File, out.Bytes())
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("write report %s: %w", filepath.Join(dir, f.File), err))
		}
	}
	return errors.Join(errs...)
}

// replaceFile writes name in dir so that a reader sees the old content or the new, never a half.
func replaceFile(dir, name string, content []byte) (err error) {
	f, err := os.CreateTemp(dir, "."+name+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, ignoreGone(os.Remove(f.Name())))
		}
	}()
	if _, err = f.Write(content); err != nil {
		return errors.Join(err, f.Close())
	}
	if err = f.Chmod(fileMode); err != nil {
		return errors.Join(err, f.Close())
	}
	if err = f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), filepath.Join(dir, name))
}

// ignoreGone drops the error of removing what is not there.
func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
