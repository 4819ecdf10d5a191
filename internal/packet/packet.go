// Package packet loses and delays the packets of one network namespace: the one it runs in. The program runs
// in a container of its own beside a node, in the node's namespace, does one thing, says in JSON how everything
// of its kind is then, and ends:
//
//	target/docker ── chaos packet '{"op":"loss", …}' ──▶ [ node's namespace ] ──▶ {"losses":[…], "delays":[…]}
//
// Nothing is remembered outside the kernel. A loss is an nftables table that is called after its fault, so
// undoing is deleting that table, whoever does it and however often. A delay is a queueing discipline whose
// handle is made of the fault's id.
//
//	table inet chaos/<fault>/<n>
//	  chain out (hook output)   not lo, these peers ─▶ counter: seen ─▶ statistic, random ─▶ counter: lost ─▶ NFQUEUE
//	  chain in  (hook input)    not lo, these peers ─▶ counter: seen ─▶ statistic, random ─▶ counter: lost ─▶ drop
//
// Statistic and NFQUEUE are those of iptables, used as iptables-nft uses them. The program iptables itself is
// not needed, and no other image than the proxy's. A packet on its way out is not dropped but queued for a
// program that is not there: the kernel discards it then without telling the sender, as a wire does. A drop
// would be told to it (UDP: "operation not permitted"), and TCP would not count it as lost.
package packet

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"net/netip"
	"strings"
	"time"
)

// What can be asked for.
const (
	OpLoss  = "loss"  // put Loss in force under ID; one that is there is replaced
	OpDelay = "delay" // put Delay in force under ID; one that is there is replaced
	OpClear = "clear" // remove what is in force under ID; nothing there is not an error
	OpLook  = "look"
	OpProbe = "probe" // find out what this kernel lacks; for a namespace that nobody uses
)

// Request is one thing to do.
type Request struct {
	Op    string `json:"op"`
	ID    string `json:"id,omitempty"`
	Loss  *Loss  `json:"loss,omitempty"`
	Delay *Delay `json:"delay,omitempty"`
}

// Loss is a share of packets that never arrive.
type Loss struct {
	Share   float64  `json:"share"` // over 0 up to 1; drawn for each packet by itself
	In      bool     `json:"in,omitempty"`
	Out     bool     `json:"out,omitempty"`
	Streams []Stream `json:"streams,omitempty"` // which packets; none named: all but those of the loopback device
}

// Stream is packets between this namespace and an address.
type Stream struct {
	Peer   netip.Addr `json:"peer"`
	Remote uint16     `json:"remote,omitempty"` // TCP port of the peer; 0: any packet
	Local  uint16     `json:"local,omitempty"`  // TCP port here; 0: any
}

// String says which packets in words.
func (s Stream) String() string {
	words := "peer " + s.Peer.String()
	if s.Remote > 0 {
		words += fmt.Sprintf(", its TCP port %d", s.Remote)
	}
	if s.Local > 0 {
		words += fmt.Sprintf(", TCP port %d here", s.Local)
	}
	return words
}

// Delay is how much later each packet leaves.
type Delay struct {
	Latency time.Duration `json:"latency_ns"`
	Jitter  time.Duration `json:"jitter_ns,omitempty"` // each packet's delay is drawn from latency ± jitter
}

// Answer is how the namespace is after the request was done.
type Answer struct {
	Losses []LossState       `json:"losses,omitempty"`
	Delays []DelayState      `json:"delays,omitempty"`
	Lacks  map[string]string `json:"lacks,omitempty"` // of OpProbe: OpLoss or OpDelay, and what is missing for it
	Error  string            `json:"error,omitempty"` // why the request was not done
}

// LossState is a loss that is in force.
type LossState struct {
	Name    string   `json:"name"` // TableName of its id
	Streams []string `json:"streams,omitempty"`
	In      *Count   `json:"in,omitempty"` // nil: packets in this direction are not touched
	Out     *Count   `json:"out,omitempty"`
}

// Count is how many packets a rule has seen, and how many of them it lost.
type Count struct {
	Seen uint64 `json:"seen"`
	Lost uint64 `json:"lost"`
}

// DelayState is a delay that is in force on one device.
type DelayState struct {
	Handle  uint16        `json:"handle"` // Handle of its id
	Device  string        `json:"device"`
	Latency time.Duration `json:"latency_ns"` // as the kernel has it
	Jitter  time.Duration `json:"jitter_ns,omitempty"`
	Left    uint64        `json:"left"`    // packets that were delayed and have left
	Dropped uint64        `json:"dropped"` // packets that found the queue full
	Waiting uint64        `json:"waiting"` // packets that are being delayed
}

// Answer answers for one id.
func (a Answer) Loss(id string) (LossState, bool) {
	for _, l := range a.Losses {
		if l.Name == TableName(id) {
			return l, true
		}
	}
	return LossState{}, false
}

// Delay returns the states of one id, one a device.
func (a Answer) Delay(id string) (all []DelayState) {
	for _, d := range a.Delays {
		if d.Handle == Handle(id) {
			all = append(all, d)
		}
	}
	return all
}

// tablePrefix begins the names of our tables, and of nobody else's.
const tablePrefix = "chaos/"

// TableName is the name of the table of a loss, in characters that the program nft takes without quotes.
func TableName(id string) string { return tablePrefix + strings.ReplaceAll(id, "#", "/") }

// Handle is the handle of the queueing discipline of a delay: from 0xc000 to 0xcfff, which nobody else is
// likely to use.
func Handle(id string) uint16 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(id)) // never fails
	return 0xc000 | uint16(h.Sum32()&0x0fff)
}

// Exit codes of Main.
const (
	exitOK    = 0
	exitUsage = 64
	exitError = 70
)

// Main runs `chaos packet` with one argument, a Request as JSON. It writes the Answer to stdout and returns 0;
// 70 with an Answer that has an Error, 64 when there is no request. It does nothing unless this process is the first
// of a container: typed in a shell it would lose the packets of the machine itself.
func Main(_ context.Context, args []string, stdout, stderr io.Writer) int {
	if !contained() {
		fmt.Fprintln(stderr, "chaos packet: runs only as the first process of a container, which the docker runtime starts beside a node")
		return exitUsage
	}
	return serve(args, stdout, stderr)
}

func serve(args []string, stdout, stderr io.Writer) int {
	var r Request
	if len(args) != 1 || json.Unmarshal([]byte(args[0]), &r) != nil {
		fmt.Fprintln(stderr, "chaos packet: want one argument, a request as JSON; the docker runtime makes it")
		return exitUsage
	}
	a, err := Do(r)
	if err != nil {
		a.Error = err.Error()
	}
	if encoded := json.NewEncoder(stdout).Encode(a); encoded != nil || err != nil {
		return exitError
	}
	return exitOK
}

// check refuses what makes no sense, so that it is never half done.
func (r Request) check() error {
	switch {
	case r.ID == "" && (r.Op == OpLoss || r.Op == OpDelay || r.Op == OpClear):
		return fmt.Errorf("%s: without an id", r.Op)
	case r.Op == OpLoss && (r.Loss == nil || !(r.Loss.Share > 0) || r.Loss.Share > 1 || !r.Loss.In && !r.Loss.Out):
		return fmt.Errorf("loss: want a share over 0 up to 1 and a direction")
	case r.Op == OpDelay && (r.Delay == nil || r.Delay.Latency <= 0 || r.Delay.Jitter < 0):
		return fmt.Errorf("delay: want a latency over 0, and no negative jitter")
	}
	return nil
}
