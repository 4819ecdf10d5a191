package journal

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
)

// exported is a sample for people.
type exported struct {
	Load       string  `json:"load"`
	Seq        uint64  `json:"seq"`
	DueMS      float64 `json:"due_ms"`
	SentMS     float64 `json:"sent_ms,omitempty"`
	DoneMS     float64 `json:"done_ms,omitempty"`
	LatencyMS  float64 `json:"latency_ms,omitempty"`
	Status     uint16  `json:"status,omitempty"`
	Result     string  `json:"result"`
	Class      string  `json:"class"`
	Err        string  `json:"err,omitempty"`
	Key        string  `json:"key"`
	Trace      string  `json:"trace_id"`
	Ref        string  `json:"ref,omitempty"`
	State      string  `json:"state,omitempty"`
	Amount     int64   `json:"amount_minor,omitempty"`
	Attempts   uint8   `json:"attempts"`
	Replay     bool    `json:"replay,omitempty"`
	Prepare    bool    `json:"prepare,omitempty"`
	RetryAfter bool    `json:"retry_after,omitempty"`
	Shed       bool    `json:"shed,omitempty"`
}

// ExportJSON writes the samples as NDJSON, one object a request, by due time; times in milliseconds
// since the start of the run.
func (h *History) ExportJSON(w io.Writer) error {
	bw := bufio.NewWriter(w)
	enc := json.NewEncoder(bw)
	for i := range h.Samples {
		s := &h.Samples[i]
		e := exported{
			Seq: s.Seq, DueMS: ms(int64(s.Due)), SentMS: ms(int64(s.Sent)), DoneMS: ms(int64(s.Done)),
			Status: s.Status, Result: s.Result.String(), Class: s.Class.String(), Err: s.Err.String(),
			Key: s.Key.String(), Trace: s.Trace.String(), State: s.State, Amount: s.Amount, Attempts: s.Attempts,
			Replay: s.Flags&FlagReplay != 0, Prepare: s.Flags&FlagPrepare != 0,
			RetryAfter: s.Flags&FlagRetryAfter != 0, Shed: s.Flags&FlagShed != 0,
		}
		if int(s.Op) < len(h.Run.Loads) {
			e.Load = h.Run.Loads[s.Op].Name
		}
		if l, ok := s.Latency(); ok {
			e.LatencyMS = ms(int64(l))
		}
		if !s.Ref.Zero() {
			e.Ref = s.Ref.String()
		}
		if err := enc.Encode(&e); err != nil {
			return fmt.Errorf("exporting samples: %w", err)
		}
	}
	if err := bw.Flush(); err != nil {
		return fmt.Errorf("exporting samples: %w", err)
	}
	return nil
}

func ms(ns int64) float64 { return float64(ns) / 1e6 }
