package delivery

import (
	"net"
	"time"

	"calotype/internal/clientaddr"
	"calotype/internal/limit"
)

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
	links [2]struct{ before, after *connSlot }
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

// An idleList holds idle connections, the one that was idle longest first. A connection is in one
// list of each level.
type idleList struct {
	level       int
	first, last *connSlot
}

func (l *idleList) push(s *connSlot) {
	s.links[l.level].before, s.links[l.level].after = l.last, nil
	if l.last != nil {
		l.last.links[l.level].after = s
	} else {
		l.first = s
	}
	l.last = s
}

func (l *idleList) remove(s *connSlot) {
	before, after := s.links[l.level].before, s.links[l.level].after
	if before != nil {
		before.links[l.level].after = after
	} else {
		l.first = after
	}
	if after != nil {
		after.links[l.level].before = before
	} else {
		l.last = before
	}
	s.links[l.level].before, s.links[l.level].after = nil, nil
}
