package resolver

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// table is where the redirection is, and nothing else.
const table = "chaos-resolver"

// before is ahead of where engines have their own redirection of the same questions: the first one wins.
const before = -110

func ours() *nftables.Table { return &nftables.Table{Family: nftables.TableFamilyIPv4, Name: table} }

// redirect sends every question for the resolver at to, but those from exempt, to 127.0.0.1:port. All of it is
// in force, or nothing is.
func redirect(to, exempt [4]byte, port uint16) error {
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("talk to nf_tables: %w", err)
	}
	t := ours()
	c.AddTable(t) // deleting one that is not there would fail the transaction
	c.DelTable(t)
	c.AddTable(t)
	priority := nftables.ChainPriority(before)
	chain := c.AddChain(&nftables.Chain{
		Name: "out", Table: t, Type: nftables.ChainTypeNAT, Hooknum: nftables.ChainHookOutput, Priority: &priority,
	})
	for _, protocol := range []byte{unix.IPPROTO_UDP, unix.IPPROTO_TCP} {
		c.AddRule(&nftables.Rule{Table: t, Chain: chain, Exprs: []expr.Any{
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 16, Len: 4}, // destination
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: to[:]},
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 12, Len: 4}, // source
			&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: exempt[:]},
			&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{protocol}},
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binary.BigEndian.AppendUint16(nil, domain)},
			&expr.Immediate{Register: 1, Data: []byte{127, 0, 0, 1}},
			&expr.Immediate{Register: 2, Data: binary.BigEndian.AppendUint16(nil, port)},
			&expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: 1, RegProtoMin: 2},
		}})
	}
	if err := c.Flush(); err != nil {
		return fmt.Errorf("redirect questions by nf_tables: %w (the kernel needs nf_tables with nat, and this process CAP_NET_ADMIN)", err)
	}
	return nil
}

// redirected tells whether the redirection is there.
func redirected() (bool, error) {
	c, err := nftables.New()
	if err != nil {
		return false, fmt.Errorf("talk to nf_tables: %w", err)
	}
	all, err := c.ListTablesOfFamily(nftables.TableFamilyIPv4)
	if err != nil {
		return false, fmt.Errorf("list the tables of nf_tables: %w", err)
	}
	for _, t := range all {
		if t.Name == table {
			return true, nil
		}
	}
	return false, nil
}

// restore removes the redirection; none is not an error.
func restore() error {
	there, err := redirected()
	if err != nil || !there {
		return err
	}
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("talk to nf_tables: %w", err)
	}
	c.DelTable(ours())
	if err := c.Flush(); err != nil && !errors.Is(err, unix.ENOENT) { // somebody else was faster
		return fmt.Errorf("remove the redirection of questions: %w", err)
	}
	return nil
}
