package psp

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"chaos/targets/payments/telemetry"
	"chaos/targets/payments/wire"
)

// PSP is the processor's role.
type PSP struct {
	processor *processor
	server    telemetry.Server
}

// New makes a processor whose draws follow the seed.
func New(seed uint64, server telemetry.Server) *PSP {
	return &PSP{processor: newProcessor(seed, server.Now), server: server}
}

// Public is the processor's API: POST /charges, GET /charges, POST /refunds.
func (p *PSP) Public(mux *http.ServeMux) {
	mux.HandleFunc("POST /charges", p.server.Route("charge", p.charge))
	mux.HandleFunc("GET /charges", p.server.Route("charges", p.find))
	mux.HandleFunc("POST /refunds", p.server.Route("refund", p.refund))
}

// Internal are the routes of the harness: what was settled, and how to behave.
func (p *PSP) Internal(mux *http.ServeMux) {
	mux.HandleFunc("GET /settlement", p.settlement)
	mux.HandleFunc("GET /admin/behaviour", func(w http.ResponseWriter, _ *http.Request) {
		b, _ := p.processor.current()
		wire.Write(w, http.StatusOK, b)
	})
	mux.HandleFunc("PUT /admin/behaviour", p.behave)
	mux.HandleFunc("GET /admin/stats", func(w http.ResponseWriter, _ *http.Request) {
		_, s := p.processor.current()
		wire.Write(w, http.StatusOK, s)
	})
	mux.HandleFunc("POST /admin/charge", p.byHand)
}

// Ready: the processor depends on nothing.
func (p *PSP) Ready(context.Context) error { return nil }

// Run waits for the end: the processor has no background work.
func (p *PSP) Run(ctx context.Context) { <-ctx.Done() }

func (p *PSP) charge(w http.ResponseWriter, r *http.Request) {
	var body wire.ChargeRequest
	key := r.Header.Get(wire.IdempotencyHeader)
	if !readCharge(w, r, &body) {
		return
	}
	v, e, f := p.processor.begin(key, body)
	if v == failing {
		pause(r.Context(), refusal)
	}
	if p.answered(w, v, e) {
		return
	}
	// Read means processed: from here on the client's leaving changes nothing.
	ctx := context.WithoutCancel(r.Context())
	pause(ctx, f.takes)
	c := p.processor.settle(e, key, f.declines)
	if f.drops {
		p.processor.count(func(s *Stats) { s.Dropped++ })
		panic(http.ErrAbortHandler) // cuts the connection: the answer is lost
	}
	telemetry.Describe(w, c.Reason, c.Reference)
	writeCharge(w, c)
}

func (p *PSP) refund(w http.ResponseWriter, r *http.Request) {
	var body wire.ChargeRequest
	key := r.Header.Get(wire.IdempotencyHeader)
	if !readCharge(w, r, &body) {
		return
	}
	v, e, takes := p.processor.beginRefund(key, body)
	if v == failing {
		pause(r.Context(), takes)
	}
	if p.answered(w, v, e) {
		return
	}
	pause(context.WithoutCancel(r.Context()), takes)
	c := p.processor.settle(e, key, false)
	telemetry.Describe(w, "", c.Reference)
	writeCharge(w, c)
}

// answered writes every answer that needs no processing.
func (p *PSP) answered(w http.ResponseWriter, v verdict, e *entry) bool {
	switch v {
	case proceed:
		return false
	case replay:
		writeCharge(w, p.processor.read(e))
	case inProgress:
		wire.Refuse(w, http.StatusConflict, "in_progress", "the first request with this key is still being processed")
	case otherBody:
		wire.Refuse(w, http.StatusUnprocessableEntity, "key_reused", "this key came with another body before")
	case unknownCharge:
		wire.Refuse(w, http.StatusNotFound, "unknown_charge", "there is no successful charge with this reference")
	default:
		wire.Refuse(w, http.StatusInternalServerError, "processor_error", "nothing was done")
	}
	return true
}

func readCharge(w http.ResponseWriter, r *http.Request, body *wire.ChargeRequest) bool {
	err := wire.Read(r, body)
	if err == nil && (body.Reference == "" || body.AmountMinor <= 0) {
		err = errors.New("reference and a positive amount_minor are required")
	}
	if err != nil {
		wire.Refuse(w, http.StatusBadRequest, "bad_request", err.Error())
	}
	return err == nil
}

func writeCharge(w http.ResponseWriter, c wire.Charge) {
	code := http.StatusCreated
	if c.State == stateDeclined {
		code = http.StatusPaymentRequired
	}
	wire.Write(w, code, c)
}

func (p *PSP) find(w http.ResponseWriter, r *http.Request) {
	ref := r.URL.Query().Get("reference")
	if ref == "" {
		wire.Refuse(w, http.StatusBadRequest, "bad_request", "reference is required")
		return
	}
	wire.Write(w, http.StatusOK, map[string]any{"charges": p.processor.charges(ref)})
}

func (p *PSP) behave(w http.ResponseWriter, r *http.Request) {
	document, err := io.ReadAll(io.LimitReader(r.Body, wire.MaxBody))
	if err != nil {
		wire.Refuse(w, http.StatusBadRequest, "bad_request", err.Error())
		return
	}
	var fields map[string]json.RawMessage
	_ = json.Unmarshal(document, &fields) // a malformed document is refused below
	_, seeded := fields["seed"]
	b, err := p.processor.change(document, seeded)
	if err != nil {
		wire.Refuse(w, http.StatusBadRequest, "bad_behaviour", err.Error())
		return
	}
	wire.Write(w, http.StatusOK, b)
}

func (p *PSP) byHand(w http.ResponseWriter, r *http.Request) {
	var body wire.ChargeRequest
	if readCharge(w, r, &body) {
		wire.Write(w, http.StatusCreated, p.processor.addByHand(body))
	}
}

// settlementRecord is one line of GET /settlement.
type settlementRecord struct {
	Type        string `json:"type"`
	Key         string `json:"key"`
	ID          string `json:"id"`
	Ref         string `json:"ref"`
	State       string `json:"state"`
	AmountMinor int64  `json:"amount_minor"`
	At          string `json:"at"`
}

func (p *PSP) settlement(w http.ResponseWriter, r *http.Request) {
	lines := wire.NewLines(w)
	for _, e := range p.processor.settled(r.URL.Query().Get("prefix")) {
		err := lines.Add(settlementRecord{e.kind, e.orderKey, e.charge.ID, e.charge.Reference, e.charge.State, e.charge.AmountMinor, e.at.UTC().Format(time.RFC3339Nano)})
		if err != nil {
			return // the reader sees that the last line is missing
		}
	}
	_ = lines.End() // as above
}

// pause waits unless the context ends first.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
