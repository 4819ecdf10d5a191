package journal

import (
	"bytes"
	"errors"
	"io"
)

// maxLogLine is how much of a line of a log is masked in one piece, in bytes.
const maxLogLine = 1 << 20

// maskedLog masks a log line by line on its way to the disk. One writer at a time.
type maskedLog struct {
	to   io.WriteCloser
	mask *Masker
	rest []byte // a line that has not ended
}

// Write implements io.Writer. It keeps the line that has not ended until it does, or Close.
func (l *maskedLog) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	end := bytes.LastIndexByte(l.rest, '\n') + 1
	if len(l.rest)-end >= maxLogLine {
		end = len(l.rest)
	}
	if end == 0 {
		return len(p), nil
	}
	if err := l.put(l.rest[:end]); err != nil {
		return 0, err
	}
	l.rest = append(l.rest[:0], l.rest[end:]...)
	return len(p), nil
}

// put writes whole lines.
func (l *maskedLog) put(lines []byte) error {
	if suspect(lines) {
		var masked []byte
		for line := range bytes.Lines(lines) {
			text, ended := bytes.CutSuffix(line, []byte("\n"))
			masked = append(masked, l.mask.line(text)...)
			if ended {
				masked = append(masked, '\n')
			}
		}
		lines = masked
	}
	_, err := l.to.Write(lines)
	return err
}

// Close writes the line that has not ended and closes the log.
func (l *maskedLog) Close() (err error) {
	if len(l.rest) > 0 {
		err = l.put(l.rest)
	}
	return errors.Join(err, l.to.Close())
}
