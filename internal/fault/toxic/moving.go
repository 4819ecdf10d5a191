package toxic

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"chaos/internal/kind"
)

// Moves make a toxic change by itself. Both are data of the toxic, which the proxy reads off its clock: there is no
// timer to lose, and the undo is the same. They are beyond Toxiproxy: only chaos proxy knows them.
type Moves struct {
	Ramps map[string]Ramp `yaml:"ramps" doc:"parameters that move to their value in a straight line, such as {latency: {from: 0ms, over: 30s}}" optional:"true"`
	Pulse *Pulse          `yaml:"pulse" doc:"the fault comes and goes, such as {on: 1s, off: 4s}" optional:"true"`
}

// Ramp is where a parameter begins and how long it takes to reach its value.
type Ramp struct {
	From Value         `yaml:"from" doc:"what it is at injection, written like the parameter"`
	Over time.Duration `yaml:"over" doc:"how long it takes to reach the parameter's value, 1ms to 1h in whole milliseconds"`
}

// Pulse is how long a fault acts and pauses, again and again. It begins with on.
type Pulse struct {
	On  time.Duration `yaml:"on" doc:"how long it acts, 10ms to 1h in whole milliseconds"`
	Off time.Duration `yaml:"off" doc:"how long it pauses then, 10ms to 1h in whole milliseconds"`
}

// Value is a value with its unit, as written.
type Value string

// UnmarshalText takes the text as it is; which unit is right depends on the parameter.
func (v *Value) UnmarshalText(text []byte) error {
	*v = Value(text)
	return nil
}

// minPulse is the shortest on or off that the proxy takes.
const minPulse = 10 * time.Millisecond

// scales are how the numbers of the kinds' attributes are read, in the unit of the proxy.
func scales() map[string]func(string) (float64, error) {
	ms := inUnits(time.Millisecond)
	return map[string]func(string) (float64, error){
		kindLatency + ".latency": ms, kindLatency + ".jitter": ms, kindLatency + ".chunks": ratio,
		kindBandwidth + ".rate":      kilobytes,
		kindSlicer + ".delay":        inUnits(time.Microsecond),
		kindSlicer + ".chunks":       ratio,
		kindSlicer + ".average_size": sized(1, maxSlice), kindSlicer + ".size_variation": sized(0, maxSlice),
		kindLimitData + ".bytes":   sized(0, kind.MaxSize),
		kindSlowClose + ".delay":   ms,
		kindResetPeer + ".timeout": ms, kindResetPeer + ".chunks": ratio,
		kindCorrupt + ".chunks": ratio, kindCorrupt + ".bits": count,
	}
}

// inUnits reads a duration of whole units, up to maxDelay.
func inUnits(unit time.Duration) func(string) (float64, error) {
	return func(text string) (float64, error) {
		d, err := kind.ParseDuration(text)
		if err != nil {
			return 0, err
		}
		if d > maxDelay || d%unit != 0 {
			return 0, fmt.Errorf("%v is not a whole number of %v up to %v", d, unit, maxDelay)
		}
		return float64(d / unit), nil
	}
}

func sized(least, most kind.Size) func(string) (float64, error) {
	return func(text string) (float64, error) {
		s, err := kind.ParseSize(text)
		if err == nil && (s < least || s > most) {
			err = fmt.Errorf("%v is not %v to %v", s, least, most)
		}
		return float64(s), err
	}
}

func kilobytes(text string) (float64, error) {
	var r kind.Throughput
	if err := r.UnmarshalText([]byte(text)); err != nil {
		return 0, err
	}
	if r > maxRate || r%1000 != 0 {
		return 0, fmt.Errorf("%v is not 0B/s to %v in whole KB/s", r, maxRate)
	}
	return float64(r / 1000), nil
}

func ratio(text string) (float64, error) {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || !(v >= 0 && v <= 1) {
		return 0, fmt.Errorf("%q is not a number from 0 to 1", text)
	}
	return v, nil
}

func count(text string) (float64, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxBits {
		return 0, fmt.Errorf("%q is not a whole number from 1 to %d", text, maxBits)
	}
	return float64(n), nil
}

// put adds the moves to the attributes of a toxic.
func (m *Moves) put(kindName string, attributes map[string]any) (map[string]any, error) {
	known := scales()
	for _, name := range slices.Sorted(maps.Keys(m.Ramps)) {
		r := m.Ramps[name]
		read := known[kindName+"."+name]
		if read == nil {
			var valid []string
			for key := range known {
				if of, ok := strings.CutPrefix(key, kindName+"."); ok {
					valid = append(valid, of)
				}
			}
			slices.Sort(valid)
			return nil, fmt.Errorf("%s: ramps: %q is no parameter that can move; these can: %s", kindName, name, strings.Join(valid, ", "))
		}
		from, err := read(string(r.From))
		if err != nil {
			return nil, fmt.Errorf("%s: ramps: %s: from: %w", kindName, name, err)
		}
		if err := millis(kindName, "ramps: "+name+": over", r.Over, time.Millisecond); err != nil {
			return nil, err
		}
		to := attributes[name]
		if to == nil { // chunks, left out when it is all of them
			to = 1.0
		}
		attributes[name] = map[string]any{"from": from, "to": to, "over": r.Over.Milliseconds()}
	}
	if p := m.Pulse; p != nil {
		for _, d := range []struct {
			name string
			time.Duration
		}{{"pulse: on", p.On}, {"pulse: off", p.Off}} {
			if err := millis(kindName, d.name, d.Duration, minPulse); err != nil {
				return nil, err
			}
		}
		attributes["on"], attributes["off"] = p.On.Milliseconds(), p.Off.Milliseconds()
	}
	return attributes, nil
}

// ends are the least and the greatest value that an attribute has, and the last.
func (x spec) ends(name string) (least, most, last float64) {
	ramp, ok := x.Attributes[name].(map[string]any)
	if !ok {
		v := amount(x.Attributes[name])
		return v, v, v
	}
	from, to := amount(ramp["from"]), amount(ramp["to"])
	return min(from, to), max(from, to), to
}

// amount is a number of whichever type it came as.
func amount(v any) float64 {
	switch n := v.(type) {
	case float64:
		return n
	case int64:
		return float64(n)
	}
	return 0
}

// spell writes a value of an attribute with its unit.
func (x spec) spell(name string, v any) string {
	n := amount(v)
	switch name {
	case "delay":
		if "toxic."+x.Type == kindSlicer {
			return (time.Duration(n) * time.Microsecond).String()
		}
		return (time.Duration(n) * time.Millisecond).String()
	case "latency", "jitter", "timeout":
		return (time.Duration(n) * time.Millisecond).String()
	case "rate":
		return kind.Throughput(1000 * n).String()
	case "average_size", "size_variation", "bytes":
		return kind.Size(n).String()
	}
	return strconv.FormatFloat(n, 'g', -1, 64)
}

// settled is x after its ramps, and moving is what to say of them and of its pulse.
func (x spec) settled() (after spec, moving string) {
	after = x
	after.Attributes = maps.Clone(x.Attributes)
	for _, name := range slices.Sorted(maps.Keys(x.Attributes)) {
		if ramp, ok := x.Attributes[name].(map[string]any); ok {
			after.Attributes[name] = ramp["to"]
			over := time.Duration(amount(ramp["over"])) * time.Millisecond
			moving += fmt.Sprintf(", %s moving from %v to %v over %v", name, x.spell(name, ramp["from"]), x.spell(name, ramp["to"]), over)
		}
	}
	if on := x.millis("on"); on > 0 {
		moving += fmt.Sprintf(", %v on and %v off", on, x.millis("off"))
	}
	return after, moving
}
