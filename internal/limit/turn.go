package limit

import (
	"cmp"
	"slices"
)

// dispatch grants the requests that fit, in the order of their turns. It stops at a request for which the pool is
// too full, so that small requests do not overtake a large one for ever. It skips a key over its share.
func (p *Pool) dispatch() {
	for p.root.waiting > 0 {
		w, _ := p.next(&p.root)
		if w == nil {
			return
		}
		p.unqueue(w)
		for at := w.at; at != nil; at = at.parent {
			at.held += w.n
		}
		p.charge(w.at, w.cost)
		close(w.granted)
	}
}

// next returns the request under at whose turn it is, nil if no request fits. full reports that the pool is too full
// for that request.
func (p *Pool) next(at *node) (w *waiter, full bool) {
	if len(at.queue) > 0 {
		switch p.space(at, at.queue[0].n) {
		case fits:
			return at.queue[0], false
		case noPool:
			return nil, true
		}
	}
	var waiting []*node
	for _, child := range at.children {
		if child.waiting > 0 {
			waiting = append(waiting, child)
		}
	}
	slices.SortFunc(waiting, func(a, b *node) int {
		return cmp.Or(cmp.Compare(a.turn, b.turn), cmp.Compare(a.first(), b.first()))
	})
	for _, child := range waiting {
		if w, full := p.next(child); w != nil || full {
			return w, full
		}
	}
	return nil, false
}

// first returns the arrival of the oldest request under a node.
func (at *node) first() uint64 {
	first := ^uint64(0)
	if len(at.queue) > 0 {
		first = at.queue[0].seq
	}
	for _, child := range at.children {
		if child.waiting > 0 {
			first = min(first, child.first())
		}
	}
	return first
}

// charge adds the cost of a turn to each key of a node.
func (p *Pool) charge(at *node, cost float64) {
	for ; at.parent != nil; at = at.parent {
		start := max(at.turn, at.parent.clock)
		at.parent.clock = start
		at.turn = start + cost
	}
}

// unqueue removes a request from the queue.
func (p *Pool) unqueue(w *waiter) {
	w.at.queue = slices.DeleteFunc(w.at.queue, func(o *waiter) bool { return o == w })
	for at := w.at; at != nil; at = at.parent {
		at.waiting--
	}
}
