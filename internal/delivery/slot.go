package delivery

import (
	"container/list"
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
