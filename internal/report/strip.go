package report

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// Strip is a timeline for places that have only characters: one column per Step.
type Strip struct {
	Step  time.Duration
	Lines []StripLine
}

// StripLine is one named row of a Strip with its scale in words.
type StripLine struct{ Name, Scale, Cells string }

// String draws the strip with its names and scales aligned.
func (s Strip) String() string {
	name, scale := 0, 0
	for _, l := range s.Lines {
		name, scale = max(name, len([]rune(l.Name))), max(scale, len([]rune(l.Scale)))
	}
	var b strings.Builder
	for _, l := range s.Lines {
		row := pad(l.Name, name) + "  " + strings.Repeat(" ", scale-len([]rune(l.Scale))) + l.Scale + "  " + l.Cells
		b.WriteString(strings.TrimRight(row, " ") + "\n")
	}
	return b.String()
}

func pad(s string, n int) string { return s + strings.Repeat(" ", max(0, n-len([]rune(s)))) }

// Strip draws one load of the variant in at most columns characters: phases, fault band, good, bad
// and lost per second, p50, p90 and max of latency. Latency is drawn on a logarithmic scale from
// 1 ms, because a fault moves it by orders of magnitude. It has no lines when there are no points.
func (v *Variant) Strip(load *Load, columns int) Strip {
	if load == nil || len(load.Points) == 0 || columns < 1 {
		return Strip{}
	}
	per := (len(load.Points) + columns - 1) / columns
	points := merge(load.Points, per)
	step := load.Step * time.Duration(per)
	s := Strip{Step: step}
	s.Lines = append(s.Lines, StripLine{Name: "phase", Cells: phaseCells(v.Phases, len(points), step)})
	if cells, any := faultCells(v.Faults, len(points), step); any {
		s.Lines = append(s.Lines, StripLine{Name: "fault", Cells: cells})
	}
	all := 0.0 // good and bad are drawn on one scale, so that their heights compare
	for _, p := range points {
		all = max(all, float64(p.Judged())/step.Seconds())
	}
	rate := func(name string, of func(Point) int, always bool) {
		values, top := make([]float64, len(points)), 0.0
		for i, p := range points {
			values[i] = float64(of(p)) / step.Seconds()
			top = max(top, values[i])
		}
		if top > 0 || always {
			s.Lines = append(s.Lines, StripLine{Name: name, Scale: "≤ " + Number(math.Ceil(top)), Cells: Spark(values, all)})
		}
	}
	rate("good/s", func(p Point) int { return p.Good }, true)
	rate("bad/s", func(p Point) int { return p.Bad }, true)
	rate("lost/s", func(p Point) int { return p.Lost }, false)
	latency := func(name string, of func(Point) time.Duration) {
		values, top := make([]float64, len(points)), time.Duration(0)
		for i, p := range points {
			values[i] = -1
			if p.Judged() > 0 {
				values[i] = max(0.01, math.Log10(max(1, float64(of(p))/1e6)))
				top = max(top, of(p))
			}
		}
		s.Lines = append(s.Lines, StripLine{Name: name, Scale: "≤ " + Time(top), Cells: Spark(values, 4)}) // 4: log10 of 10 s in ms
	}
	latency("p50", func(p Point) time.Duration { return p.P50 })
	latency("p90", func(p Point) time.Duration { return p.P90 })
	latency("max", func(p Point) time.Duration { return p.Max })
	return s
}

// merge joins each n points: counts add, latencies take the worst.
func merge(points []Point, n int) []Point {
	if n <= 1 {
		return points
	}
	var out []Point
	for i, p := range points {
		if i%n == 0 {
			out = append(out, p)
			continue
		}
		last := &out[len(out)-1]
		last.Good += p.Good
		last.Bad += p.Bad
		last.Excluded += p.Excluded
		last.Lost += p.Lost
		last.P50, last.P90, last.Max = max(last.P50, p.P50), max(last.P90, p.P90), max(last.Max, p.Max)
	}
	return out
}

// phaseCells writes each phase's name from its start, cut where the next begins.
func phaseCells(phases []Span, n int, step time.Duration) string {
	cells := []rune(strings.Repeat(" ", n))
	for _, p := range phases {
		from, to := int(p.From/step), int((p.To+step-1)/step)
		if p.From < 0 || from >= n || to <= from {
			continue
		}
		for i, c := range []rune("|" + p.Name) {
			if from+i < min(to, n) {
				cells[from+i] = c
			}
		}
	}
	return string(cells)
}

func faultCells(faults []Fault, n int, step time.Duration) (cells string, any bool) {
	row := []rune(strings.Repeat(" ", n))
	for _, f := range faults {
		if !f.Span {
			continue
		}
		for i := max(0, int(f.From/step)); i < n && time.Duration(i)*step < f.To; i++ {
			row[i], any = '▒', true
		}
	}
	return string(row), any
}

// Title names a variant's timeline: "pay, one column = 1 s".
func (s Strip) Title(load string) string {
	return fmt.Sprintf("%s, one column = %s", load, Number(s.Step.Seconds())+" s")
}
