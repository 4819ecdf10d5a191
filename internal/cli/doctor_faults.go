package cli

import (
	"context"

	"chaos/internal/catalog"
	"chaos/internal/target"
)

// slowDisk is the finding about what disk.slow needs of a place.
func slowDisk(where string) finding {
	return finding{What: "slow disk", Do: "only disk.slow " + where + " needs it: Linux 5.3 or newer on amd64 or arm64, and the right to trace other processes (SYS_PTRACE, or kernel.yama.ptrace_scope=0 for processes of one's own)"}
}

// examineFaults tries whether the engine's machine can lose and delay packets and slow disks. It takes seconds, and
// builds and pulls nothing.
func (a *app) examineFaults(ctx context.Context, args []string) []finding {
	loss := finding{What: "packet loss", Do: "only packet.loss needs it: on the engine's machine, modprobe -a nf_tables nft_compat xt_statistic xt_NFQUEUE, or a kernel that has them"}
	delay := finding{What: "packet delay", Do: "only packet.delay needs it: on the engine's machine, modprobe sch_netem, or a kernel that has it; toxic.latency delays an edge without it"}
	slow := slowDisk("in containers")
	t, err := a.topology(args)
	if err != nil {
		t = nil // then the proxy's image is that of this program
	}
	probed, err := catalog.ProbeEngine(ctx, a.Binary, t)
	switch {
	case err != nil:
		probed.Untried = err.Error()
	case probed.Untried == "":
		return []finding{
			loss.tried(probed.Lacks[target.VerbLoss], "nf_tables, with the matches and targets of iptables"),
			delay.tried(probed.Lacks[target.VerbDelay], "netem"),
			slow.tried(probed.Lacks[target.VerbSlow], "in containers: system calls can be held"),
		}
	}
	loss.Got, loss.Do = "not probed: "+probed.Untried, "chaos images ensure"
	delay.Got, delay.Do = loss.Got, loss.Do
	slow.Got, slow.Do = loss.Got, loss.Do
	return []finding{loss, delay, slow}
}

// examineTracing tries whether runtime process can slow disks on this machine.
func (a *app) examineTracing(ctx context.Context) finding {
	return slowDisk("with runtime process").tried(catalog.TryTracing(ctx, a.setting()), "of processes: system calls can be held")
}

// tried completes a finding about something that was tried.
func (f finding) tried(lacks, has string) finding {
	f.OK, f.Got = lacks == "", has
	if !f.OK {
		f.Got = lacks
	}
	return f
}
