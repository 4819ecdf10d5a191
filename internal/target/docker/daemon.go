package docker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/client"
	"github.com/docker/docker/pkg/stdcopy"

	"chaos/internal/target"
)

// How long a call to the engine may take before it counts as not answering.
const (
	answerWithin = 2 * time.Second  // calls that look, signal or list
	workWithin   = 15 * time.Second // calls that make, start or remove something
)

// DaemonError says that the Docker engine could not be reached or did not answer in time.
// errors.Is(err, target.ErrUnresponsive) holds for it.
type DaemonError struct {
	Host  string // where the engine was looked for
	From  string // who named that place: DOCKER_HOST, a context, the default
	Doing string // what was being done
	Cause error
}

func (e *DaemonError) Error() string {
	return fmt.Sprintf("the Docker engine at %s (from %s) does not answer while it should %s: %v "+
		"(is it running, and may this user use it? `docker version` tells; DOCKER_HOST or DOCKER_CONTEXT choose another one)",
		e.Host, e.From, e.Doing, e.Cause)
}

// Unwrap makes the error both an unresponsive engine and its cause.
func (e *DaemonError) Unwrap() []error { return []error{target.ErrUnresponsive, e.Cause} }

// daemon is the only user of the docker/docker client beside the images: it looks, signals, removes
// and execs. What starts containers is testcontainers-go, whose types belong to another module; no
// type of either family leaves this package.
//
// It is a value with one client, safe for concurrent use. Every call has a deadline of its own.
type daemon struct {
	cli   *client.Client
	from  string // who named it
	turns turns
}

// dial connects to the engine that the docker command would use (see findEndpoint) and pings it.
func dial(ctx context.Context) (*daemon, error) {
	at, err := findEndpoint()
	if err != nil {
		return nil, err
	}
	cli, err := client.NewClientWithOpts(client.FromEnv, client.WithHost(at.host), client.WithAPIVersionNegotiation())
	if err != nil {
		return nil, fmt.Errorf("make a client of the Docker engine at %s (from %s): %w", at.host, at.from, err)
	}
	d := &daemon{cli: cli, from: at.from}
	var ping types.Ping
	err = d.within(ctx, answerWithin, "answer a ping", func(ctx context.Context) (err error) {
		ping, err = cli.Ping(ctx)
		return err
	})
	if err != nil {
		return nil, errors.Join(err, cli.Close())
	}
	cli.NegotiateAPIVersionPing(ping) // the other form pings again, without a deadline
	return d, nil
}

// within runs one call on a deadline. A call that outlives it, or a connection that fails, is a
// *DaemonError; whatever else the engine says is wrapped with what was being done.
func (d *daemon) within(ctx context.Context, limit time.Duration, doing string, call func(context.Context) error) error {
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	began := time.Now()
	err := call(bounded)
	waited := time.Since(began)
	switch {
	case err == nil:
		return nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded) && limit > answerWithin && d.answers(ctx):
		return fmt.Errorf("%s: not done within %v, and the engine is at it: %w", doing, waited.Round(time.Millisecond), ctx.Err())
	case errors.Is(ctx.Err(), context.DeadlineExceeded) && waited >= answerWithin/2: // the caller's own deadline is no excuse
		return &DaemonError{Host: d.cli.DaemonHost(), From: d.from, Doing: doing, Cause: fmt.Errorf("no answer within %v", waited.Round(time.Millisecond))}
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", doing, context.Cause(ctx))
	case errors.Is(bounded.Err(), context.DeadlineExceeded):
		return &DaemonError{Host: d.cli.DaemonHost(), From: d.from, Doing: doing, Cause: fmt.Errorf("no answer within %v", limit)}
	case client.IsErrConnectionFailed(err):
		return &DaemonError{Host: d.cli.DaemonHost(), From: d.from, Doing: doing, Cause: err}
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// answers tells whether the engine answers at all, when a piece of work was not done in time: one that is slow
// is not silent.
func (d *daemon) answers(ctx context.Context) bool { return d.ping(context.WithoutCancel(ctx)) == nil }

func (d *daemon) ping(ctx context.Context) error {
	return d.within(ctx, answerWithin/2, "answer a ping", func(ctx context.Context) error {
		_, err := d.cli.Ping(ctx)
		return err
	})
}

// inspect looks at a container; found is false when there is none of that name.
func (d *daemon) inspect(ctx context.Context, name string) (c container.InspectResponse, found bool, err error) {
	err = d.within(ctx, answerWithin, "inspect container "+name, func(ctx context.Context) (err error) {
		c, err = d.cli.ContainerInspect(ctx, name)
		return err
	})
	if errdefs.IsNotFound(err) {
		return container.InspectResponse{}, false, nil
	}
	return c, err == nil, err
}

// kill sends a signal at once and never waits, unlike a stop with a grace, which the engine finishes
// even after it was undone. A container that is gone or not running is not an error.
func (d *daemon) kill(ctx context.Context, name, signal string) error {
	err := d.within(ctx, answerWithin, "send "+signal+" to container "+name, func(ctx context.Context) error {
		return d.cli.ContainerKill(ctx, name, signal)
	})
	if errdefs.IsNotFound(err) || errdefs.IsConflict(err) {
		return nil
	}
	return err
}

// start starts a stopped container; a running one is not an error.
func (d *daemon) start(ctx context.Context, name string) error {
	return d.within(ctx, workWithin, "start container "+name, func(ctx context.Context) error {
		return d.cli.ContainerStart(ctx, name, container.StartOptions{})
	})
}

// pause freezes a container once no command of ours runs in it; a paused one is not an error, one that does
// not run is.
func (d *daemon) pause(ctx context.Context, name string) error {
	done, err := d.turns.pause(ctx, name)
	if err != nil {
		return fmt.Errorf("pause container %s: a command still runs in it: %w", name, err)
	}
	defer done()
	return d.freeze(ctx, name, true, "pause container "+name, d.cli.ContainerPause)
}

// unpause lets a container go on; one that is not paused is not an error.
func (d *daemon) unpause(ctx context.Context, name string) error {
	return d.freeze(ctx, name, false, "unpause container "+name, d.cli.ContainerUnpause)
}

// freeze makes a call that pauses or unpauses. That it is so already the engine says only in words, with
// another status for each of the two, so a refusal is held against the container itself.
func (d *daemon) freeze(ctx context.Context, name string, paused bool, doing string, call func(context.Context, string) error) error {
	err := d.within(ctx, answerWithin, doing, func(ctx context.Context) error { return call(ctx, name) })
	if err == nil || ctx.Err() != nil || errors.Is(err, target.ErrUnresponsive) {
		return err
	}
	if c, found, look := d.inspect(ctx, name); look == nil && found && c.State.Paused == paused {
		return nil
	}
	return err
}

// remove kills and removes a container with its anonymous volumes; one that is gone is not an error.
func (d *daemon) remove(ctx context.Context, name string) error {
	for {
		err := d.within(ctx, workWithin, "remove container "+name, func(ctx context.Context) error {
			return d.cli.ContainerRemove(ctx, name, container.RemoveOptions{Force: true, RemoveVolumes: true})
		})
		if errdefs.IsNotFound(err) {
			return nil
		}
		// Somebody else's removal is under way (heal beside the watchdog): wait for its end.
		if !errdefs.IsConflict(err) || !strings.Contains(err.Error(), "already in progress") {
			return err
		}
		if err := target.Pause(ctx, target.PollEvery); err != nil {
			return err
		}
	}
}

// containers lists what carries the label, running or not.
func (d *daemon) containers(ctx context.Context, label string) (found []container.Summary, err error) {
	err = d.within(ctx, answerWithin, "list containers", func(ctx context.Context) (err error) {
		found, err = d.cli.ContainerList(ctx, container.ListOptions{All: true, Filters: filters.NewArgs(filters.Arg("label", label))})
		return err
	})
	return found, err
}

// networks lists what carries the label.
func (d *daemon) networks(ctx context.Context, label string) (found []network.Summary, err error) {
	err = d.within(ctx, answerWithin, "list networks", func(ctx context.Context) (err error) {
		found, err = d.cli.NetworkList(ctx, network.ListOptions{Filters: filters.NewArgs(filters.Arg("label", label))})
		return err
	})
	return found, err
}

// network looks at a network; found is false when it is gone.
func (d *daemon) network(ctx context.Context, id string) (n network.Inspect, found bool, err error) {
	err = d.within(ctx, answerWithin, "inspect network "+id, func(ctx context.Context) (err error) {
		n, err = d.cli.NetworkInspect(ctx, id, network.InspectOptions{})
		return err
	})
	if errdefs.IsNotFound(err) {
		return network.Inspect{}, false, nil
	}
	return n, err == nil, err
}

// ErrMiscounted is a network that the engine refuses to remove although nothing is on it: it keeps a count beside the endpoints,
// and may miss one that goes while others come and go (seen on 20.10).
var ErrMiscounted = errors.New("nothing is on it: the engine has lost count, and removes it only after a restart")

// removeNetwork removes a network by id; one that is gone is not an error.
func (d *daemon) removeNetwork(ctx context.Context, id string) error {
	err := d.within(ctx, workWithin, "remove network "+id, func(ctx context.Context) error {
		return d.cli.NetworkRemove(ctx, id)
	})
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil && strings.Contains(err.Error(), "has active endpoints") { // the engine has no other word for it
		if n, found, look := d.network(ctx, id); look == nil && found && len(n.Containers) == 0 {
			return fmt.Errorf("%w (%w)", err, ErrMiscounted)
		}
	}
	return err
}

// logs writes a container's output since a time, stdout and stderr in one stream. tail is a number
// of lines, or "all".
func (d *daemon) logs(ctx context.Context, name string, since time.Time, tail string, w io.Writer) error {
	o := container.LogsOptions{ShowStdout: true, ShowStderr: true, Tail: tail}
	if !since.IsZero() {
		o.Since = fmt.Sprintf("%d.%09d", since.Unix(), since.Nanosecond())
	}
	return d.within(ctx, workWithin, "read the log of container "+name, func(ctx context.Context) error {
		r, err := d.cli.ContainerLogs(ctx, name, o)
		if err != nil {
			return err
		}
		defer r.Close()
		_, err = stdcopy.StdCopy(w, w, r)
		return err
	})
}

// exec runs a command inside a container within a limit and waits for its end. A code other than 0
// is not an error.
func (d *daemon) exec(ctx context.Context, name string, limit time.Duration, cmd []string, stdin io.Reader) (target.ExecResult, error) {
	var res target.ExecResult
	doing := fmt.Sprintf("run %s in container %s", cmd[0], name)
	done, err := d.turns.command(ctx, name)
	if err != nil {
		return res, fmt.Errorf("%s: it is being paused: %w", doing, err)
	}
	defer done()
	err = d.within(ctx, limit, doing, func(ctx context.Context) error {
		made, err := d.cli.ContainerExecCreate(ctx, name, container.ExecOptions{
			Cmd: cmd, AttachStdin: stdin != nil, AttachStdout: true, AttachStderr: true,
		})
		if err != nil {
			return err
		}
		at, err := d.cli.ContainerExecAttach(ctx, made.ID, container.ExecAttachOptions{})
		if err != nil {
			return err
		}
		defer at.Close()
		defer context.AfterFunc(ctx, at.Close)() // a read of a hijacked connection knows no context
		fed := make(chan error, 1)
		go func() { fed <- feed(at.Conn, at.CloseWrite, stdin) }()
		var out, errs bytes.Buffer
		if _, err := stdcopy.StdCopy(&out, &errs, at.Reader); err != nil {
			return err
		}
		res.Stdout, res.Stderr = out.String(), errs.String()
		end, err := d.cli.ContainerExecInspect(ctx, made.ID)
		if err != nil {
			return err
		}
		res.Code = end.ExitCode
		if end.ExitCode != 0 {
			return nil // what the command says is worth more than a broken pipe
		}
		at.Close()
		return <-fed
	})
	return res, err
}

// feed copies stdin, if any, and closes the write side so that the command sees its end.
func feed(w io.Writer, closeWrite func() error, stdin io.Reader) error {
	if stdin == nil {
		return nil
	}
	if _, err := io.Copy(w, stdin); err != nil {
		return fmt.Errorf("write its standard input: %w", err)
	}
	return closeWrite()
}
