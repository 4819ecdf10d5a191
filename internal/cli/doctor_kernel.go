package cli

import (
	"context"

	"chaos/internal/catalog"
	"chaos/internal/target"
)

// kernelNeed is what some faults need of the engine's kernel beyond what the engine itself does.
type kernelNeed struct {
	verb          target.Verb
	what, has, do string
}

func kernelNeeds() []kernelNeed {
	return []kernelNeed{
		{target.VerbLoss, "packet loss", "nf_tables, with the matches and targets of iptables",
			"only packet.loss needs it: on the engine's machine, modprobe -a nf_tables nft_compat xt_statistic xt_NFQUEUE, or a kernel that has them"},
		{target.VerbDelay, "packet delay", "netem",
			"only packet.delay needs it: on the engine's machine, modprobe sch_netem, or a kernel that has it; toxic.latency delays an edge without it"},
		{target.VerbNames, "name lookups", "nf_tables, with nat",
			"only dns.* needs it: on the engine's machine, modprobe -a nf_tables nft_nat nft_chain_nat, or a kernel that has them"},
		{target.VerbSlow, "slow disk", "in containers: system calls can be held", slowDiskNeeds("in containers")},
	}
}

func slowDiskNeeds(where string) string {
	return "only disk.slow " + where + " needs it: Linux 5.3 or newer on amd64 or arm64, and the right to trace other processes (SYS_PTRACE, or kernel.yama.ptrace_scope=0 for processes of one's own)"
}

// examineTracing tries whether runtime process can slow disks on this machine.
func (a *app) examineTracing(ctx context.Context) finding {
	f := finding{What: "slow disk", Do: slowDiskNeeds("with runtime process")}
	return f.tried(catalog.TryTracing(ctx, a.setting()), "of processes: system calls can be held")
}

// examineKernel tries whether the engine's kernel has what some faults need. It takes a second or two, and builds
// and pulls nothing.
func (a *app) examineKernel(ctx context.Context, args []string) (all []finding) {
	t, err := a.topology(args)
	if err != nil {
		t = nil // then the proxy's image is that of this program
	}
	probed, err := catalog.ProbeKernel(ctx, a.Binary, t)
	if err != nil {
		probed.Untried = err.Error()
	}
	for _, need := range kernelNeeds() {
		f := finding{What: need.what, Do: need.do}
		if probed.Untried != "" {
			f.Got, f.Do = "not probed: "+probed.Untried, "chaos images ensure"
		} else {
			f = f.tried(probed.Lacks[need.verb], need.has)
		}
		all = append(all, f)
	}
	return all
}

// tried completes a finding about something that was tried.
func (f finding) tried(lacks, has string) finding {
	f.OK, f.Got = lacks == "", has
	if !f.OK {
		f.Got = lacks
	}
	return f
}
