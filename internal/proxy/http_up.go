package proxy

// up follows the requests of a connection.
func (w *web) up(o *outlet) {
	s := &w.in[up]
	for i := 0; i < len(o.in); {
		switch s.at {
		case atHead:
			if c := o.in[i]; len(s.held) == 0 && s.line == 0 && (c == '\r' || c == '\n') { // some clients end bodies so
				o.pass(i, i+1)
				i++
				continue
			}
			j, raw, odd := w.headOf(o, up, i)
			switch {
			case odd:
				w.lost(o, up)
				continue
			case raw != nil && !w.asked(o, raw, i, j):
				w.lost(o, up)
				continue
			}
			i = j
		case inBody:
			n, _, done, ok := s.body.next(o.in[i:])
			if !ok {
				w.blind(o, up)
				continue
			}
			if s.eater == nil {
				o.pass(i, i+n)
			} else {
				s.eater.n.swallowed.Add(uint64(n))
			}
			i += n
			if done {
				w.requestEnds()
			}
		case atSwitch:
			w.blind(o, up)
		case atVoid:
			return
		default:
			o.pass(i, len(o.in))
			return
		}
	}
}

// lost gives up at a head, of which what came in this read is still to be passed.
func (w *web) lost(o *outlet, dir direction) {
	w.in[dir].held = w.in[dir].held[:w.in[dir].mark]
	w.blind(o, dir)
}

// asked takes a complete request head, which ends before o.in[j]. False: it is not understood.
func (w *web) asked(o *outlet, raw []byte, i, j int) bool {
	s := &w.in[up]
	r, ok := readRequest(raw)
	if !ok || len(w.open) >= maxOpen {
		return false
	}
	x := exchange{head: is(r.method, "HEAD"), connect: is(r.method, "CONNECT")}
	switches := r.upgrade || x.connect
	whole := !s.sent || len(s.held) == 0
	fields, holds := w.judge(&x, &r, whole && !switches)
	switch {
	case x.own != nil:
		x.own.n.swallowed.Add(uint64(len(raw)))
	case fields != nil:
		o.put(chunk{data: edit(raw, fields), holds: holds})
	case holds != nil:
		o.put(chunk{data: append([]byte(nil), raw...), holds: holds})
	default:
		s.forward(o, i, j)
	}
	w.open = append(w.open, x)
	s.next()
	s.body, s.eater, s.switchy, s.at = bodyOf(r.head), x.own, switches, inBody
	if x.reset || (x.last && r.expect) { // nothing may follow; or nobody can tell whether a body will
		w.open[len(w.open)-1].ready = true
		s.at = atVoid
		return true
	}
	if s.body.ends == bodyNone {
		w.requestEnds()
	}
	return true
}

// requestEnds comes to the end of a request.
func (w *web) requestEnds() {
	s := &w.in[up]
	own, switchy := s.eater != nil, s.switchy
	s.next()
	s.at = atHead
	if switchy {
		s.at = atSwitch
	}
	if own { // it is the last of open: nothing was asked since, and what is not ready is not answered
		x := &w.open[len(w.open)-1]
		x.ready = true
		if x.last {
			s.at = atVoid
		}
	}
}

// judge lets each toxic decide about a request. able false: it can't be touched, only counted.
func (w *web) judge(x *exchange, r *request, able bool) (fields map[string]*string, holds []hold) {
	w.requests++
	for _, t := range w.live {
		h := &t.set.http
		t.n.http.requests.Add(1)
		if !able || x.own != nil || !h.matches(r) {
			continue
		}
		hit := w.link.proxy.dice.request(t, w.link.id, w.requests)
		if h.late() {
			x.acts = append(x.acts, act{t, hit})
			continue
		}
		t.n.http.matched.Add(1)
		if !hit {
			continue
		}
		w.touch(t)
		switch {
		case h.delay > 0:
			holds = append(holds, hold{t, h.delay})
		case h.abort:
			x.own, x.reset = t, true
		case h.status != 0:
			x.own, x.last = t, r.close || r.expect || (r.old && !r.keep)
			x.answer = h.render(r, x.last)
		default:
			fields = join(fields, h.headers)
		}
	}
	if x.own != nil {
		x.acts, x.holds = nil, holds
	}
	return fields, holds
}

// join adds changes of fields to others; the later ones win.
func join(a, b map[string]*string) map[string]*string {
	out := map[string]*string{}
	for _, m := range []map[string]*string{a, b} {
		for f, v := range m {
			for old := range out {
				if is([]byte(old), f) {
					delete(out, old)
				}
			}
			out[f] = v
		}
	}
	return out
}
