package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// proc is a process as ps tells of it. A pid is given again; its start is not.
type proc struct {
	pid, parent int
	start       time.Time
	command     string
}

// sameStart is how far apart two starts of one process may seem: ps reckons it from the time since boot.
const sameStart = 2 * time.Second

// is tells whether both are the same process.
func (p proc) is(other proc) bool {
	return p.pid == other.pid && p.start.Sub(other.start).Abs() <= sameStart
}

// processes are all that run; dead ones that nobody asked about are none.
func processes() (all []proc) {
	cmd := exec.Command("ps", "-axo", "pid=,ppid=,stat=,lstart=,command=")
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.Output()
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(out)) {
		if p, ok := parseProcess(line); ok {
			all = append(all, p)
		}
	}
	return all
}

// parseProcess reads "pid ppid stat Thu Nov 26 00:17:58 2026 command …".
func parseProcess(line string) (p proc, ok bool) {
	f := strings.Fields(line)
	if len(f) < 9 || strings.HasPrefix(f[2], "Z") {
		return p, false
	}
	pid, errPID := strconv.Atoi(f[0])
	parent, errParent := strconv.Atoi(f[1])
	start, err := time.ParseInLocation(time.ANSIC, strings.Join(f[3:8], " "), time.Local)
	return proc{pid, parent, start, strings.Join(f[8:], " ")}, errors.Join(errPID, errParent, err) == nil
}

// alive are those of the processes that run still.
func alive(some []proc) (left []string) {
	now := processes()
	for _, p := range some {
		if slices.ContainsFunc(now, p.is) {
			left = append(left, fmt.Sprintf("process %d, %.60s", p.pid, p.command))
		}
	}
	slices.Sort(left)
	return slices.Compact(left)
}

// event is what is read of a journal's line.
type event struct {
	Wall   time.Time `json:"wall"`
	Type   string    `json:"type"`
	Action string    `json:"action"`
}

// events are those of every journal of the run. A torn line is none.
func (v *victim) events() (all []event) {
	paths, _ := filepath.Glob(filepath.Join(v.reports(), "*", "*", "events.ndjson"))
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			continue
		}
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var e event
			if json.Unmarshal(lines.Bytes(), &e) == nil {
				all = append(all, e)
			}
		}
		_ = f.Close() // it was only read
	}
	return all
}

// open are the actions that were intended and neither reverted nor healed at a time.
func open(events []event, at time.Time) (actions []string) {
	for _, e := range events {
		switch {
		case e.Wall.After(at):
		case e.Type == "intent":
			actions = append(actions, e.Action)
		case e.Type == "reverted" || e.Type == "healed":
			actions = slices.DeleteFunc(actions, func(a string) bool { return a == e.Action })
		}
	}
	return actions
}

// runtime is the one that the run was on, as its journal says.
func (v *victim) runtime() string {
	paths, _ := filepath.Glob(filepath.Join(v.reports(), "*", "*", "run.json"))
	for _, path := range paths {
		var info struct{ Runtime string }
		if text, err := os.ReadFile(path); err == nil && json.Unmarshal(text, &info) == nil {
			return info.Runtime
		}
	}
	return ""
}

// left is everything of the run that is there though it should not be; of a kept target, everything that is
// not as a kept target should be.
func (v *victim) left() (left []string) {
	for _, action := range open(v.events(), time.Now()) {
		left = append(left, "the journal says that "+action+" is neither reverted nor healed")
	}
	left = append(left, v.toHeal()...)
	if v.keep {
		if !v.hurt {
			left = append(left, v.kept()...)
		}
		if _, err := v.call("target", "down", "--runtime", v.campaign.runtime, filepath.Join(v.dir, "target.yaml")); err != nil {
			left = append(left, err.Error())
		}
	}
	things, err := v.things()
	if err != nil {
		left = append(left, err.Error())
	}
	for _, t := range things {
		left = append(left, fmt.Sprintf("%s %s, %s", t.Kind, t.Name, t.Whose))
	}
	return append(append(left, v.labelled()...), v.running()...)
}

// toHeal is what chaos heal finds of this run: nothing, as all is healed.
func (v *victim) toHeal() (left []string) {
	out, err := v.call("heal", "--json", "--reports", v.reports())
	if err != nil {
		return []string{err.Error()}
	}
	var r struct{ Reverted, Removed, Left []string }
	if err := json.Unmarshal(out, &r); err != nil {
		return []string{"chaos heal: " + err.Error()}
	}
	for _, line := range append(r.Reverted, r.Left...) {
		left = append(left, "chaos heal still found "+line)
	}
	by := fmt.Sprintf("made by process %d)", v.cmd.Process.Pid)
	for _, line := range r.Removed { // it may be somebody else's
		if strings.Contains(line, by) {
			left = append(left, "chaos heal still removed "+line)
		}
	}
	return left
}

// kept is what is wrong with a target that was kept: a node that does not run, or a way through the edge that
// is not as it was. One that never was ready is not kept.
func (v *victim) kept() (wrong []string) {
	things, err := v.things()
	if err != nil {
		return []string{err.Error()}
	}
	if !slices.ContainsFunc(v.events(), func(e event) bool { return e.Type == "system.ready" }) {
		for _, t := range things {
			wrong = append(wrong, fmt.Sprintf("%s %s is kept, and never was ready", t.Kind, t.Name))
		}
		return wrong
	}
	running := 0
	for _, t := range things {
		if t.Node != "" && t.State == "running" {
			running++
		}
		if t.Whose != "kept" {
			wrong = append(wrong, fmt.Sprintf("%s %s is %s, not kept", t.Kind, t.Name, t.Whose))
		}
	}
	if running != nodes {
		wrong = append(wrong, fmt.Sprintf("of the kept target's %d nodes %d run: %v", nodes, running, things))
	}
	if err := v.through(); err != nil {
		wrong = append(wrong, "the kept target is not as it was: "+err.Error())
	}
	return wrong
}

// nodes of the target: the proxy, redis and app.
const nodes = 3

// throughWithin is for one request through the edge: less than what any of the toxics takes.
const throughWithin = time.Second

// throughTries are for a machine that stands still for a second: a fault that was left is there each time.
const throughTries = 3

// through asks the kept target, through its edge.
func (v *victim) through() error {
	out, err := v.call("target", "up", "--json", "--runtime", v.campaign.runtime, filepath.Join(v.dir, "target.yaml"))
	if err != nil {
		return err
	}
	var all []struct{ Node, Address string }
	if err := json.Unmarshal(out, &all); err != nil {
		return err
	}
	client := http.Client{Timeout: throughWithin}
	for _, e := range all {
		if e.Node != "app" {
			continue
		}
		var resp *http.Response
		for range throughTries {
			if resp, err = client.Post("http://"+e.Address+"/count", "", nil); err == nil {
				break
			}
		}
		if err != nil {
			return err
		}
		if err := resp.Body.Close(); err != nil || resp.StatusCode != http.StatusOK {
			return fmt.Errorf("it answers %d (%v)", resp.StatusCode, err)
		}
		return nil
	}
	return fmt.Errorf("it publishes no port of app: %s", out)
}

// labelled is what the container engine has with the target's label, whatever chaos says.
func (v *victim) labelled() (left []string) {
	if v.campaign.runtime != "docker" {
		return nil
	}
	for _, kind := range []string{"container", "network", "volume"} {
		args := []string{kind, "ls", "--quiet", "--filter", "label=chaos.target=" + v.target}
		if kind == "container" {
			args = append(args, "--all")
		}
		out, err := exec.Command("docker", args...).Output()
		if err != nil {
			left = append(left, fmt.Sprintf("docker %s: %v", kind, err))
		}
		for _, id := range strings.Fields(string(out)) {
			left = append(left, kind+" "+id)
		}
	}
	return left
}

// running are processes of the run that still run. One that nothing has in hand any more, such as a compiler
// whose harness was killed, gets a moment to end.
func (v *victim) running() (left []string) {
	for limit := time.Now().Add(dieWithin); ; <-time.After(lookEvery * 5) {
		if left = alive(v.seen); len(left) == 0 || time.Now().After(limit) {
			return left
		}
	}
}
