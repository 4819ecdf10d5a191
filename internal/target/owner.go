package target

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"chaos/internal/journal"
)

// Self is the owner that this process writes on what it makes. engine is the id of the engine that it is made on.
func Self(engine string) (journal.Owner, error) {
	machine, err := machineID()
	if err != nil {
		return journal.Owner{}, err
	}
	started, err := ProcessStart(os.Getpid())
	if err != nil {
		return journal.Owner{}, err
	}
	return journal.Owner{UID: os.Getuid(), Machine: machine, Engine: engine, PID: os.Getpid(), PIDTime: started, PIDSpace: pidSpace()}, nil
}

// pidSpace names the pid namespace of this process; empty where there are none.
func pidSpace() string {
	name, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return ""
	}
	return name
}

// machineID tells machines apart: systemd's machine id, else the host's name.
func machineID() (string, error) {
	if id, err := os.ReadFile("/etc/machine-id"); err == nil && len(strings.TrimSpace(string(id))) > 0 {
		return strings.TrimSpace(string(id)), nil
	}
	name, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("tell this machine from others: %w", err)
	}
	return name, nil
}

// Alive tells whether the process that owner names still runs on this machine. A recycled pid is not
// it; where start times can't be read any process of that number counts, which errs on the side of
// leaving things alone. So does an owner of another pid namespace (a harness in a container of its own,
// on the same engine): its pid means nothing here.
func Alive(owner journal.Owner) bool {
	if owner.PIDSpace != "" && owner.PIDSpace != pidSpace() {
		return true
	}
	p, err := os.FindProcess(owner.PID)
	if err != nil {
		return false
	}
	defer func() { _ = p.Release() }() // frees the handle; nothing is undone by its failing
	if err := p.Signal(syscall.Signal(0)); err != nil && !errors.Is(err, os.ErrPermission) {
		return false
	}
	started, err := ProcessStart(owner.PID)
	return err != nil || started == owner.PIDTime
}
