package report

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"chaos/internal/journal"
)

// maxText is the longest text shown, in bytes; the rest is counted, not shown.
const maxText = 2000

// Masked stands for a value that must not be shown.
const Masked = journal.Masked

// redactor makes hostile text fit to be shown. Make it once per document.
type redactor struct{ *journal.Masker }

func newRedactor() *redactor { return &redactor{journal.NewMasker()} }

// text cleans one string: secrets out, control and direction-changing characters made visible,
// invalid UTF-8 replaced, length bounded.
func (r *redactor) text(s string) string {
	s = r.Text(visible(s))
	if len(s) <= maxText {
		return s
	}
	cut := maxText
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return fmt.Sprintf("%s… (%d bytes more)", s[:cut], len(s)-cut)
}

// visible replaces what a terminal, an editor or a browser would obey instead of show.
func visible(s string) string {
	if plain(s) {
		return s
	}
	var b strings.Builder
	for _, c := range s {
		switch {
		case c == '\n' || c == '\t':
			b.WriteRune(c)
		case c == '\r':
		case unicode.IsControl(c) || hidden(c):
			fmt.Fprintf(&b, "\\u%04x", c)
		default:
			b.WriteRune(c) // an invalid byte arrives here as U+FFFD
		}
	}
	return b.String()
}

func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// hidden reports whether c changes direction or order of text or takes no place: with these a report
// can be made to read differently from what it says.
func hidden(c rune) bool {
	return c >= 0x202A && c <= 0x202E || c >= 0x2066 && c <= 0x2069 ||
		c >= 0x200B && c <= 0x200F || c == 0x061C || c == 0xFEFF || c == 0x2028 || c == 0x2029
}

// clean rewrites every string reachable from v, a pointer to a value that nobody else holds.
func (r *redactor) clean(v any) { r.walk(reflect.ValueOf(v).Elem()) }

func (r *redactor) walk(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(r.text(v.String()))
	case reflect.Float64: // JSON has neither; the largest number is shown as a dash
		if f := v.Float(); math.IsNaN(f) || math.IsInf(f, 0) {
			v.SetFloat(math.MaxFloat64)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Field(i); f.CanSet() {
				r.walk(f)
			}
		}
	case reflect.Slice:
		if v.Type().Elem() == reflect.TypeFor[Point]() {
			return // numbers only, and many
		}
		for i := range v.Len() {
			r.walk(v.Index(i))
		}
	case reflect.Pointer:
		if !v.IsNil() {
			r.walk(v.Elem())
		}
	}
}

// maxPairs bounds how many parameters of one JSON document are shown.
const maxPairs = 40

// pairs flattens a JSON object into "a.b: value" lines with secrets masked by key. Anything that is
// not an object becomes one nameless pair.
func (r *redactor) pairs(raw json.RawMessage) []Pair {
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	var value any
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.UseNumber()
	if err := d.Decode(&value); err != nil {
		return []Pair{{Value: string(raw)}}
	}
	var out []Pair
	r.flatten(&out, "", value)
	if len(out) > maxPairs {
		more := len(out) - maxPairs
		out = append(out[:maxPairs], Pair{Name: "…", Value: fmt.Sprintf("%d more", more)})
	}
	return out
}

func (r *redactor) flatten(out *[]Pair, name string, value any) {
	switch v := value.(type) {
	case map[string]any:
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		for _, k := range keys {
			full := strings.TrimPrefix(name+"."+k, ".")
			if r.SecretKey(k) {
				*out = append(*out, Pair{Name: full, Value: Masked})
				continue
			}
			r.flatten(out, full, v[k])
		}
	case []any:
		words := make([]string, 0, len(v))
		for i, e := range v {
			switch e.(type) {
			case map[string]any, []any:
				r.flatten(out, fmt.Sprintf("%s.%d", name, i), e)
			default:
				words = append(words, fmt.Sprint(e))
			}
		}
		if len(words) > 0 || len(v) == 0 {
			*out = append(*out, Pair{Name: name, Value: strings.Join(words, ", ")})
		}
	default:
		*out = append(*out, Pair{Name: name, Value: fmt.Sprint(v)})
	}
}
