package vegeta

import (
	"context"
	"net/http"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	vegetalib "github.com/tsenart/vegeta/v12/lib"
)

const (
	pairs     = 5
	pairLasts = 2 * time.Second
	pairRate  = 100_000 // more than either can send here: what they reach is the open-loop rate
	pairPool  = 64      // workers of both
)

// BenchmarkOpenLoopRate compares what this load reaches against a trivial server with what Vegeta's
// own library reaches the way that its CLI drives it (constant pacer, default client, results into
// Metrics), in interleaved pairs. It prints the median ratio, of which the budget is 0.9, and that of
// the CPU a request costs. Skipped with -short.
func BenchmarkOpenLoopRate(b *testing.B) {
	if testing.Short() {
		b.Skip("takes 20 s")
	}
	var served atomic.Int64
	srv := serve(b, func(w http.ResponseWriter, _ *http.Request) { served.Add(1) })
	for b.Loop() {
		var ratios, costs, ours, theirs []float64
		for range pairs {
			served.Store(0)
			before := cpu(b)
			ourLoop(b, addrOf(srv))
			middle := cpu(b)
			sent := served.Load()
			o := float64(served.Swap(0)) / (pairLasts + lastChance).Seconds()
			vegetaLoop(srv.URL)
			v := float64(served.Load()) / pairLasts.Seconds()
			costs = append(costs, (cpu(b)-middle).Seconds()/float64(served.Load())/((middle-before).Seconds()/float64(sent)))
			ours, theirs, ratios = append(ours, o), append(theirs, v), append(ratios, o/v)
		}
		slices.Sort(ours)
		slices.Sort(theirs)
		slices.Sort(ratios)
		slices.Sort(costs)
		b.ReportMetric(ours[pairs/2], "ours-req/s")
		b.ReportMetric(theirs[pairs/2], "vegeta-req/s")
		b.ReportMetric(ratios[pairs/2], "median-ratio")
		b.ReportMetric(costs[pairs/2], "median-cpu-ratio")
		b.Logf("ratios %.3f, of CPU per request (server and journal included) %.3f", ratios, costs)
	}
}

// cpu is what this process has used of the processors, which a busy machine falsifies less than time.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func ourLoop(b *testing.B, addr string) {
	l := newLoad("get", pairRate, Constant)
	l.workers = pairPool
	r := newRig(b, addr, l)
	ctx, cancel := context.WithTimeout(context.Background(), pairLasts)
	defer cancel()
	// what was planned and not sent is recorded at the end, outside of the time that is measured
	if err := l.Run(ctx, r.session); err != nil {
		b.Fatal(err)
	}
}

func vegetaLoop(url string) {
	attacker := vegetalib.NewAttacker(vegetalib.MaxWorkers(pairPool), vegetalib.Timeout(defaultTimeout), vegetalib.KeepAlive(true))
	targeter := vegetalib.NewStaticTargeter(vegetalib.Target{Method: "GET", URL: url + "/"})
	var m vegetalib.Metrics
	for res := range attacker.Attack(targeter, vegetalib.Rate{Freq: pairRate, Per: time.Second}, pairLasts, "") {
		m.Add(res)
	}
	m.Close()
}
