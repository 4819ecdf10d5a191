package journal

import (
	"bytes"
	"encoding/binary"
	"time"
)

// Sizes of the two records in bytes; docs/journal.md has the layout.
const (
	invokedLen   = 68
	completedLen = 50
	statedLen    = completedLen + StateLen // a completed record with the state that the answer told
)

// StateLen is how many bytes of a state are kept.
const StateLen = 16

// classFlags are the flags that tell a request from its replay: part of a sample's identity.
const classFlags = FlagReplay | FlagPrepare

var le = binary.LittleEndian

// appendRecord encodes one half of a sample.
func appendRecord(b []byte, kind uint8, s *Sample) []byte {
	stated := kind == recCompleted && s.State != ""
	if stated {
		kind = recStated
	}
	b = append(b, kind, byte(s.Flags))
	b = le.AppendUint16(b, uint16(s.Op))
	b = le.AppendUint64(b, s.Seq)
	if kind == recInvoked {
		b = le.AppendUint64(b, uint64(s.Due))
		b = le.AppendUint64(b, uint64(s.Sent))
		b = le.AppendUint64(b, uint64(s.Amount))
		b = append(b, s.Key[:]...)
		return append(b, s.Trace[:]...)
	}
	b = le.AppendUint64(b, uint64(s.Sent))
	b = le.AppendUint64(b, uint64(s.Done))
	b = append(b, s.Ref[:]...)
	b = le.AppendUint16(b, s.Status)
	b = append(b, byte(s.Result), byte(s.Class), byte(s.Err), s.Attempts)
	if stated {
		var text [StateLen]byte
		copy(text[:], s.State)
		b = append(b, text[:]...)
	}
	return b
}

// decodeRecord reads the record at the start of b into s. n = 0: b starts with no record. Values
// that this version does not know become the pessimistic ones. A stated record is a completed one.
func decodeRecord(b []byte, s *Sample) (kind uint8, n int) {
	if len(b) < completedLen {
		return 0, 0
	}
	kind = b[0]
	switch {
	case kind == recInvoked && len(b) >= invokedLen:
		n = invokedLen
		s.Due = time.Duration(le.Uint64(b[12:]))
		s.Sent = time.Duration(le.Uint64(b[20:]))
		s.Amount = int64(le.Uint64(b[28:]))
		s.Key, s.Trace = ID(b[36:52]), ID(b[52:68])
	case kind == recCompleted, kind == recStated && len(b) >= statedLen:
		n = completedLen
		s.State = ""
		if kind == recStated {
			n, kind = statedLen, recCompleted
			s.State = string(bytes.TrimRight(b[completedLen:statedLen], "\x00"))
		}
		s.Sent = time.Duration(le.Uint64(b[12:]))
		s.Done = time.Duration(le.Uint64(b[20:]))
		s.Ref = ID(b[28:44])
		s.Status = le.Uint16(b[44:])
		s.Result, s.Class, s.Err, s.Attempts = Result(b[46]), Class(b[47]), ErrClass(b[48]), b[49]
		if s.Result > Failed {
			s.Result = Unknown
		}
		if s.Class > Excluded {
			s.Class = Bad
		}
		s.Err = min(s.Err, ErrOther)
	default:
		return 0, 0
	}
	s.Flags = Flags(b[1])
	s.Op = OpID(le.Uint16(b[2:]))
	s.Seq = le.Uint64(b[4:])
	return kind, n
}
