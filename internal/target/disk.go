package target

import (
	"context"
	"maps"
	"slices"
	"strings"

	"chaos/internal/slowdisk"
)

// Filler is the capability behind VerbFill: a node's folder can be filled. Only one on a file system of its own
// that is bounded (NodeSpec.Bounded) ever is: any other is the machine's disk. One fault at a time may be on a
// node's disk.
type Filler interface {
	// FillDisk fills the file system of a folder of a node, which must run, until leave bytes are free, under an id
	// of the caller's. One under another id is an error, and so is one under the same.
	FillDisk(ctx context.Context, node, id, folder string, leave int64) error
	// Disk tells how a folder stands.
	Disk(ctx context.Context, node, folder string) (DiskState, error)
	// FreeDisk gives back what was taken under the id. Nothing taken, and a node that does not run, are not errors.
	FreeDisk(ctx context.Context, node, id, folder string) error
}

// DiskState is a fault on a node's disk.
type DiskState struct {
	ID     string `json:"id,omitempty"`     // of the fault that is in force; "": none
	Size   int64  `json:"size"`             // of the file system, bytes; zero when nothing is in force
	Free   int64  `json:"free"`             // that the node can still write
	Taken  int64  `json:"taken"`            // by the fault
	Missed string `json:"missed,omitempty"` // why it is not full any more though it is in force, such as a node that was started anew, or ""
}

// Bounded are the node's folders that lie on bounded file systems of their own.
func (n NodeSpec) Bounded() (folders []string) {
	for folder, options := range n.Tmpfs {
		if slices.ContainsFunc(strings.Split(options, ","), func(o string) bool { return strings.HasPrefix(o, "size=") }) {
			folders = append(folders, folder)
		}
	}
	if n.VolumeSize != "" {
		folders = append(folders, n.Volumes...)
	}
	slices.Sort(folders)
	return folders
}

// Folders are the node's folders that it can write: its volumes and tmpfs.
func (n NodeSpec) Folders() []string {
	return slices.Sorted(slices.Values(slices.Concat(n.Volumes, slices.Collect(maps.Keys(n.Tmpfs)))))
}

// Protector is the capability behind VerbReadOnly: a node's folder can be made read-only for what the node opens
// from then on. One fault at a time may be on a node's disk.
type Protector interface {
	// ProtectDisk makes a folder (NodeSpec.Folders) of a node, which must run, read-only under an id of the
	// caller's. One under another id is an error, and so is one under the same.
	ProtectDisk(ctx context.Context, node, id, folder string) error
	// Protection tells how a folder stands.
	Protection(ctx context.Context, node, folder string) (Protection, error)
	// UnprotectDisk makes it writable again if it was made read-only under the id. Nothing made so, and a node that
	// does not run, are not errors.
	UnprotectDisk(ctx context.Context, node, id, folder string) error
}

// Protection is whether a folder is read-only by a fault.
type Protection struct {
	ID      string `json:"id,omitempty"`      // of the fault that is on the node's disk; "": none
	Attempt string `json:"attempt,omitempty"` // why a file could not be made in it just now; "": it could, or nobody could try
	Writers int    `json:"writers"`           // files in it that were open for writing before, and still are: they are not read-only
	Missed  string `json:"missed,omitempty"`  // why it is not as the fault made it any more, such as a node that has ended, or ""
}

// Slower is the capability behind VerbSlow: what a node's processes do in a folder can be held. One fault at a time may
// be on a node's disk.
type Slower interface {
	// SlowDisk makes a folder (NodeSpec.Folders) of a node, which must run, slow under an id of the caller's. One under
	// another id is an error, and so is one under the same.
	SlowDisk(ctx context.Context, node, id, folder string, s slowdisk.Slow) error
	// Slowness tells what came of it.
	Slowness(ctx context.Context, node string) (Slowness, error)
	// UnslowDisk ends it if it was made under the id; what is held is done at once. Nothing made so, and a node that
	// does not run, are not errors.
	UnslowDisk(ctx context.Context, node, id string) error
}

// Slowness is what a fault has held on a node's disk.
type Slowness struct {
	ID     string                    `json:"id,omitempty"`     // of the fault that is on the node's disk; "": none
	Counts map[string]slowdisk.Count `json:"counts,omitempty"` // by operation
	Held   int                       `json:"held"`             // now
	Passed uint64                    `json:"passed"`           // other system calls of the node's processes
	Missed string                    `json:"missed,omitempty"` // why it is not slow any more, such as a node that has ended, or ""
}
