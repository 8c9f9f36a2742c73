package images

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	bodiesPerTicket = 4 // read at once
	askersPerTicket = 1000
	gateTime        = 30 * time.Second
)

// errGateEnded says that the draft is one no more; its row tells why.
var errGateEnded = errors.New("the ticket was used or cancelled meanwhile")

// gates let a few bodies for one ticket in at once; the others wait unread, for the first that is
// accepted makes the rest pointless.
type gates struct {
	mu sync.Mutex
	of map[string]*gate // by the image's key; only while somebody asks
}

type gate struct {
	places    chan struct{}
	ended     chan struct{}
	cancelled chan struct{} // the draft was deleted: bodies being read are of no use
	askers    int
}

// enter waits for a place. On success the caller must leave; cancelled is closed when the draft is
// deleted meanwhile.
func (g *gates) enter(
	ctx context.Context, key string,
) (leave func(), cancelled <-chan struct{}, err error) {
	at, err := g.ask(key)
	if err != nil {
		return nil, nil, err
	}
	timeout := time.NewTimer(gateTime)
	defer timeout.Stop()
	select {
	case at.places <- struct{}{}:
		return func() { <-at.places; g.leave(key, at) }, at.cancelled, nil
	case <-at.ended:
		err = errGateEnded
	case <-timeout.C:
		err = crowded()
	case <-ctx.Done():
		err = Errorf(Aborted, "The request was aborted by the client")
	}
	g.leave(key, at)
	return nil, nil, err
}

func (g *gates) ask(key string) (*gate, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	at := g.of[key]
	if at == nil {
		if g.of == nil {
			g.of = map[string]*gate{}
		}
		at = &gate{
			places: make(chan struct{}, bodiesPerTicket), ended: make(chan struct{}),
			cancelled: make(chan struct{}),
		}
		g.of[key] = at
	}
	if at.askers >= askersPerTicket {
		return nil, crowded()
	}
	at.askers++
	return at, nil
}

func (g *gates) leave(key string, at *gate) {
	g.mu.Lock()
	defer g.mu.Unlock()
	at.askers--
	if at.askers == 0 && g.of[key] == at {
		delete(g.of, key)
	}
}

// end wakes all who wait: the draft has become an image, or was deleted.
func (g *gates) end(key string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if at := g.of[key]; at != nil {
		close(at.ended)
		delete(g.of, key)
	}
}

// cancel ends the gate of a deleted draft, and the bodies being read for it; it returns how many.
func (g *gates) cancel(key string) (reading int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	at := g.of[key]
	if at == nil {
		return 0
	}
	reading = len(at.places)
	close(at.ended)
	close(at.cancelled)
	delete(g.of, key)
	return reading
}

func crowded() error {
	e := Errorf(TicketCrowded, "Too many uploads to this URL at once: wait for the first to end")
	e.RetryAfter = gateTime
	return e
}
