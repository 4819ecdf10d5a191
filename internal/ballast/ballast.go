// Package ballast fills a file system with a file, and keeps it until it is told to end. `chaos ballast` runs
// beside a node, where the node's folder can be reached:
//
//	hold <file> <leave>   allocates all but leave bytes, says so, and removes the file when it is told to end
//	look <file>           tells how the file and its file system stand
//	off <file>            removes what one left that was killed
//	keep                  does nothing: whose volumes it shares stay mounted while it runs
package ballast

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// Answer is what `chaos ballast` prints, one JSON object a line.
type Answer struct {
	Size    int64  `json:"size"`    // of the file system, in bytes
	Free    int64  `json:"free"`    // that the node could still write
	Ballast int64  `json:"ballast"` // that the file takes; 0: it is not there
	Error   string `json:"error,omitempty"`
}

// MaxSize is the largest file system that is filled: a larger one is not one made for that.
const MaxSize = 64 << 30

// Exit codes of Main.
const (
	exitOK    = 0
	exitUsage = 64
	exitError = 70
)

// Main runs `chaos ballast`; exit 0 means that it was done.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var a Answer
	var err error
	switch {
	case len(args) == 3 && args[0] == "hold":
		err = hold(ctx, args[1], args[2], stdout)
	case len(args) == 1 && args[0] == "keep":
		if err = json.NewEncoder(stdout).Encode(a); err == nil {
			<-ctx.Done()
			return exitOK
		}
	case len(args) == 2 && args[0] == "look":
		a, err = look(args[1])
	case len(args) == 2 && args[0] == "off":
		if err = remove(args[1]); err == nil {
			a, err = look(args[1])
		}
	default:
		fmt.Fprintln(stderr, "chaos ballast runs beside a node: hold <file> <leave>, look <file>, off <file> or keep")
		return exitUsage
	}
	if err == nil && args[0] == "hold" {
		return exitOK
	}
	if err != nil {
		a.Error = err.Error()
	}
	if told := json.NewEncoder(stdout).Encode(a); told != nil || err != nil {
		return exitError
	}
	return exitOK
}

func hold(ctx context.Context, file, text string, stdout io.Writer) error {
	leave, err := strconv.ParseInt(text, 10, 64)
	if err != nil || leave < 0 {
		return fmt.Errorf("%q is not a number of bytes", text)
	}
	if err := fill(file, leave); err != nil {
		return err
	}
	a, err := look(file)
	if err == nil {
		err = json.NewEncoder(stdout).Encode(a)
	}
	if err != nil {
		return errors.Join(err, remove(file))
	}
	<-ctx.Done()
	return remove(file)
}
