package slo

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"chaos/internal/kind"
)

// SyntaxError is what is wrong with the text of an SLI or guard, and where.
type SyntaxError struct {
	Offset int    // byte offset into the text
	Msg    string // what is wrong and, where there is one, the nearest valid name
}

func (e *SyntaxError) Error() string { return e.Msg }

// shape is a kind of SLI.
type shape uint8

const (
	availability shape = iota + 1
	under
	quantile
	rate
	rejected
	recovery
)

// grammar is the one list of SLIs: name, what the second argument is, if any.
var grammar = [...]struct {
	name  string
	shape shape
	arg   string // "", "duration", "share"
	usage string
}{
	{"availability", availability, "", "availability(load)"},
	{"under", under, "duration", "under(load, 250ms)"},
	{"quantile", quantile, "share", "quantile(load, 0.99)"},
	{"rate", rate, "", "rate(load)"},
	{"rejected_cleanly", rejected, "duration", "rejected_cleanly(load, 50ms)"},
	{"recovery_time", recovery, "", "recovery_time(load)"},
}

// indicator is a parsed SLI.
type indicator struct {
	text  string // as written
	shape shape
	load  string
	limit time.Duration // under, rejected_cleanly
	q     float64       // quantile
}

// ratio reports whether the SLI is a share, which takes a target; the others take a max.
func (i indicator) ratio() bool {
	return i.shape == availability || i.shape == under || i.shape == rejected
}

// token is a word (letters, digits and . - _ : $), a sign, or the end.
type token struct {
	at   int
	text string
}

// parser reads one text. The grammar of SLIs and guards:
//
//	sli   = name "(" load [ "," argument ] ")"
//	guard = sli ( "<" | "<=" | ">" | ">=" ) value "for" duration
//	value = number "%" | number "/s"
type parser struct {
	text  string
	at    int
	loads []string
}

func (p *parser) errorf(at int, format string, args ...any) error {
	return &SyntaxError{Offset: at, Msg: fmt.Sprintf(format, args...)}
}

func isWord(c byte) bool {
	return c == '.' || c == '-' || c == '_' || c == ':' || c >= 0x80 ||
		'0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// next reads a token; at the end its text is empty.
func (p *parser) next() token {
	for p.at < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.at]) >= 0 {
		p.at++
	}
	start := p.at
	switch {
	case p.at == len(p.text):
	case isWord(p.text[p.at]):
		for p.at < len(p.text) && isWord(p.text[p.at]) {
			p.at++
		}
	case strings.HasPrefix(p.text[p.at:], "<="), strings.HasPrefix(p.text[p.at:], ">="):
		p.at += 2
	default:
		p.at++
	}
	return token{start, p.text[start:p.at]}
}

func (t token) String() string {
	if t.text == "" {
		return "the end"
	}
	return strconv.Quote(t.text)
}

// want reads one given sign or word.
func (p *parser) want(text, where string) error {
	if t := p.next(); t.text != text {
		return p.errorf(t.at, "expected %q %s, found %s", text, where, t)
	}
	return nil
}

// sli reads name(load[, argument]).
func (p *parser) sli() (indicator, error) {
	name := p.next()
	var names []string
	for _, g := range grammar {
		if g.name != name.text {
			names = append(names, g.name)
			continue
		}
		ind := indicator{shape: g.shape}
		if err := p.want("(", "after "+g.name+", as in "+g.usage); err != nil {
			return indicator{}, err
		}
		if err := p.load(&ind); err != nil {
			return indicator{}, err
		}
		if g.arg != "" {
			if err := p.want(",", "before the second argument, as in "+g.usage); err != nil {
				return indicator{}, err
			}
			if err := p.argument(g.arg, &ind); err != nil {
				return indicator{}, err
			}
		}
		if err := p.want(")", "as in "+g.usage); err != nil {
			return indicator{}, err
		}
		ind.text = p.text[name.at:p.at]
		return ind, nil
	}
	return indicator{}, p.errorf(name.at, "unknown SLI %s%s", name, hint(name.text, names))
}

func (p *parser) load(ind *indicator) error {
	t := p.next()
	for _, l := range p.loads {
		if l == t.text && l != "" {
			ind.load = l
			return nil
		}
	}
	return p.errorf(t.at, "unknown load %s%s", t, hint(t.text, p.loads))
}

func (p *parser) argument(what string, ind *indicator) error {
	t := p.next()
	if what == "share" {
		q, err := strconv.ParseFloat(t.text, 64)
		if err != nil || !(q > 0 && q < 1) {
			return p.errorf(t.at, "expected a number between 0 and 1 such as 0.99, found %s", t)
		}
		ind.q = q
		return nil
	}
	d, err := kind.ParseDuration(t.text)
	if err != nil {
		return p.errorf(t.at, "%s", err)
	}
	if d == 0 {
		return p.errorf(t.at, "a limit of 0 can't be kept")
	}
	ind.limit = d
	return nil
}

// end makes sure that nothing follows.
func (p *parser) end() error {
	if t := p.next(); t.text != "" {
		return p.errorf(t.at, "expected the end, found %s", t)
	}
	return nil
}

// parseSLI reads the text of an objective's SLI.
func parseSLI(text string, loads []string) (indicator, error) {
	p := parser{text: text, loads: loads}
	ind, err := p.sli()
	if err != nil {
		return indicator{}, err
	}
	return ind, p.end()
}

// hint names the nearest valid name, else all of them.
func hint(name string, valid []string) string {
	if near := kind.Nearest(name, valid); near != "" && name != "" {
		return fmt.Sprintf(": did you mean %q?", near)
	}
	if len(valid) == 0 {
		return ": there are none"
	}
	return ": valid are " + strings.Join(valid, ", ")
}
