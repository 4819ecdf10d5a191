package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Schema is the version of the files of a run (docs/journal.md), in RunInfo.Schema.
const Schema = 1

// The files of a run.
const (
	FileRun      = "run.json"
	FileEvents   = "events.ndjson"
	FileSamples  = "samples.zst"
	FileReadings = "readings.ndjson.zst"
	FileSpans    = "spans.zst" // only in runs on a target that sends spans
	FileAudit    = "audit.ndjson"
	DirLogs      = "logs"
)

// file is what the journal needs of an *os.File; tests put a failing disk in its place.
type file interface {
	io.WriteCloser
	Sync() error
}

// openFile opens a file of the journal for appending.
func openFile(path string) (file, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
}

// syncDir makes the names in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// writeAtomic replaces dir/name, so that a reader or a crash sees the old or the new whole file.
func writeAtomic(dir, name string, open func(string) (file, error), data func(io.Writer) error) (err error) {
	path := filepath.Join(dir, name)
	tmp := path + ".tmp"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	f, err := open(tmp)
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	err = errors.Join(data(f), f.Sync(), f.Close())
	if err == nil {
		err = errors.Join(os.Rename(tmp, path), syncDir(dir))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("writing %s: %w", name, err), removeQuietly(tmp))
	}
	return nil
}

// removeQuietly removes what may be gone already.
func removeQuietly(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// writeInfo writes run.json.
func writeInfo(dir string, info RunInfo, open func(string) (file, error)) error {
	return writeAtomic(dir, FileRun, open, func(w io.Writer) error {
		data, err := json.MarshalIndent(info, "", "  ")
		if err != nil {
			return err
		}
		_, err = w.Write(append(data, '\n'))
		return err
	})
}
