package switches

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Names of the presets.
const (
	PresetResilient  = "resilient"
	PresetNaive      = "naive"
	PresetNaiveQueue = "naive-queue"
	mutantPrefix     = "mutant:"
)

// Presets lists what PAYSYS_PRESET accepts, for messages.
const Presets = "resilient, naive, naive-queue, mutant:<switch>[=value]"

// Resolve makes a Set from a preset and single switches that override it
// (names in any of the spellings retry.where, RETRY_WHERE). An unknown preset,
// switch or value is an error that names the valid ones.
func Resolve(preset string, single map[string]string) (Set, error) {
	values, order, err := presetValues(preset)
	if err != nil {
		return Set{}, err
	}
	for _, name := range slices.Sorted(maps.Keys(single)) {
		d, err := find(name)
		if err != nil {
			return Set{}, err
		}
		values[d.Name] = append(values[d.Name], single[name])
	}
	s := Set{Preset: preset, Values: map[string]string{}}
	for _, d := range order {
		// Later values go on top of earlier ones, so that a list of policies
		// which names one route leaves the others as the preset has them.
		for _, v := range values[d.Name] {
			if err := d.apply(&s, strings.TrimSpace(v)); err != nil {
				return Set{}, fmt.Errorf("switch %s: %q is not valid: valid are %s", d.Name, v, d.Accepts)
			}
			s.Values[d.Name] = v
		}
	}
	s.Values["ratelimit_on_redis_error"] = fmt.Sprintf("payments:%s,reads:%s,refunds:%s",
		s.OnRedisError[RoutePayments], s.OnRedisError[RouteReads], s.OnRedisError[RouteRefunds])
	return s, nil
}

func presetValues(preset string) (map[string][]string, []Definition, error) {
	order := Catalog()
	values := map[string][]string{}
	naive := preset == PresetNaive || preset == PresetNaiveQueue
	for _, d := range order {
		values[d.Name] = []string{d.Resilient}
		if naive {
			values[d.Name] = []string{d.Naive}
		}
	}
	switch {
	case preset == PresetResilient || preset == PresetNaive:
	case preset == PresetNaiveQueue:
		values["accept_mode"] = []string{string(AcceptMemqueue)}
	case strings.HasPrefix(preset, mutantPrefix):
		name, value, given := strings.Cut(strings.TrimPrefix(preset, mutantPrefix), "=")
		d, err := find(name)
		if err != nil {
			return nil, nil, err
		}
		if !given {
			value = d.Naive
		}
		values[d.Name] = append(values[d.Name], value)
	default:
		return nil, nil, fmt.Errorf("unknown preset %q: valid are %s", preset, Presets)
	}
	return values, order, nil
}
