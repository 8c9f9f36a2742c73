package delivery

import (
	"container/list"
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"

	"calotype/internal/clientaddr"
	"calotype/internal/limit"
)

const (
	// spareConnections are kept for health checks while all others are busy. Those from this
	// machine have a share of them.
	spareConnections = 32

	// idleUnderLoad is how long a connection may be idle while more than half of them are taken.
	idleUnderLoad = 15 * time.Second
	// closedAtOnce bounds the connections that one new connection has closed.
	closedAtOnce = 32
)

// Connections is a listener that accepts all clients' connections, and closes the connection that was idle
// longest if there would be too many. A connection is idle if it has not sent a complete header: a new one,
// and one between two requests. A busy one is never closed. A client's address has a share of the
// connections; a connection without an address, see package clientaddr, has no share. If all are busy, a new
// connection may only request the server's health.
//
// Its connections support sendfile of net/http, and can send a header and the picture after it in one write:
// see conn.
type Connections struct {
	net.Listener
	clients clientaddr.Proxies
	pool    *limit.Pool
	spare   *limit.Pool

	mu   sync.Mutex
	most int64
	idle list.List                // of *connSlot, all except the spare ones; the one that was idle longest first
	of   map[clientKey]*list.List // those of a client, in the same order; of clients that have idle connections
	now  func() time.Time
}

// A clientKey names the client of a connection. All clients without an address are one.
type clientKey struct {
	address string
	spare   bool
}

// NewConnections returns the connections that listener, which must be a TCP listener, accepts, at
// most most and some spare ones. The http.Server needs ConnContext and ConnState too.
func NewConnections(listener net.Listener, most int, clients clientaddr.Proxies) *Connections {
	return &Connections{
		Listener: listener, clients: clients, most: int64(most),
		pool:  limit.NewFair("connections", int64(most)),
		spare: limit.NewFair("health", spareConnections),
		of:    map[clientKey]*list.List{}, now: time.Now,
	}
}

// Pools returns what the connections are taken of.
func (c *Connections) Pools() []*limit.Pool { return []*limit.Pool{c.pool, c.spare} }

// Accept returns the next connection that may stay.
func (c *Connections) Accept() (net.Conn, error) {
	for {
		accepted, err := c.Listener.Accept()
		if err != nil {
			if tooManyFiles(err) && c.closeIdlest() {
				continue
			}
			return nil, err // net/http tries again if it may be better later
		}
		s := &connSlot{of: c, peer: c.clients.Peer(accepted.RemoteAddr())}
		if !c.admit(s, accepted) {
			_ = accepted.Close() // nothing was sent
			continue
		}
		return s.conn, nil
	}
}

// tooManyFiles reports whether the process or the machine cannot open further files.
func tooManyFiles(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// closeIdlest closes the connection that was idle longest, and reports whether there was one.
func (c *Connections) closeIdlest() bool {
	c.mu.Lock()
	s := longestIdle(&c.idle)
	if s != nil {
		c.leave(s)
	}
	c.mu.Unlock()
	if s != nil {
		_ = s.conn.Close() // the client has sent nothing
	}
	return s != nil
}

// admit takes a slot for a connection that was accepted, and closes others for it.
func (c *Connections) admit(s *connSlot, accepted net.Conn) bool {
	var closing []*connSlot
	evict := func(victim *connSlot) {
		c.leave(victim)
		closing = append(closing, victim)
	}
	c.mu.Lock()
	c.thin(evict)
	admitted := c.take(s, evict)
	if admitted {
		s.conn = newConn(accepted, s)
		c.becomeIdle(s)
	}
	c.mu.Unlock()
	for _, victim := range closing {
		_ = victim.conn.Close() // as in closeIdlest
	}
	return admitted
}

// thin closes idle connections before all are taken: a sixteenth stays free, so that the share of a
// client that has none yet is not nothing. The caller holds mu.
func (c *Connections) thin(evict func(*connSlot)) {
	now := c.now()
	for range closedAtOnce {
		s, used := longestIdle(&c.idle), c.pool.Used()
		nearlyFull := used > c.most-max(1, c.most/16)
		if s == nil || !nearlyFull && (used <= c.most/2 || now.Sub(s.since) < idleUnderLoad) {
			return
		}
		evict(s)
	}
}

// take takes a connection for a client, or a spare one. A client that has its share makes room
// itself. The caller holds mu.
func (c *Connections) take(s *connSlot, evict func(*connSlot)) bool {
	key := clientKey{address: s.peer.Key}
	if c.takeOf(c.pool, s, key, evict) {
		return true
	}
	key = clientKey{address: "other", spare: true}
	if s.peer.Loopback {
		key.address = "loopback"
	}
	return c.takeOf(c.spare, s, key, evict)
}

func (c *Connections) takeOf(pool *limit.Pool, s *connSlot, key clientKey, evict func(*connSlot)) bool {
	var keys []string
	if key.address != "" {
		keys = []string{key.address}
	}
	lease, err := pool.TryAcquire(1, keys...)
	if own := c.of[key]; err != nil && own != nil {
		evict(longestIdle(own))
		lease, err = pool.TryAcquire(1, keys...)
	}
	if err != nil {
		return false
	}
	s.lease, s.key = lease, key
	return true
}

// becomeIdle notes that a connection waits for its client. The caller holds mu.
func (c *Connections) becomeIdle(s *connSlot) {
	s.idle, s.since = true, c.now()
	if !s.key.spare {
		s.inAll = c.idle.PushBack(s)
	}
	own := c.of[s.key]
	if own == nil {
		own = list.New()
		c.of[s.key] = own
	}
	s.inOwn = own.PushBack(s)
}

// becomeBusy marks a connection as busy. The caller has locked mu.
func (c *Connections) becomeBusy(s *connSlot) {
	if !s.idle {
		return
	}
	s.idle = false
	if !s.key.spare {
		c.idle.Remove(s.inAll)
	}
	own := c.of[s.key]
	if own.Remove(s.inOwn); own.Len() == 0 {
		delete(c.of, s.key)
	}
}

// leave gives the slot of a connection back. The caller holds mu, and closes it.
func (c *Connections) leave(s *connSlot) {
	c.becomeBusy(s)
	s.lease.Release()
	s.left = true
}

// ConnState is the http.Server's ConnState: it marks connections as idle or busy.
func (c *Connections) ConnState(conn net.Conn, state http.ConnState) {
	s := slotOf(conn)
	if s == nil || state != http.StateActive && state != http.StateIdle {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case s.left:
		s.late = true
	case state == http.StateActive:
		c.becomeBusy(s)
	case !s.idle:
		c.becomeIdle(s)
	}
}

// ConnContext is the http.Server's: it lets the delivery find its connection, Serves the slot, and
// package clientaddr the client.
func (c *Connections) ConnContext(ctx context.Context, conn net.Conn) context.Context {
	s := slotOf(conn)
	if s == nil {
		return ctx
	}
	return context.WithValue(clientaddr.With(ctx, s.peer), connKey{}, s)
}

// Identify returns the request with its client in its context: see package clientaddr.
func (c *Connections) Identify(r *http.Request) *http.Request { return c.clients.Identify(r) }

type connKey struct{}

// Serves reports whether the connection of a request may have it answered: not a spare one that
// asks for more than the health, nor one that was closed in the moment in which the request came,
// so that nothing is done for a client that will not hear of it.
func Serves(ctx context.Context, health bool) bool {
	s, _ := ctx.Value(connKey{}).(*connSlot)
	return s == nil || !s.late && (health || !s.key.spare)
}

// Spare reports whether the connection of a request must be closed after its answer.
func Spare(ctx context.Context) bool {
	s, _ := ctx.Value(connKey{}).(*connSlot)
	return s != nil && s.key.spare
}

// A connSlot is what is known of a connection besides its bytes.
type connSlot struct {
	of   *Connections
	conn net.Conn
	peer clientaddr.Peer

	key   clientKey // guarded, as all that follows, by the mu of Connections
	lease *limit.Lease
	idle  bool
	since time.Time // idle
	left  bool      // it is closed, or about to be
	late  bool      // a request came after that; only the goroutine that serves it looks

	inAll, inOwn *list.Element // in Connections.idle and in the list of its key, while it is idle
}

// close gives the slot back when its connection is closed.
func (s *connSlot) close() {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	if !s.left {
		s.of.leave(s)
	}
}

// slotOf returns the slot of a connection, nil if it is not one of Connections.
func slotOf(c net.Conn) *connSlot {
	switch c := c.(type) {
	case *conn:
		return c.slot
	case *otherConn:
		return c.slot
	}
	return nil
}

// longestIdle returns the first connection of a list, nil if the list is empty.
func longestIdle(idle *list.List) *connSlot {
	if first := idle.Front(); first != nil {
		return first.Value.(*connSlot)
	}
	return nil
}
