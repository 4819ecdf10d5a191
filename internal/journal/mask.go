package journal

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
)

// Masked stands for a value that must be neither written down nor shown.
const Masked = "***"

// secretWords are the parts of a key's name that make its value a secret.
const secretWords = `password|passwd|secret|token|dsn|api[_-]?key|authorization|credential`

// Masker takes secrets out of text and JSON before they reach a disk or a reader. The journal and the
// reports share it. It is safe for concurrent use.
type Masker struct{ key, pair, flag, scheme, userinfo, named *regexp.Regexp }

// NewMasker compiles a Masker; make one for each journal or document.
func NewMasker() *Masker {
	return &Masker{
		key: regexp.MustCompile(`(?i)(` + secretWords + `)`),
		pair: regexp.MustCompile(`(?i)([\w.-]*(?:` + secretWords + `)[\w-]*\\?["']?\s*[=:]\s*)` +
			`(\\?"(?:[^"\\]|\\[^"])*\\?"|'[^']*'|(?:bearer\s+|basic\s+)?[^\s,;&}\])]+)`),
		flag:     regexp.MustCompile(`(?i)(--?[\w-]*(?:` + secretWords + `)[\w-]*\s+)([^\s-]\S*)`),
		scheme:   regexp.MustCompile(`(?i)\b(bearer|basic)\s+[a-z0-9+/_.=-]{8,}`),
		userinfo: regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://)[^/\s?#"'<>]+@`),
		named:    regexp.MustCompile(`(?i)^(?:(?:bearer|basic)\s+)?\{\{\s*secret\s+"[^"]*"\s*\}\}$`),
	}
}

// SecretKey reports whether a key's name makes its value a secret.
func (m *Masker) SecretKey(name string) bool { return m.key.MatchString(name) }

// Text masks the values of secret keys, what follows Bearer and Basic, and the userinfo of URLs. What
// names a secret and holds none, {{secret "x"}}, stays: undo asks by it.
func (m *Masker) Text(s string) string {
	if m.named.MatchString(s) {
		return s
	}
	if strings.Contains(s, "://") {
		s = m.userinfo.ReplaceAllString(s, "${1}"+Masked+"@")
	}
	if m.key.MatchString(s) {
		s = m.pair.ReplaceAllStringFunc(s, m.onePair)
		s = m.flag.ReplaceAllString(s, "${1}"+Masked)
	}
	return m.scheme.ReplaceAllString(s, "${1} "+Masked)
}

// onePair masks the value of one key and leaves its quotes, so that JSON inside text stays JSON.
func (m *Masker) onePair(pair string) string {
	part := m.pair.FindStringSubmatch(pair)
	for _, quote := range []string{`\"`, `"`, `'`} {
		if strings.HasPrefix(part[2], quote) && strings.HasSuffix(part[2], quote) {
			return part[1] + quote + Masked + quote
		}
	}
	return part[1] + Masked
}

// JSON masks a document: under a secret key whatever is there, elsewhere every text. A document
// without a secret, and what is no JSON, comes back as it is, byte for byte.
func (m *Masker) JSON(raw json.RawMessage) json.RawMessage {
	var v any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if d.Decode(&v) != nil {
		return raw // an encoder refuses it
	}
	v, changed := m.walk(v)
	if !changed {
		return raw
	}
	masked, err := json.Marshal(v)
	if err != nil {
		return json.RawMessage(`"` + Masked + `"`) // can't be: it has just been decoded
	}
	return masked
}

func (m *Masker) walk(v any) (_ any, changed bool) {
	switch v := v.(type) {
	case string:
		masked := m.Text(v)
		return masked, masked != v
	case []any:
		for i := range v {
			one, is := m.walk(v[i])
			v[i], changed = one, changed || is
		}
	case map[string]any:
		for name, old := range v {
			one, is := any(Masked), true
			if !m.SecretKey(name) || m.harmless(old) {
				one, is = m.walk(old)
			}
			v[name], changed = one, changed || is
		}
	}
	return v, changed
}

// harmless values tell nothing, even under a secret key.
func (m *Masker) harmless(v any) bool {
	switch v := v.(type) {
	case nil, bool:
		return true
	case string:
		return v == "" || v == Masked || m.named.MatchString(v)
	}
	return false
}

// suspect is a cheap look at much text: false when there is nothing in it for a Masker.
func suspect(text []byte) bool {
	low := bytes.ToLower(text)
	for _, word := range [...]string{"passw", "secret", "token", "dsn", "api", "authorization", "credential", "bearer", "basic", "://"} {
		if bytes.Contains(low, []byte(word)) {
			return true
		}
	}
	return false
}

// line masks one line of a log, which may be JSON.
func (m *Masker) line(line []byte) []byte {
	switch {
	case !suspect(line):
		return line
	case bytes.HasPrefix(bytes.TrimSpace(line), []byte("{")) && json.Valid(line):
		return m.JSON(line)
	}
	return []byte(m.Text(string(line)))
}

// info masks the parts of run.json that come from files, environments and command lines. Handle and
// Target stay as they are: heal needs them, and a handle holds no secret (target.System).
func (m *Masker) info(i RunInfo) RunInfo {
	for _, text := range []*string{&i.Hypothesis, &i.Source, &i.Command} {
		*text = m.Text(*text)
	}
	mask := func(old map[string]string) map[string]string {
		if old == nil {
			return nil
		}
		masked := make(map[string]string, len(old))
		for name, v := range old {
			masked[name] = m.Text(v)
		}
		return masked
	}
	i.Images, i.Machine = mask(i.Images), mask(i.Machine)
	i.Faults = slices.Clone(i.Faults)
	for n := range i.Faults {
		f := &i.Faults[n]
		f.With, f.Undo = m.JSON(f.With), m.Text(f.Undo)
	}
	return i
}

// event masks what an event says. An intent stays enough to heal by: its kind sees to that at Plan and
// Arm, with the same Masker.
func (m *Masker) event(e Event) Event {
	e.Subject, e.Err, e.Detail = m.Text(e.Subject), m.Text(e.Err), m.JSON(e.Detail)
	return e
}
