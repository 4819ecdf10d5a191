// Package resolver is what answers the name lookups of one network namespace while a fault is on a name: that
// name wrongly, late or not at all, every other as before.
//
//	node ──▶ 127.0.0.11:53 ──redirect──▶ chaos resolver ── the name of its rule? ── yes ──▶ no such host │ later │ another address
//	                                           └────────── no ──▶ 127.0.0.11:53, from 127.0.0.12, which is not redirected
//
// `chaos resolver` runs beside a node, in its network namespace: `run` puts a rule in force until it is told to
// end, `look` tells what came of it, `off` removes the redirection that one left which was killed.
package resolver

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// What a rule does.
const (
	NoSuchHost = "no_such_host" // answers NXDOMAIN
	Slow       = "slow"         // passes the question on after Late
	Wrong      = "wrong"        // answers Address
)

// MaxLate bounds how late an answer may be.
const MaxLate = 10 * time.Minute

// Rule is what becomes of the questions for one name.
type Rule struct {
	Name    string        `json:"name"` // a host name, without a dot at its end
	Do      string        `json:"do"`
	Late    time.Duration `json:"late_ns,omitempty"`
	Address netip.Addr    `json:"address,omitzero"` // IPv4; IPv6 questions are answered with no address
}

// Check says what is wrong with the rule.
func (r Rule) Check() error {
	if _, err := dnsmessage.NewName(r.Name + "."); err != nil || r.Name == "" || strings.HasSuffix(r.Name, ".") {
		return fmt.Errorf("%q is not a host name", r.Name)
	}
	switch {
	case r.Do == NoSuchHost && r.Late == 0 && !r.Address.IsValid():
	case r.Do == Slow && r.Late > 0 && r.Late <= MaxLate && !r.Address.IsValid():
	case r.Do == Wrong && r.Late == 0 && r.Address.Is4():
	default:
		return errors.New("a rule is no_such_host, slow with late, or wrong with an IPv4 address")
	}
	return nil
}

// hits tells whether a question is for the rule's name.
func (r Rule) hits(q dnsmessage.Question) bool {
	return strings.EqualFold(strings.TrimSuffix(q.Name.String(), "."), r.Name)
}

// Counts are what came of a rule so far.
type Counts struct {
	Passed uint64        `json:"passed"`  // questions for other names
	Hit    uint64        `json:"hit"`     // questions for the rule's name
	Done   uint64        `json:"done"`    // of those, answered as the rule says, as late as it says
	Late   time.Duration `json:"late_ns"` // of those together: from the question until it was passed on
	Held   uint64        `json:"held"`    // of those hit, waiting now
}

// Answer is what `chaos resolver` prints, one JSON object a line.
type Answer struct {
	Rule   *Rule   `json:"rule,omitempty"` // in force
	Counts *Counts `json:"counts,omitempty"`
	// Redirected is whether questions are redirected here at all.
	Redirected bool   `json:"redirected"`
	Lacks      string `json:"lacks,omitempty"` // of probe: what is missing for redirecting questions
	Error      string `json:"error,omitempty"`
}
