package proxy

import "slices"

// down follows the answers of a connection.
func (w *web) down(o *outlet) {
	s := &w.in[down]
	w.serve(o)
	for i := 0; i < len(o.in); {
		switch s.at {
		case atHead:
			if len(w.open) == 0 || w.open[0].own != nil { // nothing was asked
				w.blind(o, down)
				continue
			}
			j, raw, odd := w.headOf(o, down, i)
			if odd || (raw != nil && !w.answered(o, raw, i, j)) {
				w.lost(o, down)
				continue
			}
			i = j
		case inBody:
			n, payload, done, ok := s.body.next(o.in[i:])
			switch {
			case !ok:
				w.blind(o, down)
				continue
			case s.eater != nil:
				s.eater.n.swallowed.Add(uint64(n))
			case s.cutter != nil && payload && int64(n) > s.left:
				o.pass(i, i+int(s.left))
				w.touch(s.cutter)
				w.cut(o, chunk{cut: cutClose, by: s.cutter})
				return
			default:
				if payload {
					s.left -= int64(n)
				}
				o.pass(i, i+n)
			}
			i += n
			if done {
				w.answerEnds(o)
			}
		case atVoid:
			return
		default:
			o.pass(i, len(o.in))
			return
		}
	}
}

// answered takes a complete head of an answer, which ends before o.in[j]. False: it is not understood.
func (w *web) answered(o *outlet, raw []byte, i, j int) bool {
	s, x := &w.in[down], w.open[0]
	code, h, ok := readStatus(raw)
	if !ok {
		return false
	}
	switch {
	case code == 101, x.connect && code/100 == 2:
		s.forward(o, i, j)
		s.next()
		w.blind(o, down)
		return true
	case code/100 == 1:
		s.forward(o, i, j)
		s.next()
		return true
	}
	w.in[up].switchy = false
	if w.in[up].at == atSwitch { // the upstream did not want to
		w.in[up].at = atHead
	}
	y := bodyOf(h)
	switch {
	case x.head, code == 204, code == 304:
		y = body{}
	case h.length < 0 && !h.chunked:
		y.ends = bodyClose
	}
	if !w.change(o, raw, i, j, y) {
		return true
	}
	s.body, s.at = y, inBody
	if y.ends == bodyNone {
		w.answerEnds(o)
	}
	return true
}

// change lets toxics act on an answer, and passes its head on. False: nothing follows any more.
func (w *web) change(o *outlet, raw []byte, i, j int, y body) bool {
	s, acts := &w.in[down], w.open[0].acts
	if s.sent && len(s.held) > 0 {
		acts = nil
	}
	var fields map[string]*string
	var holds []hold
	var replace, cutter *toxic
	now := w.link.proxy.chain.Load().http
	for _, a := range acts {
		at := slices.IndexFunc(now, func(t *toxic) bool { return t.ordinal == a.t.ordinal })
		if at < 0 {
			continue
		}
		t := now[at]
		h := &t.set.http
		if !h.able(y) {
			continue
		}
		t.n.http.matched.Add(1)
		if !a.hit {
			continue
		}
		switch {
		case h.abort:
			w.touch(t)
			w.cut(o, chunk{cut: cutReset, by: t})
			return false
		case h.truncate != noTruncate:
			if cutter == nil || h.truncate < cutter.set.http.truncate {
				cutter = t
			}
			continue // touched when it is cut
		case h.delay > 0:
			holds = append(holds, hold{t, h.delay})
		case h.body != nil:
			replace = t
			fields = join(fields, h.replaced())
		default:
			fields = join(fields, h.headers)
		}
		w.touch(t)
	}
	var data []byte
	switch {
	case fields != nil:
		data = edit(raw, fields)
	case holds != nil:
		data = append(data, raw...)
	default:
		s.forward(o, i, j)
	}
	if replace != nil {
		data = append(data, *replace.set.http.body...)
	}
	if data != nil {
		o.put(chunk{data: data, holds: holds})
	}
	s.next()
	s.eater = replace
	if cutter != nil && replace == nil {
		s.cutter, s.left = cutter, cutter.set.http.truncate
	}
	return true
}

// answerEnds comes to the end of an answer.
func (w *web) answerEnds(o *outlet) {
	w.in[down].next()
	w.in[down].at = atHead
	w.shift()
	w.serve(o)
}

func (w *web) shift() {
	n := copy(w.open, w.open[1:])
	w.open[n] = exchange{}
	w.open = w.open[:n]
}

// answerable tells whether it is the turn of an answer that a toxic gives.
func (w *web) answerable() bool {
	s := &w.in[down]
	return len(w.open) > 0 && w.open[0].own != nil && w.open[0].ready && s.at == atHead && len(s.held) == 0
}

// serve gives the answers of toxics whose turn it is.
func (w *web) serve(o *outlet) {
	for w.answerable() {
		x := w.open[0]
		w.shift()
		if x.reset {
			w.cut(o, chunk{cut: cutReset, by: x.own, holds: x.holds})
			return
		}
		o.put(chunk{data: x.answer, holds: x.holds})
		if x.last {
			w.cut(o, chunk{cut: cutClose})
		}
	}
}

// cut makes c the last of the connection.
func (w *web) cut(o *outlet, c chunk) {
	o.put(c)
	w.open = nil
	w.in = [2]stream{{at: atVoid}, {at: atVoid}}
}

// able tells whether a body gives the toxic something to cut or replace. Without a length only the end tells.
func (h *httpSettings) able(y body) bool {
	switch {
	case h.truncate != noTruncate:
		return y.ends != bodyNone && (y.ends != bodyLength || h.truncate < y.left)
	case h.body != nil:
		return y.ends != bodyNone
	}
	return true
}
