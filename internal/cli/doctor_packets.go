package cli

import (
	"context"

	"chaos/internal/catalog"
	"chaos/internal/target"
)

// examinePackets tries whether the engine's kernel can lose and delay packets. It takes a second, and builds
// and pulls nothing.
func (a *app) examinePackets(ctx context.Context, args []string) []finding {
	loss := finding{What: "packet loss", Do: "only packet.loss needs it: on the engine's machine, modprobe -a nf_tables nft_compat xt_statistic xt_NFQUEUE, or a kernel that has them"}
	delay := finding{What: "packet delay", Do: "only packet.delay needs it: on the engine's machine, modprobe sch_netem, or a kernel that has it; toxic.latency delays an edge without it"}
	t, err := a.topology(args)
	if err != nil {
		t = nil // then the proxy's image is that of this program
	}
	probed, err := catalog.ProbePackets(ctx, a.Binary, t)
	switch {
	case err != nil:
		probed.Untried = err.Error()
	case probed.Untried == "":
		return []finding{
			loss.tried(probed.Lacks[target.VerbLoss], "nf_tables, with the matches and targets of iptables"),
			delay.tried(probed.Lacks[target.VerbDelay], "netem"),
		}
	}
	loss.Got, loss.Do = "not probed: "+probed.Untried, "chaos images ensure"
	delay.Got, delay.Do = loss.Got, loss.Do
	return []finding{loss, delay}
}

// tried completes a finding about something that was tried.
func (f finding) tried(lacks, has string) finding {
	f.OK, f.Got = lacks == "", has
	if !f.OK {
		f.Got = lacks
	}
	return f
}
