package html

import (
	"fmt"
	"math"
	"strings"
	"time"

	"chaos/internal/report"
)

// The layout of a chart, in units of its viewBox.
//
//	┌──────┬─ phases ───────────────────────┐ top
//	│ rate │  bars: bad, lost, good, stacked│ rateTop … rateBase
//	├──────┼────────────────────────────────┤
//	│ ms   │  p50, p90, max, logarithmic    │ latTop … latBase
//	└──────┴─ seconds ──────────────────────┘ height
const (
	narrow   = 570.0  // width of a chart beside another
	wide     = 1040.0 // width of a chart alone
	left     = 62.0
	right    = 10.0
	top      = 34.0
	rateTop  = top + 4
	rateBase = rateTop + 116
	latTop   = rateBase + 30
	latBase  = latTop + 104
	height   = latBase + 36
)

// chart is one load of one variant, ready to be written as SVG.
type chart struct {
	Variant, Status, Label        string
	Width, Height, Left, Right    string
	Labels                        string // right edge of the labels of the left axis
	RateTop, RateHeight, RateBase string
	LatTop, LatHeight, LatBase    string
	RateMiddle, LatMiddle         string
	BandHeight                    string
	TickBase, TickText            string
	Good, Bad, Lost, Excluded     string // paths
	P50, P90, Max                 string // paths
	RateTicks, LatTicks, Seconds  []tick
	Phases                        []mark
	Bands                         []mark
	Limits                        []tick // latency objectives
	Hits                          []hit
}

// tick is a grid line with its label.
type tick struct{ At, Text, Label string }

// mark is a stretch of the time axis.
type mark struct{ X, Width, Middle, Name, Title string }

// hit is the invisible column that carries a tooltip.
type hit struct{ X, Width, Title string }

func px(f float64) string {
	return strings.TrimSuffix(strings.TrimSuffix(fmt.Sprintf("%.1f", f), "0"), ".")
}

// scale is what the charts of one figure share, so that they can be compared by eye.
type scale struct {
	seconds  float64 // length of the time axis
	rate     float64 // top of the rate axis
	low, top float64 // decades of the latency axis, log10 of milliseconds
	width    float64
}

func (s scale) x(at time.Duration) float64 {
	return left + min(max(0, at.Seconds()/s.seconds), 1)*(s.width-left-right)
}

func (s scale) rateY(v float64) float64 { return rateBase - min(v/s.rate, 1)*(rateBase-rateTop) }

func (s scale) latY(d time.Duration) float64 {
	at := math.Log10(max(1e-6, float64(d)/1e6))
	return latBase - min(max(0, (at-s.low)/(s.top-s.low)), 1)*(latBase-latTop)
}

// draw makes the figure of one load, and says whether a variant has it in focus.
func draw(doc *report.Document, load string) (f figure, focus bool) {
	s := scale{low: math.Inf(1), top: math.Inf(-1), width: narrow}
	var shown []int
	f = figure{Load: load}
	for i := range doc.Variants {
		v := &doc.Variants[i]
		for j := range v.Loads {
			if l := &v.Loads[j]; l.Name == load && len(l.Points) > 0 && l.Step > 0 {
				shown = append(shown, i)
				focus = focus || v.Focus == load
				s.widen(l)
				f.note(v, l)
			}
		}
	}
	if len(shown) == 0 {
		return figure{}, false
	}
	if len(shown) == 1 {
		s.width = wide
	}
	s.round()
	for _, i := range shown {
		v := &doc.Variants[i]
		for j := range v.Loads {
			if v.Loads[j].Name == load {
				f.Charts = append(f.Charts, plot(v, &v.Loads[j], s))
			}
		}
	}
	return f, focus
}

// note collects what the legend has to explain.
func (f *figure) note(v *report.Variant, l *report.Load) {
	f.Step = report.Number(l.Step.Seconds())
	for _, p := range l.Points {
		f.Lost = f.Lost || p.Lost > 0
		f.Excluded = f.Excluded || p.Excluded > 0
	}
	for _, x := range v.Faults {
		f.Faults = f.Faults || x.Span
	}
}

// widen takes one load into the shared scales.
func (s *scale) widen(l *report.Load) {
	s.seconds = max(s.seconds, (time.Duration(len(l.Points)) * l.Step).Seconds())
	for _, p := range l.Points {
		s.rate = max(s.rate, float64(p.Good+p.Bad+p.Excluded)/l.Step.Seconds())
		if p.Judged() > 0 {
			s.low = min(s.low, math.Log10(max(0.1, float64(p.P50)/1e6)))
			s.top = max(s.top, math.Log10(max(0.1, float64(p.Max)/1e6)))
		}
	}
}

// round brings the scales to round numbers.
func (s *scale) round() {
	s.rate = niceCeil(max(1, s.rate))
	s.low, s.top = math.Floor(s.low), math.Ceil(s.top)
	if math.IsInf(s.low, 0) { // nothing was judged
		s.low, s.top = 0, 3
	}
	if s.top <= s.low {
		s.top = s.low + 1
	}
}

// niceCeil is the smallest of 1, 2, 2.5, 4, 5, 6, 8 × 10ⁿ that is at least v.
func niceCeil(v float64) float64 {
	unit := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 2.5, 4, 5, 6, 8} {
		if m*unit >= v {
			return m * unit
		}
	}
	return 10 * unit
}

func plot(v *report.Variant, l *report.Load, s scale) chart {
	c := chart{Variant: v.Name, Status: v.Verdict(), Label: summary(v, l),
		Width: px(s.width), Height: px(height), Left: px(left), Labels: px(left - 6), Right: px(s.width - right),
		RateTop: px(rateTop), RateBase: px(rateBase), RateHeight: px(rateBase - rateTop),
		LatTop: px(latTop), LatBase: px(latBase), LatHeight: px(latBase - latTop),
		RateMiddle: px((rateTop + rateBase) / 2), LatMiddle: px((latTop + latBase) / 2),
		BandHeight: px(latBase - top), TickBase: px(latBase + 4), TickText: px(latBase + 18)}
	c.axes(s)
	c.bars(l, s)
	c.P50 = line(l, s, func(p report.Point) time.Duration { return p.P50 })
	c.P90 = line(l, s, func(p report.Point) time.Duration { return p.P90 })
	c.Max = line(l, s, func(p report.Point) time.Duration { return p.Max })
	end := time.Duration(s.seconds * float64(time.Second))
	for _, p := range v.Phases {
		if p.From < end && p.To > max(0, p.From) {
			c.Phases = append(c.Phases, span(s, p.From, min(p.To, end), p.Name, p.Name))
		}
	}
	for _, f := range v.Faults {
		if f.Span && f.From < end {
			title := fmt.Sprintf("fault %s: %s on %s, active %s to %s", f.ID, f.Kind, f.Place, report.Offset(f.From), report.Offset(f.To))
			c.Bands = append(c.Bands, span(s, f.From, f.To, f.ID, title))
		}
	}
	for _, f := range v.SLOs() {
		if d, ok := objective(f.SLI, l.Name); ok {
			c.limit(s, d, f.Check)
		}
	}
	return c
}

// summary is the chart in words, for those who can't see it.
func summary(v *report.Variant, l *report.Load) string {
	words := fmt.Sprintf("Timeline of load %s, variant %s.", l.Name, v.Name)
	for _, t := range l.Totals {
		words += fmt.Sprintf(" %s: %s good, %s bad, p50 %s, p90 %s, max %s.", t.Window, report.Count(t.Good), report.Count(t.Bad), report.Time(t.P50), report.Time(t.P90), report.Time(t.Max))
	}
	return words
}

func span(s scale, from, to time.Duration, name, title string) mark {
	a, b := s.x(from), s.x(to)
	return mark{X: px(a), Width: px(max(1, b-a)), Middle: px((a + b) / 2), Name: fit(name, b-a), Title: title}
}

// fit cuts a label to the room it has, at about 7 units a letter.
func fit(name string, room float64) string {
	n := int(room / 7)
	runes := []rune(name)
	switch {
	case len(runes) <= n:
		return name
	case n < 3:
		return ""
	default:
		return string(runes[:n-1]) + "…"
	}
}

// objective is the latency threshold of an indicator about this load: 250 ms of "under(read, 250ms)".
func objective(sli, load string) (time.Duration, bool) {
	args, ok := strings.CutPrefix(sli, "under(")
	if !ok {
		return 0, false
	}
	name, rest, ok := strings.Cut(strings.TrimSuffix(strings.TrimSpace(args), ")"), ",")
	if !ok || strings.TrimSpace(name) != load {
		return 0, false
	}
	d, err := time.ParseDuration(strings.TrimSpace(rest))
	return d, err == nil && d > 0
}

func (c *chart) limit(s scale, d time.Duration, check string) {
	t := tick{At: px(s.latY(d)), Text: px(s.latY(d) - 4), Label: report.Time(d) + " " + check}
	for _, have := range c.Limits {
		if have.At == t.At {
			return
		}
	}
	if at := math.Log10(float64(d) / 1e6); at > s.low && at < s.top {
		c.Limits = append(c.Limits, t)
	}
}

func (c *chart) axes(s scale) {
	for _, share := range []float64{0, 0.5, 1} {
		y := s.rateY(s.rate * share)
		c.RateTicks = append(c.RateTicks, tick{At: px(y), Text: px(y + 4), Label: report.Number(s.rate * share)})
	}
	for decade := s.low; decade <= s.top; decade++ {
		d := time.Duration(math.Pow(10, decade) * 1e6)
		y := s.latY(d)
		c.LatTicks = append(c.LatTicks, tick{At: px(y), Text: px(y + 4), Label: shortTime(d)})
	}
	step := secondsStep(s.seconds)
	for at := 0.0; at <= s.seconds; at += step {
		c.Seconds = append(c.Seconds, tick{At: px(s.x(time.Duration(at * float64(time.Second)))), Label: report.Number(at) + " s"})
	}
}

// shortTime labels a decade: 10 ms, 1 s.
func shortTime(d time.Duration) string {
	if d >= time.Second {
		return fmt.Sprintf("%d s", d/time.Second)
	}
	return report.Number(float64(d)/1e6) + " ms"
}

// secondsStep is the round distance with which at most eight labels fit.
func secondsStep(length float64) float64 {
	for _, step := range []float64{1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 43200, 86400} {
		if length/step <= 8 {
			return step
		}
	}
	return 2 * 86400
}

// bars stacks bad, lost, good and excluded from the axis up, so that what went wrong can be read off
// the axis, and adds a tooltip per point.
func (c *chart) bars(l *report.Load, s scale) {
	var good, bad, lost, excluded strings.Builder
	per := l.Step.Seconds()
	for _, p := range l.Points {
		a, b := s.x(p.At), s.x(p.At+l.Step)
		gap := 0.0
		if b-a > 4 {
			gap = 0.8
		}
		base := 0.0
		for _, part := range []struct {
			path  *strings.Builder
			count int
		}{{&bad, p.Bad}, {&lost, p.Lost}, {&good, p.Good - p.Lost}, {&excluded, p.Excluded}} {
			if part.count <= 0 {
				continue
			}
			from, to := s.rateY(base/per), s.rateY((base+float64(part.count))/per)
			fmt.Fprintf(part.path, "M%s %sH%sV%sH%sZ", px(a), px(from), px(b-gap), px(to), px(a))
			base += float64(part.count)
		}
		c.Hits = append(c.Hits, hit{X: px(a), Width: px(b - a), Title: tooltip(p, l.Step)})
	}
	c.Good, c.Bad, c.Lost, c.Excluded = good.String(), bad.String(), lost.String(), excluded.String()
}

func tooltip(p report.Point, step time.Duration) string {
	words := fmt.Sprintf("%s to %s\ngood %s, bad %s", report.Offset(p.At), report.Offset(p.At+step), report.Count(p.Good), report.Count(p.Bad))
	if p.Lost > 0 {
		words += ", of the good ones lost " + report.Count(p.Lost)
	}
	if p.Excluded > 0 {
		words += ", excluded " + report.Count(p.Excluded)
	}
	if p.Judged() > 0 {
		words += fmt.Sprintf("\np50 %s, p90 %s, max %s", report.Time(p.P50), report.Time(p.P90), report.Time(p.Max))
	}
	return words
}

// line is the path of one latency figure; seconds without a judged request interrupt it.
func line(l *report.Load, s scale, of func(report.Point) time.Duration) string {
	var b strings.Builder
	pen := "M"
	for _, p := range l.Points {
		if p.Judged() == 0 {
			pen = "M"
			continue
		}
		fmt.Fprintf(&b, "%s%s %s", pen, px((s.x(p.At)+s.x(p.At+l.Step))/2), px(s.latY(of(p))))
		pen = "L"
	}
	return b.String()
}
