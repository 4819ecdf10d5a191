package packet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"github.com/google/nftables/xt"
	"golang.org/x/sys/unix"
)

// direction is which way packets go, with where the rest of the world stands in their headers.
type direction struct {
	chain        string
	hook         *nftables.ChainHook
	device       expr.MetaKey
	peer4, peer6 uint32 // offset of the peer's address in the IP header
	remote       uint32 // offset of the peer's port in the TCP header
	local        uint32
}

func directions() (in, out direction) {
	return direction{chain: "in", hook: nftables.ChainHookInput, device: expr.MetaKeyIIFNAME, peer4: 12, peer6: 8, remote: 0, local: 2},
		direction{chain: "out", hook: nftables.ChainHookOutput, device: expr.MetaKeyOIFNAME, peer4: 16, peer6: 24, remote: 2, local: 0}
}

// nobodysQueue is a queue that no program reads. One that does would get the packets and could let them go
// on; the number is not one that programs use by default.
const nobodysQueue = 64244

// register is the one that a comparison uses.
const register = 1

// setLoss makes the table in one transaction: all of it is in force, or nothing is.
func setLoss(id string, l Loss) error {
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("talk to nf_tables: %w", err)
	}
	t := &nftables.Table{Family: nftables.TableFamilyINet, Name: TableName(id)}
	c.AddTable(t) // deleting one that is not there would fail the transaction
	c.DelTable(t)
	c.AddTable(t)
	in, out := directions()
	if l.In {
		addChain(c, t, in, l)
	}
	if l.Out {
		addChain(c, t, out, l)
	}
	if err := c.Flush(); err != nil {
		return fmt.Errorf("lose packets by nf_tables: %w%s", err, lacking(l.Out))
	}
	return nil
}

func addChain(c *nftables.Conn, t *nftables.Table, d direction, l Loss) {
	chain := c.AddChain(&nftables.Chain{
		Name: d.chain, Table: t, Type: nftables.ChainTypeFilter, Hooknum: d.hook, Priority: nftables.ChainPriorityFilter,
	})
	if len(l.Streams) == 0 {
		c.AddRule(&nftables.Rule{Table: t, Chain: chain, Exprs: d.rule(l.Share, nil)})
	}
	for _, s := range l.Streams {
		c.AddRule(&nftables.Rule{
			Table: t, Chain: chain, Exprs: d.rule(l.Share, &s), UserData: userdata.AppendString(nil, userdata.TypeComment, s.String()),
		})
	}
}

// rule is: not the loopback device, this stream, count, draw, count, away.
func (d direction) rule(share float64, s *Stream) []expr.Any {
	lo := make([]byte, unix.IFNAMSIZ)
	copy(lo, "lo")
	all := []expr.Any{
		&expr.Meta{Key: d.device, Register: register},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: register, Data: lo},
	}
	if s != nil {
		all = append(all, d.matches(*s)...)
	}
	all = append(all, &expr.Counter{}, statistic(share), &expr.Counter{})
	if d.chain == "out" {
		return append(all, queued())
	}
	return append(all, &expr.Verdict{Kind: expr.VerdictDrop})
}

func (d direction) matches(s Stream) []expr.Any {
	family, offset := byte(unix.NFPROTO_IPV4), d.peer4
	if !s.Peer.Unmap().Is4() {
		family, offset = unix.NFPROTO_IPV6, d.peer6
	}
	address := s.Peer.Unmap().AsSlice()
	all := []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: register},
		&expr.Cmp{Op: expr.CmpOpEq, Register: register, Data: []byte{family}},
		&expr.Payload{DestRegister: register, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: uint32(len(address))},
		&expr.Cmp{Op: expr.CmpOpEq, Register: register, Data: address},
	}
	if s.Remote == 0 && s.Local == 0 {
		return all
	}
	all = append(all, &expr.Meta{Key: expr.MetaKeyL4PROTO, Register: register},
		&expr.Cmp{Op: expr.CmpOpEq, Register: register, Data: []byte{unix.IPPROTO_TCP}})
	for offset, port := range map[uint32]uint16{d.remote: s.Remote, d.local: s.Local} {
		if port > 0 {
			all = append(all, &expr.Payload{DestRegister: register, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: 2},
				&expr.Cmp{Op: expr.CmpOpEq, Register: register, Data: binary.BigEndian.AppendUint16(nil, port)})
		}
	}
	return all
}

// statistic is `-m statistic --mode random --probability <share>`: struct xt_statistic_info of
// linux/netfilter/xt_statistic.h, 24 bytes, of which the mode (0, random), the flags (0) and the probability in
// units of 2^-31 count.
func statistic(share float64) expr.Any {
	info := make(xt.Unknown, 24)
	binary.NativeEndian.PutUint32(info[4:], uint32(math.Round(share*(1<<31))))
	return &expr.Match{Name: "statistic", Info: &info}
}

// queued is `-j NFQUEUE --queue-num <nobody's>`: struct xt_NFQ_info, 2 bytes, padded to 8.
func queued() expr.Any {
	info := make(xt.Unknown, 8)
	binary.NativeEndian.PutUint16(info, nobodysQueue)
	return &expr.Target{Name: "NFQUEUE", Info: &info}
}

// lacking finds out which part of the kernel is missing, by trying them one by one in a table that is never
// made: the last change of the transaction can't be done.
func lacking(out bool) string {
	if _, err := ourTables(); err != nil {
		return " (the kernel has no nf_tables, or this is not allowed)"
	}
	parts := []struct {
		name string
		expr expr.Any
	}{{"nft_compat and xt_statistic", statistic(0.5)}}
	if out {
		parts = append(parts, struct {
			name string
			expr expr.Any
		}{"xt_NFQUEUE", queued()})
	}
	for _, p := range parts {
		c, err := nftables.New()
		if err != nil {
			return ""
		}
		t := c.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: tablePrefix + probeID + "/part"})
		chain := c.AddChain(&nftables.Chain{Name: "part", Table: t})
		c.AddRule(&nftables.Rule{Table: t, Chain: chain, Exprs: []expr.Any{p.expr}})
		c.DelTable(t)
		if c.Flush() != nil {
			return " (the kernel has no " + p.name + ")"
		}
	}
	return ""
}

// clearLoss deletes the table with all that is in it.
func clearLoss(id string) error {
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("talk to nf_tables: %w", err)
	}
	t := &nftables.Table{Family: nftables.TableFamilyINet, Name: TableName(id)}
	c.DelTable(t)
	if err := c.Flush(); err != nil && !errors.Is(err, unix.ENOENT) && !unable(err) {
		return fmt.Errorf("delete table %s: %w", t.Name, err)
	}
	return nil
}

// unable tells whether the kernel has nothing of the kind at all, so that nothing of it can be in force.
func unable(err error) bool {
	return errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EAFNOSUPPORT)
}

func ourTables() ([]*nftables.Table, error) {
	c, err := nftables.New()
	if err != nil {
		return nil, fmt.Errorf("talk to nf_tables: %w", err)
	}
	all, err := c.ListTablesOfFamily(nftables.TableFamilyINet)
	if err != nil {
		return nil, fmt.Errorf("list the tables of nf_tables: %w", err)
	}
	var ours []*nftables.Table
	for _, t := range all {
		if strings.HasPrefix(t.Name, tablePrefix) {
			ours = append(ours, t)
		}
	}
	return ours, nil
}

// losses reads what is in force, with its counters.
func losses() (found []LossState, err error) {
	tables, err := ourTables()
	if err != nil {
		if unable(err) {
			err = nil
		}
		return nil, err
	}
	for _, t := range tables {
		l := LossState{Name: t.Name}
		in, out := directions()
		if l.In, err = l.read(t, in); err == nil {
			l.Out, err = l.read(t, out)
		}
		if err != nil {
			return nil, fmt.Errorf("read table %s: %w", t.Name, err)
		}
		found = append(found, l)
	}
	return found, nil
}

// read sums the counters of a chain's rules; nil when there is no such chain.
func (l *LossState) read(t *nftables.Table, d direction) (*Count, error) {
	c, err := nftables.New()
	if err != nil {
		return nil, err
	}
	rules, err := c.GetRules(t, &nftables.Chain{Name: d.chain, Table: t})
	if errors.Is(err, unix.ENOENT) || err == nil && len(rules) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var sum Count
	for _, r := range rules {
		var counters []uint64
		for _, e := range r.Exprs {
			if counter, ok := e.(*expr.Counter); ok {
				counters = append(counters, counter.Packets)
			}
		}
		if len(counters) != 2 {
			return nil, fmt.Errorf("chain %s: a rule has %d counters, not 2: it is not one of ours", d.chain, len(counters))
		}
		sum.Seen, sum.Lost = sum.Seen+counters[0], sum.Lost+counters[1]
		if words, ok := userdata.GetString(r.UserData, userdata.TypeComment); ok {
			l.note(words)
		}
	}
	return &sum, nil
}

// note adds a stream that is not noted yet: each has a rule in either direction.
func (l *LossState) note(stream string) {
	for _, s := range l.Streams {
		if s == stream {
			return
		}
	}
	l.Streams = append(l.Streams, stream)
}
