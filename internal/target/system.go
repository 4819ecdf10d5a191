package target

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"chaos/internal/edge"
)

// Verb names one thing a runtime can do, such as node.signal or edge.toxic. A fault kind asks for
// verbs in Plan, so an impossible pair fails before anything is touched.
type Verb string

// The verbs of this slice. Conformance proves that each declared verb exists.
const (
	VerbSignal     Verb = "node.signal"     // Signaller
	VerbPause      Verb = "node.pause"      // Pauser
	VerbDisconnect Verb = "node.disconnect" // Connecter
	VerbLimit      Verb = "node.limit"      // Limiter
	VerbReplace    Verb = "node.replace"    // Replacer
	VerbLoss       Verb = "node.loss"       // Lossy
	VerbDelay      Verb = "node.delay"      // Delayer
	VerbFill       Verb = "disk.fill"       // Filler
	VerbReadOnly   Verb = "disk.read_only"  // Protector
	VerbSlow       Verb = "disk.slow"       // Slower
	VerbNames      Verb = "node.names"      // Namer
	VerbEdge       Verb = "edge.toxic"      // Proxied
	VerbCall       Verb = "node.call"       // System.Call
	VerbLogs       Verb = "node.logs"       // System.Logs
	VerbExec       Verb = "node.exec"
)

// Capabilities are what a runtime declares.
type Capabilities struct {
	Runtime string
	Verbs   []Verb
	// Has names the runtimes that declare each verb, so that a refusal can say where a kind would work. Nil:
	// nobody told (see Among).
	Has map[Verb][]string
	// Lacking tells what the engine's machine lacks for a verb that the runtime has, in words, or "". It is asked
	// only when a fault needs the verb, since finding out may take a second; Probe makes it. Nil: the machine
	// is taken to have everything.
	Lacking func(Verb) string
}

// Among returns c, told what every runtime declares, in the order in which they are to be named.
func (c Capabilities) Among(all []Capabilities) Capabilities {
	c.Has = make(map[Verb][]string)
	for _, other := range all {
		for _, v := range other.Verbs {
			c.Has[v] = append(c.Has[v], other.Runtime)
		}
	}
	return c
}

// Need returns an error that names the runtime, what it lacks and, when known, the runtimes that have
// it; or nil.
func (c Capabilities) Need(kind string, verbs ...Verb) error {
	for _, v := range verbs {
		if slices.Contains(c.Verbs, v) {
			if c.Lacking == nil {
				continue
			}
			if lacks := c.Lacking(v); lacks != "" {
				return fmt.Errorf("%s needs %s, which runtime %s has, but not on this machine: %s", kind, v, c.Runtime, lacks)
			}
			continue
		}
		where := ""
		switch has := c.Has[v]; {
		case len(has) > 0:
			where = "; runtimes that have it: " + strings.Join(has, ", ")
		case c.Has != nil:
			where = "; no runtime has it"
		}
		return fmt.Errorf("%s needs %s, which runtime %s does not have%s", kind, v, c.Runtime, where)
	}
	return nil
}

// Options are what a runtime must know beside the topology.
type Options struct {
	Variant  string            // the environment overlay to start with
	Run      string            // id of the run or suite that owns what is started; goes into labels
	Suite    string            // id of the target's life; containers keep it over several runs
	Keep     bool              // the target outlives the process that started it (run --keep, target up): sweeping spares it
	Progress func(line string) // one line a step, for people; may be nil
}

// Runtime starts systems.
type Runtime interface {
	Name() string
	Capabilities(ctx context.Context) (Capabilities, error)
	// Start brings the whole target up and returns when every node is ready. On error nothing is left.
	Start(ctx context.Context, t *Topology, o Options) (System, error)
	// Attach takes hold of a running system in another process, by its handle.
	Attach(ctx context.Context, t *Topology, handle json.RawMessage) (System, error)
}

// System is a running target.
type System interface {
	Topology() *Topology
	// Endpoint returns host:port of a published port as of now. Never cache it: it changes when a node restarts.
	Endpoint(ctx context.Context, node, port string) (string, error)
	// Ready returns nil when every node is ready; else an error with the last log lines of those that aren't.
	Ready(ctx context.Context) error
	// Reset prepares for a run: stateless nodes anew with the variant's environment, stateful ones emptied,
	// fresh proxy links; verified, and ready when it returns.
	Reset(ctx context.Context, variant, run string) error
	// Call makes a request to a published port, with secrets filled in. A status outside 2xx is a *StatusError.
	Call(ctx context.Context, c Call) ([]byte, error)
	// Logs writes a node's whole log since the last Reset.
	Logs(ctx context.Context, node string, w io.Writer) error
	// Handle is all that Attach needs. It holds no secret in the clear that is not needed to heal.
	Handle() json.RawMessage
	// Facts are image digests and versions, for run.json.
	Facts(ctx context.Context) (images, machine map[string]string)
	// Close removes everything that was started. It is idempotent.
	Close(ctx context.Context) error
}

// State is what a runtime sees of a node from outside.
type State struct {
	Exists    bool
	Running   bool
	Paused    bool
	ExitCode  int
	OOMKilled bool
	StartedAt time.Time
	// FinishedAt is when the last process that has ended did so, by the engine's clock: while the node runs, the
	// one before. Zero when there was none, or when unknown.
	FinishedAt time.Time
}

// Signaller is the capability behind VerbSignal.
type Signaller interface {
	State(ctx context.Context, node string) (State, error)
	// Signal sends "TERM" or "KILL" to the node's process; a node that is gone already is not an error.
	Signal(ctx context.Context, node, signal string) error
	// StartNode starts a stopped node again and returns when it runs (not: is ready). Running = nil.
	StartNode(ctx context.Context, node string) error
	// NodeReady waits until the node's own health check holds.
	NodeReady(ctx context.Context, node string) error
}

// Pauser is the capability behind VerbPause: State.Paused tells whether it is in effect.
type Pauser interface {
	// Pause freezes every process of the node, which keeps its memory and its connections and does nothing. A
	// paused node is not an error; one that does not run is.
	Pause(ctx context.Context, node string) error
	// Unpause lets them go on. A node that is not paused is not an error, whether it runs or not.
	Unpause(ctx context.Context, node string) error
}

// Connecter is the capability behind VerbDisconnect. Every edge goes through the proxy, which is on the same
// network: a node that is off it is cut from its callers and from whatever it calls.
type Connecter interface {
	// Connection tells how the node stands to the target's network.
	Connection(ctx context.Context, node string) (Connection, error)
	// Disconnect takes the node off the network. One that is off it is not an error.
	Disconnect(ctx context.Context, node string) error
	// Connect puts it back under its own name, whether it runs or not; its address and published ports may be
	// others than before. One that is on it under its name is not an error.
	Connect(ctx context.Context, node string) error
}

// Connection is how a node stands to the target's network.
type Connection uint8

// The ways to stand to a network.
const (
	Disconnected Connection = iota
	Nameless                // on the network, but nobody finds it by its name
	Connected               // on the network under its own name
)

// String says it in words.
func (c Connection) String() string {
	return [...]string{"off the network", "on the network without its name", "on the network"}[c]
}

// Proxied is the capability behind VerbEdge: the link of an edge.
type Proxied interface {
	// Link returns the client of the proxy that carries the edge and the name of its link there.
	Link(ctx context.Context, edgeName string) (client *edge.Client, link string, err error)
}

// StatusError is an answer outside 2xx.
type StatusError struct {
	Status int
	Body   string
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("answered %d: %s", e.Status, strings.TrimSpace(e.Body))
}

// ErrUnresponsive is wrapped by a runtime when its engine does not answer within 2 s. Healing does
// not wait for it: what it would have healed is RESIDUE, and named.
var ErrUnresponsive = errors.New("the engine does not answer")

// Watcher is an optional capability: it tells of nodes that are not running, and why.
type Watcher interface {
	// Died returns the nodes that should run and don't, with exit code and last log lines.
	Died(ctx context.Context) (map[string]string, error)
}

// Answering is an optional capability: it asks the engine whether it answers at all.
type Answering interface {
	// Answers asks for the least that there is, and waits for at most a second. An engine that does not answer is
	// ErrUnresponsive.
	Answers(ctx context.Context) error
}

// StandIns is an optional capability: it names, in words, what served for a program that the machine
// lacks. A verdict on them says so.
type StandIns interface {
	StandIns() []string
}

// ErrLeft is wrapped by Start when what it made of a target that did not come up could not be removed.
var ErrLeft = errors.New("left behind")

// ErrGone is wrapped by Attach when the target was removed: there is nothing left to heal.
var ErrGone = errors.New("the target is gone")
