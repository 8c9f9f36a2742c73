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
	// spareConnections is the number of connections for health checks while all others are busy. Connections from
	// this machine have a share of them.
	spareConnections = 32

	// idleUnderLoad is the maximal idle time of a connection while more than half of the connections are in use.
	idleUnderLoad = 15 * time.Second
	// closedAtOnce bounds the connections that thin closes for one new connection.
	closedAtOnce = 32
)

// Connections is a listener that accepts the connections of all clients, and closes the connection that was idle
// longest if there would be too many. A connection is idle if the client has not sent a complete header: a new
// connection, and one between two requests. A busy connection is never closed. The address of a client has a share
// of the connections; a connection without an address (see package clientaddr) has no share. If all connections are
// busy, a new connection may only request the server's health.
//
// The connections support sendfile of net/http, and can send a header and the picture after it in one write: see
// conn.
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

// A clientKey names the client of a connection. All clients without an address have one key.
type clientKey struct {
	address string
	spare   bool
}

// NewConnections returns the Connections of a TCP listener: at most most, and spareConnections. The http.Server must
// call ConnContext and ConnState.
func NewConnections(listener net.Listener, most int, clients clientaddr.Proxies) *Connections {
	return &Connections{
		Listener: listener, clients: clients, most: int64(most),
		pool:  limit.NewFair("connections", int64(most)),
		spare: limit.NewFair("health", spareConnections),
		of:    map[clientKey]*list.List{}, now: time.Now,
	}
}

// Pools returns the pools of the connections, for metrics.
func (c *Connections) Pools() []*limit.Pool { return []*limit.Pool{c.pool, c.spare} }

// Accept returns the next admitted connection. It closes connections that are not admitted. Errors: those of the
// listener.
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

// admit reserves a slot for an accepted connection, and closes other connections for it.
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

// thin closes idle connections before all slots are in use: a sixteenth stays free, so that a new client has a
// share. The caller has locked mu.
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

// take reserves a slot for the connection of a client, or a spare one. If the client has its share, take evicts the
// client's longest idle connection. The caller has locked mu.
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

// becomeIdle marks a connection as idle. The caller has locked mu.
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

// leave releases the slot of a connection. The caller has locked mu, and closes the connection.
func (c *Connections) leave(s *connSlot) {
	c.becomeBusy(s)
	s.lease.Release()
	s.left = true
}

// ConnState is the ConnState of the http.Server: it marks connections as idle or busy.
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

// ConnContext is the ConnContext of the http.Server: it adds the slot, for Serves and Spare, and the client of the
// connection, for package clientaddr, to the context.
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

// Serves reports whether the connection of the request in ctx may have an answer. It may not if it is a spare one
// and the request is not for the health, or if it was closed when the request arrived.
func Serves(ctx context.Context, health bool) bool {
	s, _ := ctx.Value(connKey{}).(*connSlot)
	return s == nil || !s.late && (health || !s.key.spare)
}

// Spare reports whether the connection of the request in ctx must be closed after the answer.
func Spare(ctx context.Context) bool {
	s, _ := ctx.Value(connKey{}).(*connSlot)
	return s != nil && s.key.spare
}

// A connSlot is the state of a connection.
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

// close releases the slot of a connection when the connection is closed.
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
