package proxy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"
)

const (
	minPulse = 10 * time.Millisecond // of on and off
	// rampStep is how often a stream that a ramp holds altogether is looked at again.
	rampStep = 20 * time.Millisecond
)

// ramp moves one attribute in a straight line, from when it was set. It is data of the toxic: what counts is
// the clock when a chunk is dealt with, so nothing has to run, and nothing is left when its owner dies.
//
//	to    ┌─────────
//	     ╱
//	from ┘
//	     began … + over
type ramp struct {
	name     string
	from, to float64 // in the attribute's unit
	over     time.Duration
	began    time.Time
	scale    func(*settings, float64)
}

func (r *ramp) at(now time.Time) float64 {
	passed := min(max(float64(now.Sub(r.began))/float64(r.over), 0), 1)
	return r.from + passed*(r.to-r.from)
}

// rampView is a ramp in JSON; over is in ms.
type rampView struct {
	From float64 `json:"from"`
	To   float64 `json:"to"`
	Over int64   `json:"over"`
}

// at is what the settings of t are at a time.
func (t *toxic) at(now time.Time) *settings {
	if len(t.set.ramps) == 0 {
		return &t.set
	}
	s := t.set
	for i := range s.ramps {
		s.ramps[i].scale(&s, s.ramps[i].at(now))
	}
	return &s
}

// onAt tells whether a pulsing toxic acts at a time: first it does for on, then not for off, and so on.
func (s *settings) onAt(now time.Time) bool {
	return s.on == 0 || max(now.Sub(s.pulsing), 0)%(s.on+s.off) < s.on
}

// wake is when a toxic that holds everything at a time may think better of it; zero: never.
func (t *toxic) wake(now time.Time) (next time.Time) {
	if s := &t.set; s.on > 0 {
		next = now.Add(s.on - max(now.Sub(s.pulsing), 0)%(s.on+s.off))
	}
	for i := range t.set.ramps {
		if r := &t.set.ramps[i]; now.Before(r.began.Add(r.over)) {
			next = earlier(next, now.Add(rampStep))
		}
	}
	return next
}

// assign reads an attribute, a ramp or a plain value, which ends a ramp.
func (s *settings) assign(a attribute, raw json.RawMessage) error {
	others := slices.DeleteFunc(slices.Clone(s.ramps), func(r ramp) bool { return r.name == a.name })
	if len(raw) == 0 || raw[0] != '{' || a.scale == nil {
		if err := a.read(s, raw); err != nil {
			return err
		}
		s.ramps = others
		return nil
	}
	r, to, err := readRamp(a, raw)
	if err != nil {
		return err
	}
	s.ramps = append(others, r)
	return a.read(s, to)
}

// readRamp reads {"from": 0, "to": 400, "over": 30000}, all of them.
func readRamp(a attribute, raw json.RawMessage) (r ramp, to json.RawMessage, err error) {
	var in struct{ From, To, Over json.RawMessage }
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if d.Decode(&in) != nil || in.From == nil || in.To == nil || in.Over == nil {
		return r, nil, fmt.Errorf("want a number, or a ramp with from, to and over, in ms")
	}
	r = ramp{name: a.name, began: time.Now(), scale: a.scale}
	for _, end := range []struct {
		name string
		raw  json.RawMessage
		into *float64
	}{{"from", in.From, &r.from}, {"to", in.To, &r.to}} {
		if err := a.read(&settings{}, end.raw); err != nil {
			return r, nil, fmt.Errorf("%s: %w", end.name, err)
		}
		if *end.into, err = strconv.ParseFloat(string(end.raw), 64); err != nil {
			return r, nil, fmt.Errorf("%s: want a number", end.name)
		}
	}
	ms, err := strconv.ParseInt(string(in.Over), 10, 64)
	if err != nil || ms < 1 || ms > maxDelay.Milliseconds() {
		return r, nil, fmt.Errorf("over: want 1 to %d ms", maxDelay.Milliseconds())
	}
	r.over = time.Duration(ms) * time.Millisecond
	return r, in.To, nil
}

// present is an attribute as it is shown.
func (s *settings) present(a attribute) any {
	for _, r := range s.ramps {
		if r.name == a.name {
			return rampView{r.from, r.to, r.over.Milliseconds()}
		}
	}
	return a.show(s)
}

// consistent checks what single attributes can't tell, wherever a ramp begins or ends: in between all
// is on straight lines.
func (t *toxic) consistent(check func(*settings) error) error {
	if (t.set.on == 0) != (t.set.off == 0) {
		return fmt.Errorf("on and off: want both, or neither")
	}
	if check == nil {
		return nil
	}
	bends := []time.Time{{}}
	for _, r := range t.set.ramps {
		bends = append(bends, r.began, r.began.Add(r.over))
	}
	for _, at := range bends {
		if err := check(t.at(at)); err != nil {
			return err
		}
	}
	return nil
}

// pulsed are the attributes of a kind that may pulse.
func pulsed(attributes ...attribute) []attribute {
	for _, a := range []attribute{
		duration("on", minPulse, func(s *settings) *time.Duration { return &s.on }),
		duration("off", minPulse, func(s *settings) *time.Duration { return &s.off }),
	} {
		read := a.read
		a.read = func(s *settings, raw json.RawMessage) error {
			s.pulsing = time.Now()
			return read(s, raw)
		}
		attributes = append(attributes, fixed(beyond(a, int64(0))))
	}
	return attributes
}

// fixed is an attribute that takes no ramp.
func fixed(a attribute) attribute {
	a.scale = nil
	return a
}
