package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// way is one way to strike a run.
type way struct {
	name string
	do   func(*victim) error
	// ends says that the run is over with the strike, so that the time to its being healed can be told.
	ends bool
	// heals says that nobody is left who heals: chaos heal must.
	heals bool
	// hurts says that a node stays dead: that is no residue of a fault, and a kept target is not asked.
	hurts bool
	// unable says why this machine can't; nil when it always can.
	unable func(*campaign) string
	// before and after prepare the run's folder for it, and clear it away.
	before, after func(*victim) error
}

// errTooEarly says that what was to be struck was not there yet, or no more.
var errTooEarly = errors.New("there was nothing to strike")

func ways() []way {
	return []way{
		{name: "SIGINT", ends: true, do: harness(syscall.SIGINT)},
		{name: "SIGTERM", ends: true, do: harness(syscall.SIGTERM)},
		{name: "SIGKILL of the harness", ends: true, do: harness(syscall.SIGKILL)},
		{name: "SIGINT, then SIGKILL", ends: true, do: impatient},
		{name: "SIGKILL of the watchdog", do: killWatchdog},
		{name: "SIGKILL of harness and watchdog", ends: true, heals: true, do: killBoth},
		{name: "SIGKILL of the proxy", hurts: true, do: killNode("proxy")},
		{name: "SIGKILL of a node", hurts: true, do: killNode("redis", "app")},
		{name: "full disk", do: fill, unable: noMount, before: mount, after: unmount},
		{name: "restart of the daemon", hurts: true, do: restart, unable: noDaemon},
	}
}

// able are the ways that this machine can, and why the others are left out.
func (c *campaign) able(only string) (able []way, out []string) {
	for _, w := range ways() {
		if only != "" && w.name != only {
			continue
		}
		if w.unable != nil {
			if why := w.unable(c); why != "" {
				out = append(out, w.name+": "+why)
				continue
			}
		}
		able = append(able, w)
	}
	return able, out
}

func harness(sig syscall.Signal) func(*victim) error {
	return func(v *victim) error { return v.cmd.Process.Signal(sig) }
}

// impatience is for how long somebody waits who kills what does not end at once.
const impatience = 1500 * time.Millisecond

// impatient interrupts, and kills the harness in the middle of its healing.
func impatient(v *victim) error {
	if err := v.cmd.Process.Signal(syscall.SIGINT); err != nil {
		return err
	}
	if !v.pause(time.Duration(v.rng.Int64N(int64(impatience)))) {
		return nil
	}
	return v.cmd.Process.Kill()
}

func killWatchdog(v *victim) error {
	pid := v.watchdog()
	if pid == 0 {
		return errTooEarly
	}
	return syscall.Kill(pid, syscall.SIGKILL)
}

func killBoth(v *victim) error {
	if err := killWatchdog(v); err != nil && !errors.Is(err, errTooEarly) {
		return err
	}
	return v.cmd.Process.Kill()
}

// killNode kills one of the nodes, behind the harness's back.
func killNode(names ...string) func(*victim) error {
	return func(v *victim) error {
		node := names[v.rng.IntN(len(names))]
		things, err := v.things()
		if err != nil {
			return err
		}
		for _, t := range things {
			var pid int
			switch {
			case t.Node != node:
			case t.Kind == "container":
				said, err := exec.Command("docker", "kill", "--signal", "KILL", t.Name).CombinedOutput()
				if strings.Contains(string(said), "No such container") || strings.Contains(string(said), "is not running") {
					return errTooEarly // or just gone
				}
				if err != nil {
					return fmt.Errorf("docker kill %s: %w: %s", t.Name, err, said)
				}
				return nil
			case t.Kind == "process":
				if _, err := fmt.Sscanf(t.Name, node+", pid %d", &pid); err != nil {
					return err
				}
				return syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		return errTooEarly
	}
}

// diskSize is of the file system that a run's journal fills up: some runs write less than that themselves.
const diskSize = "4m"

func noMount(c *campaign) string {
	if runtime.GOOS != "linux" {
		return "a small file system is made by mount -t tmpfs, of Linux"
	}
	dir := filepath.Join(c.dir, "disk")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err.Error()
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+diskSize, "tmpfs", dir).CombinedOutput(); err != nil {
		return "a small file system can't be mounted here: " + strings.TrimSpace(string(out))
	}
	if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
		return "a small file system can't be unmounted here: " + strings.TrimSpace(string(out))
	}
	return ""
}

func mount(v *victim) error {
	out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+diskSize, "tmpfs", v.reports()).CombinedOutput()
	if err != nil {
		return fmt.Errorf("mount: %w: %s", err, out)
	}
	return nil
}

// unmount keeps what is on the small disk, and unmounts it.
func unmount(v *victim) error {
	disk, kept := v.reports(), filepath.Join(v.dir, "disk")
	err := os.CopyFS(kept, os.DirFS(disk))
	if out, failed := exec.Command("umount", disk).CombinedOutput(); failed != nil {
		return errors.Join(err, fmt.Errorf("umount: %w: %s", failed, out))
	}
	return errors.Join(err, os.Remove(disk), os.Rename(kept, disk))
}

const filler = "filler"

// fill fills the disk with a file.
func fill(v *victim) error {
	f, err := os.Create(filepath.Join(v.reports(), filler))
	if err != nil {
		return err
	}
	block := make([]byte, 4096)
	for err == nil {
		_, err = f.Write(block)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		return errors.Join(err, f.Close())
	}
	return f.Close()
}

func noDaemon(c *campaign) string {
	switch {
	case c.runtime != "docker":
		return "runtime " + c.runtime + " has none"
	case c.restart == "":
		return "no -restart-daemon command was given"
	}
	return ""
}

func restart(v *victim) error { return exec.Command("/bin/sh", "-c", v.restart).Run() }
