// Package disk holds the fault kinds on a node's folders. disk.fill takes what is free of one. Only folders that lie
// on file systems of their own that are bounded are ever filled, as target.yaml declares them: any other is the
// disk of the machine, which others use too. disk.read_only makes one read-only for the node alone, disk.slow slow for its processes alone.
package disk

import (
	"chaos/internal/fault"
	"chaos/internal/kind"
	"chaos/internal/slowdisk"
)

// The names of the kinds.
const (
	kindFill     = "disk.fill"
	kindReadOnly = "disk.read_only"
	kindSlow     = "disk.slow"
)

// Kinds lists the fault kinds of this package, for internal/catalog.
func Kinds() kind.Table[fault.Fault] {
	return kind.Table[fault.Fault]{
		{Name: kindFill, Doc: "fills a node's folder, which lies on a bounded file system of its own, until reverted: no space left on device",
			Bites: "no more than leave and 5 % of the file system is free at the end",
			New:   func() fault.Fault { return &Fill{} }},
		{Name: kindReadOnly, Doc: "makes a node's folder read-only until reverted, for what the node opens in it from then on: read-only file system",
			Bites: "an attempt to make a file in it fails at the end, or the node's process has ended",
			New:   func() fault.Fault { return &ReadOnly{} }},
		{Name: kindSlow, Doc: "holds each read, write and sync of a node's processes in a folder of the node until reverted, in files that were open before too",
			Bites: "an operation was held at the end, or they were held for at least 80 % of what was asked on average",
			New:   func() fault.Fault { return &Slow{Ops: slowdisk.Ops()} }},
	}
}
