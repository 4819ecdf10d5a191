package node

import (
	"fmt"
	"time"

	"chaos/internal/kind"
	"chaos/internal/target"
)

// brim is the share of a memory limit from which on it counts as reached where no hit was counted: some
// kernels and engines count none.
const brim = 0.95

// reached says, for each limit that was asked for, what it did to the node, and why it did not when it did not:
// each must have been reached, else the run would claim for it what it has not proved.
//
//	cpu      a period in which the share was used up, since Arm
//	memory   a hit of the limit or a kill for it since Arm, or 95 % of it in use at a new peak or at the end
//	pids     as many processes and threads as it may have, at the end
//
// Counters end with the process: of one that has ended only a kill for its memory is known.
func (v capped) reached(st target.State, u target.Usage) (said, why []string) {
	asked, was := v.args.Limits, v.had.Usage
	if !st.Running {
		said = append(said, fmt.Sprintf("ended, exit code %d", st.ExitCode))
	}
	if asked.CPU > 0 {
		switch throttled := since(u.Throttled, was.Throttled); {
		case !st.Running:
			why = append(why, "its process has ended, and what was counted of its CPU with it")
		case throttled == 0:
			why = append(why, fmt.Sprintf("it never used up %v CPU", asked.CPU))
			fallthrough
		default:
			said = append(said, fmt.Sprintf("throttled %d of %d periods, %.1f s in all",
				throttled, since(u.Periods, was.Periods), max(0, u.ThrottledFor-was.ThrottledFor).Round(time.Millisecond).Seconds()))
		}
	}
	if asked.Memory > 0 {
		m, w := v.feltMemory(st, u)
		said, why = append(said, m), append(why, w...)
	}
	if asked.Pids > 0 {
		switch {
		case !st.Running:
			why = append(why, "its process has ended, and how many there were is not known")
		case u.Pids < asked.Pids:
			why = append(why, fmt.Sprintf("at the end it had fewer than %d processes (whether it had more before, no engine tells)", asked.Pids))
			fallthrough
		default:
			said = append(said, fmt.Sprintf("%d of %d processes at the end", u.Pids, asked.Pids))
		}
	}
	return said, why
}

func (v capped) feltMemory(st target.State, u target.Usage) (said string, why []string) {
	limit, was := v.args.Limits.Memory, v.had.Usage
	hits := since(u.MemoryHits, was.MemoryHits)
	killed := st.OOMKilled && !v.had.OOMKilled
	most := u.Memory
	if u.MemoryPeak > was.MemoryPeak { // an older peak says nothing of this limit
		most = max(most, u.MemoryPeak)
	}
	if st.Running {
		said = fmt.Sprintf("%s of %v in use at the end", kind.Size(u.Memory).About(), kind.Size(limit))
		if most > u.Memory {
			said += fmt.Sprintf(", at most %s", kind.Size(most).About())
		}
		if hits > 0 {
			said += fmt.Sprintf(", limit hit %d times", hits)
		}
	}
	switch {
	case killed && st.Running:
		said += ", a process of it killed for its memory"
	case killed:
		said = fmt.Sprintf("killed for its memory of %v", kind.Size(limit))
	case !st.Running:
		said = "not killed for its memory"
		why = []string{"its process has ended for another reason than its memory, and what was counted of it with it"}
	case hits == 0 && float64(most) < brim*float64(limit):
		why = []string{fmt.Sprintf("it never reached %v of memory, as far as the engine tells", kind.Size(limit))}
	}
	return said, why
}

// since is how far a counter has come; one that went backwards is a new one.
func since(now, was uint64) uint64 {
	if now < was {
		return now
	}
	return now - was
}
