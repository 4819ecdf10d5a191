package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// table prints what became of the runs, a row for each way, as Markdown.
func table(w io.Writer, c *campaign, done []outcome, out []string) {
	fmt.Fprintln(w, "| what was done | runs | faults on | run over | kept | healed | time to heal p50 | p99 | max | residue |")
	fmt.Fprintln(w, "|---|---|---|---|---|---|---|---|---|---|")
	for _, way := range ways() {
		row(w, way.name, slices.DeleteFunc(slices.Clone(done), func(o outcome) bool { return o.way != way.name }))
	}
	row(w, "all", done)
	fmt.Fprintf(w, "\nSeed %d, runtime %s, %d runs of %.1f s; the moment is uniform over the run.\n", c.seed, c.runtime, len(done), c.length.Seconds())
	for _, o := range out {
		fmt.Fprintf(w, "Left out: %s.\n", o)
	}
	for _, o := range done {
		if len(o.left) > 0 {
			fmt.Fprintf(w, "Residue of %s in %s: %s.\n", o.way, o.dir, strings.Join(o.left, "; "))
		}
	}
}

func row(w io.Writer, name string, runs []outcome) {
	if len(runs) == 0 {
		return
	}
	var on, over, kept, residue int
	var times []time.Duration
	for _, o := range runs {
		on += count(o.struck && o.open > 0)
		over += count(!o.struck)
		kept += count(o.kept)
		residue += count(len(o.left) > 0)
		if o.timed {
			times = append(times, o.heal)
		}
	}
	slices.Sort(times)
	fmt.Fprintf(w, "| %s | %d | %d | %d | %d | %d | %s | %s | %s | %d |\n", name, len(runs), on, over, kept, len(runs)-residue,
		seconds(times, 50), seconds(times, 99), seconds(times, 100), residue)
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}

// seconds is the smallest time with at least percent of the sorted times at or below it (nearest rank).
func seconds(sorted []time.Duration, percent int) string {
	if len(sorted) == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f s", sorted[max(0, (len(sorted)*percent+99)/100-1)].Seconds())
}
