// Package slo judges service level objectives on what clients saw: one grammar for the SLIs of
// objectives and guards, exact binomial bounds for shares, and the accounting of error budgets. The
// rules and their sources are in docs/judging.md.
package slo

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"chaos/internal/check"
	"chaos/internal/journal"
	"chaos/internal/kind"
)

// Windows an objective can be judged on; fault:<id> beside them.
const (
	windowBaseline = "baseline"
	windowFault    = "fault"
	windowRecovery = "recovery"
	onePrefix      = "fault:"
)

var windows = [...]string{windowBaseline, windowFault, windowRecovery, "settled", "run", "warmup"}

// Objective is one entry of slos.
type Objective struct {
	Name, SLI string
	Target    float64  // 0..1; 0 = unset
	Max       string   // a duration, or for rate(x) a number per second such as 50/s; "" = unset
	During    []string // windows; default fault, for recovery_time always recovery
	Baseline  bool     // whether shares and quantiles are judged on the baseline too
}

// Sized is a check that needs a number of requests before it can Pass. plan compares
// rate × window with MinN and refuses what can only end Inconclusive.
type Sized interface {
	MinN() int    // planned requests in its window that a Pass needs
	Load() string // the load it judges
}

// Recovering is a check that allows a time to recover.
type Recovering interface {
	RecoveryMax() (time.Duration, bool)
}

// Checks compiles an objective to one check per window, the baseline's first. Errors in the SLI's text
// are *SyntaxError.
func (o Objective) Checks(loads []journal.LoadInfo) ([]check.Check, error) {
	ind, err := parseSLI(o.SLI, names(loads))
	if err != nil {
		return nil, err
	}
	if err := o.limits(ind); err != nil {
		return nil, err
	}
	during, err := o.during(ind)
	if err != nil {
		return nil, err
	}
	info := loads[indexOf(ind.load, loads)]
	var build func(window string) check.Check
	switch ind.shape {
	case rate:
		build, err = o.rate(ind)
	case recovery:
		build, err = o.recovery(ind, info)
	default:
		build, err = o.ratio(ind, info)
	}
	if err != nil {
		return nil, err
	}
	checks := make([]check.Check, len(during))
	for i, w := range during {
		checks[i] = build(w)
	}
	return checks, nil
}

// limits makes sure that a share has a target and everything else a max.
func (o Objective) limits(ind indicator) error {
	switch {
	case o.Target != 0 && o.Max != "":
		return errors.New("target and max are both set: a share (availability, under, rejected_cleanly) takes a target, the others a max")
	case ind.ratio() && o.Max != "":
		return fmt.Errorf("%s is a share: give it a target such as 99.9%% instead of max", ind.text)
	case !ind.ratio() && o.Target != 0:
		return fmt.Errorf("%s is no share: give it a max instead of a target", ind.text)
	case ind.ratio() && o.Target == 0:
		return fmt.Errorf("%s has no target: give it one such as 99.9%%", ind.text)
	case !ind.ratio() && o.Max == "":
		return fmt.Errorf("%s has no max: give it one such as %s", ind.text, map[shape]string{quantile: "250ms", rate: "50/s", recovery: "15s"}[ind.shape])
	case ind.ratio() && !(o.Target > 0 && o.Target < 1):
		return fmt.Errorf("a target of %s can't be judged: it must be over 0%% and under 100%%", kind.Percent(o.Target))
	}
	return nil
}

// during is the list of windows, checked, without repetition.
func (o Objective) during(ind indicator) ([]string, error) {
	asked := o.During
	if len(asked) == 0 {
		asked = []string{windowFault}
	}
	if ind.shape == recovery {
		if len(o.During) > 1 || len(o.During) == 1 && asked[0] != windowRecovery {
			return nil, errors.New("recovery_time is judged on the window recovery: leave during out")
		}
		return []string{windowRecovery}, nil
	}
	var list []string
	if o.Baseline && ind.shape != rate {
		list = append(list, windowBaseline)
	}
	for _, w := range asked {
		if err := knownWindow(w); err != nil {
			return nil, err
		}
		if !contains(list, w) {
			list = append(list, w)
		}
	}
	return list, nil
}

func knownWindow(w string) error {
	if contains(windows[:], w) || len(w) > len(onePrefix) && strings.HasPrefix(w, onePrefix) {
		return nil
	}
	return fmt.Errorf("unknown window %q%s, fault:<id>", w, hint(w, windows[:]))
}

func (o Objective) ratio(ind indicator, info journal.LoadInfo) (func(string) check.Check, error) {
	proto := ratio{name: o.Name, ind: ind, target: o.Target, timeout: info.Timeout}
	if ind.shape == quantile {
		limit, err := kind.ParseDuration(o.Max)
		if err != nil {
			return nil, fmt.Errorf("max of %s: %w", ind.text, err)
		}
		if limit == 0 || info.Timeout > 0 && limit >= info.Timeout {
			return nil, fmt.Errorf("max %v of %s must be over 0 and under the client's timeout (%v), as which a bad request counts", limit, ind.text, info.Timeout)
		}
		proto.target, proto.max = ind.q, limit
	}
	return func(w string) check.Check {
		r := proto
		r.window = w
		return &r
	}, nil
}

func (o Objective) rate(ind indicator) (func(string) check.Check, error) {
	limit, err := perSecond(o.Max)
	if err != nil {
		return nil, fmt.Errorf("max of %s: %w", ind.text, err)
	}
	return func(w string) check.Check { return &pace{name: o.Name, window: w, ind: ind, max: limit} }, nil
}

func (o Objective) recovery(ind indicator, info journal.LoadInfo) (func(string) check.Check, error) {
	limit, err := kind.ParseDuration(o.Max)
	if err != nil {
		return nil, fmt.Errorf("max of %s: %w", ind.text, err)
	}
	if info.Rate < recoverRate {
		return nil, fmt.Errorf("%s needs a load of at least %d/s to see each second, %s has %s/s", ind.text, recoverRate, info.Name, number(info.Rate))
	}
	return func(string) check.Check { return &recovered{name: o.Name, ind: ind, max: limit} }, nil
}

// perSecond reads "50/s" or "50".
func perSecond(text string) (float64, error) {
	digits := strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(text), "/s"))
	v, err := strconv.ParseFloat(digits, 64)
	if err != nil || strings.Trim(digits, "0123456789.") != "" {
		return 0, fmt.Errorf("%q is not a rate such as 50/s", text)
	}
	return v, nil
}

func names(loads []journal.LoadInfo) []string {
	list := make([]string, len(loads))
	for i, l := range loads {
		list[i] = l.Name
	}
	return list
}

func indexOf(load string, loads []journal.LoadInfo) int {
	for i, l := range loads {
		if l.Name == load {
			return i
		}
	}
	return -1 // parseSLI let only known names pass
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}
