// Package proxy is the data plane behind `chaos proxy`: a TCP proxy that speaks
// Toxiproxy's HTTP API and never blocks its control plane on its data plane.
//
//	                    control plane (api.go)
//	  POST toxic ──► proxy.mu ──► new immutable *chain ──► chain.Store ──► kick
//	                                                                        │
//	                    data plane (link.go, pump.go)                       ▼
//	           ┌─────────── pump upstream:   read → stamp → queue → gate → write ──────────┐
//	client ────┤                                                                           ├──── upstream
//	           └─────────── pump downstream: write ← gate ← queue ← stamp ← read ──────────┘
//
// A call of the API swaps a pointer, wakes the pumps and returns: it never waits
// for a pump. A pump looks at the pointer again before every read, wait and
// write, and each of these three can be interrupted (by a deadline in the past,
// or by closing the sockets), so there is no client or upstream, however silent,
// that can hold a call up. That is the difference to Toxiproxy v2.12, whose
// removal of a toxic waits for an uninterruptible channel send.
package proxy
