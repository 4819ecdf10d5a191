package verdict

import "slices"

// Exit codes of the chaos command (the table in docs/guide.md).
const (
	ExitOK          = 0   // every expectation came true
	ExitUnmet       = 1   // an expectation did not: a check failed, or a naive variant passed
	ExitNoEvidence  = 2   // INCONCLUSIVE or INVALID where something else was expected
	ExitResidue     = 3   // something is left, and named
	ExitAborted     = 4   // a guard aborted the run
	ExitUsage       = 64  // bad usage or file
	ExitHarness     = 70  // the harness failed
	ExitInterrupted = 130 // interrupted, and healed
)

// ExitCode returns the code of one run.
func (v Verdict) ExitCode() int {
	switch {
	case v.Status == RESIDUE:
		return ExitResidue
	case v.Status == ERROR:
		return ExitHarness
	case v.Met:
		return ExitOK
	case v.Status == ABORTED:
		return ExitAborted
	case v.Status == INVALID || v.Status == INCONCLUSIVE:
		return ExitNoEvidence
	default:
		return ExitUnmet
	}
}

// severity is the order in which the codes of several runs win.
var severity = []int{ExitInterrupted, ExitResidue, ExitHarness, ExitAborted, ExitUnmet, ExitNoEvidence, ExitOK}

// WorstExit folds the codes of several runs: the first present of 130, 3, 70, 4, 1, 2, 0. No code
// at all is 2: nothing was run, so there is no evidence.
func WorstExit(codes ...int) int {
	for _, code := range severity {
		if slices.Contains(codes, code) {
			return code
		}
	}
	if len(codes) > 0 {
		return codes[0]
	}
	return ExitNoEvidence
}
