package packet

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// queueLimit is how many packets netem may hold on one device. Its own default of 1000 would lose packets
// at a few thousand a second.
const queueLimit = 100_000

// setDelay delays what leaves by every device but the loopback one.
func setDelay(id string, d Delay) error {
	if err := clearDelay(id); err != nil {
		return err
	}
	links, err := netlink.LinkList()
	if err != nil {
		return fmt.Errorf("list the network devices: %w", err)
	}
	var devices []string
	for _, l := range links {
		if a := l.Attrs(); a.Name != "lo" && a.OperState != netlink.OperDown {
			devices = append(devices, a.Name)
		}
	}
	if len(devices) == 0 {
		return errors.New("there is no network device but the loopback one: nothing to delay")
	}
	for _, name := range devices {
		if err := setDelayOn(id, d, name); err != nil {
			return errors.Join(err, clearDelay(id))
		}
	}
	return nil
}

// setDelayOn is `tc qdisc add dev <device> root handle <id's> netem delay <latency> <jitter>`.
func setDelayOn(id string, d Delay, device string) error {
	link, err := netlink.LinkByName(device)
	if err != nil {
		return fmt.Errorf("find device %s: %w", device, err)
	}
	err = netlink.QdiscAdd(netem(id, d, link.Attrs().Index))
	switch {
	case errors.Is(err, unix.ENOENT):
		return fmt.Errorf("the kernel has no sch_netem (delay device %s: %w)", device, err)
	case errors.Is(err, unix.EEXIST):
		return fmt.Errorf("delay device %s: another queueing discipline is on it already (%w)", device, err)
	case err != nil:
		return fmt.Errorf("delay device %s by netem: %w", device, err)
	}
	return nil
}

// netem is the discipline of a delay.
func netem(id string, d Delay, device int) *netlink.Netem {
	return netlink.NewNetem(
		netlink.QdiscAttrs{LinkIndex: device, Handle: netlink.MakeHandle(Handle(id), 0), Parent: netlink.HANDLE_ROOT},
		netlink.NetemQdiscAttrs{Latency: micros(d.Latency), Jitter: micros(d.Jitter), Limit: queueLimit})
}

// micros is the unit of the library; at most 71 minutes fit.
func micros(d time.Duration) uint32 { return uint32(min(d.Microseconds(), math.MaxUint32)) }

// clearDelay removes the disciplines with the id's handle, and no other.
func clearDelay(id string) error {
	all, err := qdiscs()
	if err != nil {
		return err
	}
	var errs []error
	for _, q := range all {
		if major, _ := netlink.MajorMinor(q.Handle); major != Handle(id) {
			continue
		}
		if err := netlink.QdiscDel(q); err != nil && !errors.Is(err, unix.ENOENT) {
			errs = append(errs, fmt.Errorf("remove the delay of device %d: %w", q.LinkIndex, err))
		}
	}
	return errors.Join(errs...)
}

// qdiscs are the disciplines that delay, on all devices.
func qdiscs() (ours []*netlink.Netem, err error) {
	all, err := netlink.QdiscList(nil)
	if err != nil {
		return nil, fmt.Errorf("list the queueing disciplines: %w", err)
	}
	for _, q := range all {
		if n, ok := q.(*netlink.Netem); ok {
			ours = append(ours, n)
		}
	}
	return ours, nil
}

// delays reads what is in force under handles of ours.
func delays() (found []DelayState, err error) {
	all, err := qdiscs()
	if err != nil {
		return nil, err
	}
	for _, q := range all {
		major, _ := netlink.MajorMinor(q.Handle)
		if major&0xf000 != 0xc000 {
			continue
		}
		link, err := netlink.LinkByIndex(q.LinkIndex)
		if err != nil {
			return nil, fmt.Errorf("find device %d: %w", q.LinkIndex, err)
		}
		found = append(found, state(q, major, link.Attrs().Name))
	}
	return found, nil
}

func state(q *netlink.Netem, handle uint16, device string) DelayState {
	d := DelayState{Handle: handle, Device: device, Latency: spanOf(q.Latency), Jitter: spanOf(q.Jitter)}
	if s := q.Statistics; s != nil && s.Basic != nil {
		d.Left = uint64(s.Basic.Packets)
	}
	if s := q.Statistics; s != nil && s.Queue != nil {
		d.Waiting, d.Dropped = uint64(s.Queue.Qlen), uint64(s.Queue.Drops)
	}
	return d
}

// spanOf reads what the kernel keeps in ticks of its packet scheduler.
func spanOf(ticks uint32) time.Duration {
	return time.Duration(math.Round(float64(ticks)/netlink.TickInUsec())) * time.Microsecond
}
