package proxy

import (
	"fmt"
	"net/http"
	"slices"
	"time"
)

// maxToxics is how many toxics one proxy can have.
const maxToxics = 64

// addToxic validates in and makes it the last toxic of its direction.
func (p *proxy) addToxic(in toxicInput) (toxicView, error) {
	t, err := newToxic(in)
	if err != nil {
		return toxicView{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone {
		return toxicView{}, errProxyNotFound()
	}
	if p.find(t.name) >= 0 {
		return toxicView{}, &apiError{"toxic already exists", http.StatusConflict}
	}
	if err := t.setAttributes(in.Attributes); err != nil {
		return toxicView{}, err
	}
	if len(p.toxics) >= maxToxics {
		return toxicView{}, badRequest("too many toxics: at most %d for each proxy", maxToxics)
	}
	p.ordinal++
	t.ordinal, t.since, t.n = p.ordinal, time.Now(), &tally{}
	if err := p.apply(append(slices.Clone(p.toxics), t)); err != nil {
		return toxicView{}, err
	}
	if t.kind == kindReset {
		p.resetRound(t)
		p.startRounds(t)
	}
	p.log.Info("toxic added", "toxic", t.name, "type", t.kind, "stream", t.stream, "toxicity", t.toxicity)
	return t.view(), nil
}

// updateToxic changes attributes and toxicity; what in leaves out stays.
func (p *proxy) updateToxic(name string, in toxicInput) (toxicView, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := p.find(name)
	if p.gone || i < 0 {
		return toxicView{}, errToxicNotFound()
	}
	t := *p.toxics[i]
	if err := t.update(in); err != nil {
		return toxicView{}, err
	}
	next := slices.Clone(p.toxics)
	next[i] = &t
	if err := p.apply(next); err != nil {
		return toxicView{}, err
	}
	if t.kind == kindReset {
		p.endRounds(t.ordinal)
		p.startRounds(&t)
	}
	p.log.Info("toxic updated", "toxic", t.name, "toxicity", t.toxicity)
	return t.view(), nil
}

func (p *proxy) removeToxic(name string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := p.find(name)
	if p.gone || i < 0 {
		return errToxicNotFound()
	}
	if err := p.apply(slices.Delete(slices.Clone(p.toxics), i, i+1)); err != nil {
		return fmt.Errorf("toxic %q stays: %w", name, err)
	}
	p.log.Info("toxic removed", "toxic", name)
	return nil
}

func (p *proxy) find(name string) int {
	return slices.IndexFunc(p.toxics, func(t *toxic) bool { return t.name == name })
}

// resetRound sends a RST to the established connections that t hits.
func (p *proxy) resetRound(t *toxic) {
	for _, l := range p.current() {
		if p.dice.hits(t, l.id) {
			l.end(true, &t.n.connections, &t.n.resets)
		}
	}
}

// startRounds repeats resetRound until endRounds.
func (p *proxy) startRounds(t *toxic) {
	if t.set.every == 0 {
		return
	}
	stop := make(chan struct{})
	p.rounds[t.ordinal] = stop
	p.server.wg.Go(func() {
		tick := time.NewTicker(t.set.every)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				p.mu.Lock()
				if p.rounds[t.ordinal] == stop {
					p.resetRound(t)
				}
				p.mu.Unlock()
			}
		}
	})
}

func (p *proxy) endRounds(ordinal uint64) {
	if stop := p.rounds[ordinal]; stop != nil {
		close(stop)
		delete(p.rounds, ordinal)
	}
}

// ordered lists the toxics as stock does: upstream first, then by age.
func (p *proxy) ordered() []*toxic {
	all := slices.Clone(p.toxics)
	slices.SortStableFunc(all, func(a, b *toxic) int { return int(a.dir) - int(b.dir) })
	return all
}

func (p *proxy) toxicViews() []toxicView {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.viewsLocked()
}

func (p *proxy) viewsLocked() []toxicView {
	views := make([]toxicView, 0, len(p.toxics))
	for _, t := range p.ordered() {
		views = append(views, t.view())
	}
	return views
}

func (p *proxy) toxicView(name string) (toxicView, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := p.find(name)
	if i < 0 {
		return toxicView{}, errToxicNotFound()
	}
	return p.toxics[i].view(), nil
}

func (p *proxy) view() proxyView {
	p.mu.Lock()
	defer p.mu.Unlock()
	return proxyView{Name: p.name, Listen: p.listen, Upstream: p.upstream, Enabled: p.enabled, Toxics: p.viewsLocked()}
}

// counters reads the live counters.
func (p *proxy) counters() Counters {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := Counters{
		Epoch: p.server.epoch, Proxy: p.name, Incarnation: p.incarnation,
		Accepted: p.n.accepted.Load(), Upstreams: p.n.upstreams.Load(), OverLimit: p.n.overLimit.Load(),
		DialFailures: p.n.dialFailures.Load(), Received: p.n.received.read(), Sent: p.n.sent.read(),
		Toxics: make([]ToxicCounters, 0, len(p.toxics)), Removed: make([]ToxicCounters, 0, len(p.removed)),
	}
	p.linksMu.Lock()
	c.Open = int64(len(p.links))
	p.linksMu.Unlock()
	for _, t := range p.ordered() {
		now := t.counters()
		now.Seen = c.Accepted - min(c.Accepted, t.n.before)
		c.Toxics = append(c.Toxics, now)
	}
	for _, r := range p.removed {
		was := r.toxic.counters()
		was.RemovedAt, was.Seen = r.at, r.toxic.n.until-r.toxic.n.before
		c.Removed = append(c.Removed, was)
	}
	return c
}
