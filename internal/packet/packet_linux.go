package packet

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// contained tells whether this process is the first of its process namespace, as a container's program is.
func contained() bool { return unix.Getpid() == 1 }

// probeID is used in namespaces that nobody uses.
const probeID = "probe"

// Do does one thing in the network namespace of this process and says how it is then. It needs CAP_NET_ADMIN
// there.
func Do(r Request) (Answer, error) {
	if err := r.check(); err != nil {
		return Answer{}, err
	}
	var err error
	switch r.Op {
	case OpLoss:
		err = setLoss(r.ID, *r.Loss)
	case OpDelay:
		err = setDelay(r.ID, *r.Delay)
	case OpClear:
		err = errors.Join(clearLoss(r.ID), clearDelay(r.ID))
	case OpProbe:
		return probe()
	case OpLook:
	default:
		return Answer{}, fmt.Errorf("there is no request %q", r.Op)
	}
	if err != nil {
		return Answer{}, err
	}
	var a Answer
	var errLosses, errDelays error
	a.Losses, errLosses = losses()
	a.Delays, errDelays = delays()
	return a, errors.Join(errLosses, errDelays)
}

// probe tries each thing, and takes back what worked.
func probe() (Answer, error) {
	a := Answer{Lacks: map[string]string{}}
	if err := setLoss(probeID, Loss{Share: 0.5, In: true, Out: true}); err != nil {
		a.Lacks[OpLoss] = err.Error()
	}
	if err := setDelayOn(probeID, Delay{Latency: 1e6}, "lo"); err != nil {
		a.Lacks[OpDelay] = err.Error()
	}
	return a, errors.Join(clearLoss(probeID), clearDelay(probeID))
}
