// Package readonly makes a mounted folder of a running process read-only, and writable again. `chaos readonly`
// runs beside a node, in its pid namespace:
//
//	hold <pid> <folder>   makes it read-only, says so, and undoes that when it is told to end
//	look <pid> <folder>   tells how it stands
//	off <pid> <folder>    undoes what one left that was killed
//
// The folder is mounted once more over itself, read-only, in the mount namespace of the process. Whose working
// directory was in the folder is made to enter it anew: relative names would go round the new mount.
package readonly

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// Answer is what `chaos readonly` prints, one JSON object a line.
type Answer struct {
	Mounted bool   `json:"mounted"`           // the read-only mount is there
	Attempt string `json:"attempt,omitempty"` // what making a file in it came to; "": it was made, and removed
	Writers int    `json:"writers"`           // files in it that the node holds open for writing, from before
	Moved   int    `json:"moved,omitempty"`   // processes that were made to enter it anew
	Error   string `json:"error,omitempty"`
}

// Exit codes of Main.
const (
	exitOK    = 0
	exitUsage = 64
	exitError = 70
)

// Main runs `chaos readonly`; exit 0 means that it was done.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) != 3 {
		return usage(stderr)
	}
	pid, err := strconv.Atoi(args[1])
	if err != nil || pid <= 0 {
		return usage(stderr)
	}
	var a Answer
	switch f := (folder{pid: pid, path: args[2]}); args[0] {
	case "hold":
		if a, err = f.put(); err == nil {
			if err = json.NewEncoder(stdout).Encode(a); err == nil {
				<-ctx.Done()
			}
			if err = errors.Join(err, f.off()); err == nil {
				return exitOK
			}
		}
	case "look":
		a, err = f.look()
	case "off":
		if err = f.off(); err == nil {
			a, err = f.look()
		}
	default:
		return usage(stderr)
	}
	if err != nil {
		a.Error = err.Error()
	}
	if told := json.NewEncoder(stdout).Encode(a); told != nil || err != nil {
		return exitError
	}
	return exitOK
}

func usage(stderr io.Writer) int {
	fmt.Fprintln(stderr, "chaos readonly runs beside a node: hold, look or off, with <pid> <folder>")
	return exitUsage
}

// folder is a folder as a process sees it.
type folder struct {
	pid  int
	path string
}
