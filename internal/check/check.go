// Package check is the protocol of what is judged: SLOs, invariants and guards. A Check is a pure
// function of a History, so a run can be judged again offline, and so engine and judge agree.
package check

import (
	"chaos/internal/journal"
	"chaos/internal/verdict"
)

// Check judges one thing in one window.
type Check interface {
	// Name is the name an experiment's because: refers to. The checks of one SLO share it.
	Name() string
	// Window is the history's window it judges.
	Window() string
	// Judge never panics. An empty history or window is Inconclusive.
	Judge(h *journal.History) verdict.Finding
}

// Demanding is a check that asks something of the target, known before anything is started.
type Demanding interface {
	// Demands returns what is missing, and what to do about it; nil when nothing is.
	Demands(info journal.RunInfo) error
}

// Guard watches a run while it goes on.
type Guard interface {
	// Text is the condition as written, such as "availability(pay) < 10% for 5s".
	Text() string
	// Observe decides over the guard's sliding window. decided is false when there are too few
	// samples; why says what was seen.
	Observe(l journal.Live) (breach, decided bool, why string)
}
