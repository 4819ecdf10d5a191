package payments

import (
	"net/http"

	"chaos/targets/payments/ledger"
	"chaos/targets/payments/switches"
	"chaos/targets/payments/wire"
)

// audit is GET /internal/audit?prefix=: every row of the client keys with the
// prefix, one JSON object a line, the last one {"type":"end","count":n}.
func (v *Service) audit(w http.ResponseWriter, r *http.Request) {
	lines := wire.NewLines(w)
	prefix := r.URL.Query().Get("prefix")
	err := v.store.Audit(r.Context(), prefix, func(rec ledger.Record) error { return lines.Add(rec) })
	if err == nil && v.events != nil {
		err = v.store.AuditOutbox(r.Context(), prefix, lines.Add)
	}
	if err == nil {
		err = lines.End()
	}
	if err != nil {
		v.server.Log.WarnContext(r.Context(), "audit cut", "reason", err.Error())
		panic(http.ErrAbortHandler) // a cut dump must look cut
	}
}

// settled is GET /internal/settled?prefix=: how much the service knows that it
// still has to do.
func (v *Service) settled(w http.ResponseWriter, r *http.Request) {
	pending := v.queue.depth()
	switch v.set.AcceptMode {
	case switches.AcceptDurable:
		n, _, err := v.store.Open(r.Context(), r.URL.Query().Get("prefix"))
		if err != nil {
			wire.Refuse(w, http.StatusServiceUnavailable, "postgres", err.Error())
			return
		}
		pending = n
	case switches.AcceptSync:
		pending = v.sync.Busy()
		if v.shared != nil {
			pending = v.shared.Held()
		}
	}
	if v.events != nil {
		waiting, _, err := v.events.Unpublished(r.Context(), r.URL.Query().Get("prefix"))
		if err != nil {
			wire.Refuse(w, http.StatusServiceUnavailable, "postgres", err.Error())
			return
		}
		pending += waiting
	}
	wire.Write(w, http.StatusOK, map[string]int{"pending": pending})
}
