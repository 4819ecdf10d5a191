package target

import (
	"context"
	"time"
)

// Namer is the capability behind VerbNames: what a node hears when it looks one name up. One fault at a time
// may be on a node's names. It is on the node's process: with a new one every lookup is as before.
type Namer interface {
	// SetName puts a fault in force on a node, which must run, under an id of the caller's. One under the same id
	// is replaced; one under another id is an error.
	SetName(ctx context.Context, node, id string, f NameFault) error
	// Name tells what is in force on a node's names, and what came of it.
	Name(ctx context.Context, node string) (NameState, error)
	// ClearName ends the fault under the id. None, one under another id, and a node that does not run are not
	// errors. Lookups that wait are answered.
	ClearName(ctx context.Context, node, id string) error
}

// NameFault is what becomes of the lookups of one name; exactly one of NoSuchHost, Late and Answer is set.
type NameFault struct {
	Name       string        `json:"name"`
	NoSuchHost bool          `json:"no_such_host,omitempty"`
	Late       time.Duration `json:"late_ns,omitempty"` // answered rightly, this much later
	Answer     string        `json:"answer,omitempty"`  // answered with this IPv4 address, or that of this node
}

// NameState is a fault on a node's names.
type NameState struct {
	ID     string        // of the fault that is in force; "": none
	Fault  string        // what it does, in words
	Hit    uint64        // lookups of its name; a client asks once for each kind of address
	Done   uint64        // of those, answered as the fault says
	Late   time.Duration // of those together
	Held   uint64        // of those hit, waiting now
	Passed uint64        // lookups of other names
	// Missed is why lookups are not hit any more though it is in force, such as a node that was started anew, or "".
	Missed string
}
