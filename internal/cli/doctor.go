package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"chaos/internal/catalog"
	"chaos/internal/target"
	"chaos/internal/verdict"
)

// What a machine should have.
const (
	minFiles = 4096 // open files: a 5 s timeout at 160 requests/s holds 800 sockets, twice over, and room
	minCPUs  = 2    // the generator and the target share the machine
)

// finding is one line of chaos doctor.
type finding struct {
	What string `json:"what"`
	OK   bool   `json:"ok"`
	Must bool   `json:"must"` // without it nothing runs
	Got  string `json:"got"`
	Do   string `json:"do,omitempty"` // what to do about it
}

func (a *app) doctorCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "doctor [target]",
		Short: "Say what this machine has, what is missing, and what to do about it",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.doctor(c.Context(), args)
		},
	}
	return a.jsonFlag(c)
}

func (a *app) doctor(ctx context.Context, args []string) error {
	all := a.examineEngine(ctx)
	if all[0].OK {
		all = append(all, a.examineImages(ctx, args))
		all = append(all, a.examineKernel(ctx, args)...)
	}
	programs := a.examinePrograms(args)
	all = append(all, programs, a.examineTracing(ctx), a.examineRuntimes(all[0], programs), a.examineLeftovers(ctx))
	all = append(all, a.examineTools()...)
	all = append(all, a.examineMachine()...)
	ill := false
	for _, f := range all {
		ill = ill || f.Must && !f.OK
	}
	if a.json {
		if err := a.printJSON(all); err != nil {
			return err
		}
	} else {
		for _, f := range all {
			f.print(a)
		}
	}
	if ill {
		return exit(verdict.ExitHarness, errors.New("experiments can't run here yet"))
	}
	return nil
}

func (f finding) print(a *app) {
	mark := "ok     "
	switch {
	case !f.OK && f.Must:
		mark = "MISSING"
	case !f.OK:
		mark = "note   "
	}
	fmt.Fprintf(a.Stdout, "%s  %-14s %s\n", mark, f.What, f.Got)
	if !f.OK && f.Do != "" {
		fmt.Fprintf(a.Stdout, "                         → %s\n", f.Do)
	}
}

func (a *app) examineEngine(ctx context.Context) []finding {
	e, err := catalog.AskEngine(ctx)
	if err != nil {
		return []finding{{What: "docker", Got: err.Error(), Do: "start the Docker engine, or name one that you may use by DOCKER_HOST or DOCKER_CONTEXT"}}
	}
	return []finding{
		{What: "docker", OK: true, Got: fmt.Sprintf("engine %s, API %s, storage %s, cgroup v%s", e.Version, e.API, e.Storage, e.Cgroup)},
		{What: "kernel", OK: true, Got: fmt.Sprintf("%s on %s, %s", e.Kernel, e.OS, e.Arch)},
		{What: "engine size", OK: e.CPUs >= minCPUs, Got: fmt.Sprintf("%d CPUs, %d MiB", e.CPUs, e.Memory>>20), Do: "with one CPU the generator will be late, and runs INVALID"},
	}
}

// examinePrograms looks for what runtime process needs on this machine.
func (a *app) examinePrograms(args []string) finding {
	f := finding{What: "process"}
	t, err := a.topology(args)
	if err != nil {
		first, _, _ := strings.Cut(err.Error(), "\n")
		f.Got, f.Do = "no target to look at: "+first, "chaos doctor <target>"
		return f
	}
	missing := catalog.MissingPrograms(a.setting(), t)
	f.OK, f.Got = len(missing) == 0, "all programs of "+t.Name+" are on this machine"
	if !f.OK {
		f.Got, f.Do = strings.Join(missing, "; "), "only needed for --runtime process: make setup installs it on Debian"
	}
	return f
}

// examineRuntimes says which runtime auto would take; without any nothing runs.
func (a *app) examineRuntimes(docker, process finding) finding {
	f := finding{What: "runtime", OK: true, Must: true, Got: "auto takes docker"}
	switch {
	case docker.OK:
	case process.OK:
		f.Got = "auto takes process: no Docker engine answers"
	default:
		f.OK, f.Got, f.Do = false, "neither docker nor process can run the target", "mend either of the two above"
	}
	return f
}

func (a *app) examineImages(ctx context.Context, args []string) finding {
	f := finding{What: "images"}
	t, err := a.topology(args)
	if err != nil {
		first, _, _ := strings.Cut(err.Error(), "\n")
		f.Got, f.Do = "no target to look at: "+first, "chaos doctor <target>"
		return f
	}
	missing, err := catalog.MissingImages(ctx, a.Binary, t)
	switch {
	case err != nil:
		f.Got = err.Error()
	case len(missing) > 0:
		f.Got, f.Do = "not present: "+strings.Join(missing, ", "), "chaos images ensure "+t.Name+" (a run does it too, but that takes its time)"
	default:
		f.OK, f.Got = true, "all of "+t.Name+" present"
	}
	return f
}

func (a *app) examineLeftovers(ctx context.Context) finding {
	f := finding{What: "leftovers", Do: "chaos heal"}
	var left []string
	made, _ := a.found(ctx) // a runtime that does not answer has a line of its own
	for _, m := range made {
		if !m.Keep && !target.Alive(m.Owner) {
			left = append(left, m.Name)
		}
	}
	f.OK, f.Got = len(left) == 0, "none"
	if !f.OK {
		f.Got = "of processes that are gone: " + strings.Join(left, ", ")
	}
	return f
}

func (a *app) examineTools() []finding {
	var all []finding
	for _, tool := range []struct{ name, why string }{
		{"go", "only needed to build images of kind go: install Go, or use a machine whose registry has the images"},
		{"mmdebstrap", "only needed to build images of kind debian where none can be pulled: apt-get install mmdebstrap"},
	} {
		f := finding{What: tool.name, Got: "not found", Do: tool.why}
		if path, err := exec.LookPath(tool.name); err == nil {
			f.OK, f.Got = true, path
		}
		all = append(all, f)
	}
	return all
}

func (a *app) examineMachine() []finding {
	all := []finding{{What: "CPUs", OK: runtime.NumCPU() >= minCPUs, Got: fmt.Sprint(runtime.NumCPU()), Do: "with one CPU the generator will be late, and runs INVALID"}}
	var files syscall.Rlimit
	f := finding{What: "open files", Do: fmt.Sprintf("ulimit -n %d", minFiles)}
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		f.Got = err.Error()
	} else {
		f.OK, f.Got = files.Cur >= minFiles, fmt.Sprintf("%d allowed, %d needed", files.Cur, minFiles)
	}
	return append(all, f, a.examineReports())
}

// examineReports tries to write where reports will land.
func (a *app) examineReports() finding {
	folder := a.path(reportsFolder)
	f := finding{What: "reports", Must: true, Do: "make " + folder + " writable"}
	if _, err := os.Stat(folder); errors.Is(err, os.ErrNotExist) {
		folder = filepath.Dir(folder) // it will be made
	}
	probe, err := os.CreateTemp(folder, ".chaos-doctor-*")
	if err != nil {
		f.Got = err.Error()
		return f
	}
	err = errors.Join(probe.Close(), os.Remove(probe.Name()))
	f.OK, f.Got = err == nil, a.short(a.path(reportsFolder))+"/ is writable"
	return f
}
