package delivery

import (
	"bufio"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"calotype/internal/clientaddr"
)

// A hall is a server on Connections. A request of /busy is answered when the test says so.
type hall struct {
	t *testing.T
	*Connections
	address string
	began   chan string   // the path of each request of /busy
	end     chan struct{} // ends one of them
}

// newHall serves with most connections at most. With proxies, addresses of this machine count as clients.
func newHall(t *testing.T, listener net.Listener, most int, proxies ...string) *hall {
	t.Helper()
	var clients clientaddr.Proxies
	for _, p := range proxies {
		clients = append(clients, netip.MustParsePrefix(p))
	}
	if listener == nil {
		listener = listenHere(t)
	}
	h := &hall{t: t, Connections: NewConnections(listener, most, clients),
		address: listener.Addr().String(), began: make(chan string), end: make(chan struct{})}
	server := &http.Server{ConnContext: h.ConnContext, ConnState: h.ConnState, Handler: h,
		ErrorLog: log.New(io.Discard, "", 0)}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(h.Connections) }()
	t.Cleanup(func() {
		server.Close()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("the server ended with %v", err)
		}
	})
	return h
}

func listenHere(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return listener
}

func (h *hall) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !Serves(r.Context(), r.URL.Path == "/healthz") {
		panic(http.ErrAbortHandler)
	}
	if Spare(r.Context()) {
		w.Header().Set("Connection", "close")
	}
	if r.URL.Path == "/busy" {
		h.began <- r.URL.Path
		<-h.end
	}
	io.WriteString(w, "well")
}

// A visitor is a connection of a client.
type visitor struct {
	net.Conn
	r    *bufio.Reader
	idle func(*visitor) // waits until the server knows that the connection is idle; nil: no wait
}

// visit connects from an address of this machine.
func (h *hall) visit(from string) *visitor {
	h.t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := d.DialContext(h.t.Context(), "tcp", h.address)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		h.t.Fatal(err)
	}
	return &visitor{c, bufio.NewReader(c), h.awaitIdle}
}

func (v *visitor) ask(path string) error {
	_, err := io.WriteString(v, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n")
	return err
}

// answer returns the status of the answer, 0 when the connection ended without one.
func (v *visitor) answer(t *testing.T) (status int, closed bool) {
	t.Helper()
	response, err := http.ReadResponse(v.r, nil)
	if err != nil {
		if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
			t.Fatal("neither an answer nor an end")
		}
		return 0, true
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Close
}

// get asks and returns the status. A connection that stays open is idle afterwards.
func (v *visitor) get(t *testing.T, path string) int {
	t.Helper()
	if err := v.ask(path); err != nil {
		return 0
	}
	status, closed := v.answer(t)
	if !closed && v.idle != nil {
		v.idle(v)
	}
	return status
}

// awaitIdle waits until the server has marked the connection of a visitor as idle:
// the client may read the answer before.
func (h *hall) awaitIdle(v *visitor) {
	h.t.Helper()
	for range 6000 {
		if h.marked(v) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	h.t.Fatal("a connection was never idle after its answer")
}

func (h *hall) marked(v *visitor) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, idle := range h.of {
		for e := idle.Front(); e != nil; e = e.Next() {
			if e.Value.(*connSlot).conn.RemoteAddr().String() == v.LocalAddr().String() {
				return true
			}
		}
	}
	return false
}

// busy opens connections that are busy from now on.
func (h *hall) busy(from string, n int) (all []*visitor) {
	h.t.Helper()
	for range n {
		v := h.visit(from)
		if err := v.ask("/busy"); err != nil {
			h.t.Fatal(err)
		}
		<-h.began
		all = append(all, v)
	}
	return all
}

// endBusy ends all requests of visitors, and returns the number of answered ones.
func (h *hall) endBusy(all []*visitor) (answered int) {
	h.t.Helper()
	for range all {
		h.end <- struct{}{}
	}
	for _, v := range all {
		if status, _ := v.answer(h.t); status == http.StatusOK {
			answered++
		}
	}
	return answered
}

// With more silent connections than allowed each new connection is served, busy ones stay, and the limit
// holds.
func TestTheIdlestConnectionMakesRoom(t *testing.T) {
	t.Parallel()
	h := newHall(t, nil, 16)
	busy := h.busy("127.0.0.1", 3)
	oldest := h.visit("127.0.0.1")
	if oldest.get(t, "/") != http.StatusOK {
		t.Error("the first idle connection was not served")
	}
	for range 100 {
		h.visit("127.0.0.1")
	}
	for range 5 {
		if status := h.visit("127.0.0.1").get(t, "/"); status != http.StatusOK {
			t.Errorf("a newcomer got %d", status)
		}
	}
	if used := h.pool.Used(); used > 16 {
		t.Errorf("%d connections are open", used)
	}
	if status := oldest.get(t, "/"); status != 0 {
		t.Errorf("the connection that was idle longest got %d", status)
	}
	if n := h.endBusy(busy); n != len(busy) {
		t.Errorf("%d of %d busy connections were answered", n, len(busy))
	}
	for _, v := range busy { // they are idle now
		if status := v.get(t, "/"); status != http.StatusOK {
			t.Errorf("a connection that was busy got %d", status)
		}
	}
}

// While all connections are busy, only health checks are answered.
func TestHealthIsToldWhileAllAreBusy(t *testing.T) {
	t.Parallel()
	h := newHall(t, nil, 8)
	busy := h.busy("127.0.0.1", 8)
	for range 2 * spareConnections {
		h.visit("127.0.0.1") // silent ones must not hold the spare connections either
	}
	for range 2 * spareConnections {
		if status := h.visit("127.0.0.1").get(t, "/"); status != 0 {
			t.Fatalf("beside busy connections, a picture got %d", status)
		}
		v := h.visit("127.0.0.1")
		if err := v.ask("/healthz"); err != nil {
			t.Fatal(err)
		}
		if status, closed := v.answer(t); status != http.StatusOK || !closed {
			t.Fatalf("beside busy connections, the health got %d, closed: %v", status, closed)
		}
	}
	if n := h.endBusy(busy); n != len(busy) {
		t.Errorf("%d of %d busy connections were answered", n, len(busy))
	}
	if status := h.visit("127.0.0.1").get(t, "/"); status != http.StatusOK {
		t.Errorf("afterwards a picture got %d", status)
	}
}

// One address opens all that it can. Another's idle connection stays, and it gets new ones.
func TestAnAddressHasAShareOfTheConnections(t *testing.T) {
	t.Parallel()
	h := newHall(t, nil, 32, "192.0.2.1/32")
	quiet := h.visit("127.0.0.2")
	if quiet.get(t, "/") != http.StatusOK {
		t.Error("a client was not served")
	}
	for range 100 {
		h.visit("127.0.0.3")
	}
	if status := h.visit("127.0.0.3").get(t, "/"); status != http.StatusOK {
		t.Errorf("the newest connection of the client with most of them got %d", status)
	}
	if s := h.pool.Stats(); s.Largest > 16 || s.Keys != 2 {
		t.Errorf("the largest of %d clients has %d of 32 connections", s.Keys, s.Largest)
	}
	if status := quiet.get(t, "/"); status != http.StatusOK {
		t.Errorf("an idle connection of another client got %d", status)
	}
	busy := h.busy("127.0.0.3", 14)
	for range 10 {
		if status := h.visit("127.0.0.2").get(t, "/"); status != http.StatusOK {
			t.Errorf("another client got %d", status)
		}
	}
	if n := h.endBusy(busy); n != len(busy) {
		t.Errorf("%d of %d busy connections were answered", n, len(busy))
	}
}

// A proxy that is trusted has no share: its connections are those of many clients.
func TestATrustedProxyHasNoShare(t *testing.T) {
	t.Parallel()
	h := newHall(t, nil, 32, "127.0.0.2/32")
	busy := h.busy("127.0.0.2", 30)
	if n := h.endBusy(busy); n != len(busy) {
		t.Errorf("%d of %d connections of a proxy were answered", n, len(busy))
	}
}

// Above half of the connections, idle ones are closed sooner.
func TestIdleConnectionsAreClosedSoonerUnderLoad(t *testing.T) {
	t.Parallel()
	var now atomic.Int64
	h := newHall(t, nil, 32)
	h.mu.Lock()
	h.now = func() time.Time { return time.Unix(now.Load(), 0) }
	h.mu.Unlock()
	var old []*visitor
	for range 16 {
		v := h.visit("127.0.0.1")
		if v.get(t, "/") != http.StatusOK {
			t.Fatal("not served")
		}
		old = append(old, v)
	}
	now.Add(int64(idleUnderLoad/time.Second) + 1)
	if h.visit("127.0.0.1").get(t, "/") != http.StatusOK || h.pool.Used() != 17 {
		t.Errorf("at half of the connections %d of 17 are open", h.pool.Used())
	}
	young := h.visit("127.0.0.1")
	if young.get(t, "/") != http.StatusOK {
		t.Error("a newcomer was not served")
	}
	gone := 0
	for _, v := range old {
		if v.get(t, "/") == 0 {
			gone++
		}
	}
	if gone != 1 || young.get(t, "/") != http.StatusOK {
		t.Errorf("%d old connections were closed, want 1: then half are left", gone)
	}
}

// A fullListener has no files for some of its connections.
type fullListener struct {
	net.Listener
	fails atomic.Int32
}

func (l *fullListener) Accept() (net.Conn, error) {
	if l.fails.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: syscall.EMFILE}
	}
	return l.Listener.Accept()
}

// Without files for a connection, an idle one is closed for it; without an idle one, the server continues.
func TestTooManyFilesEndNothing(t *testing.T) {
	t.Parallel()
	listener := &fullListener{Listener: listenHere(t)}
	h := newHall(t, listener, 32)
	old := h.visit("127.0.0.1")
	if old.get(t, "/") != http.StatusOK {
		t.Fatal("not served")
	}
	listener.fails.Store(1) // for the connection after the next: Accept waits already
	if status := h.visit("127.0.0.1").get(t, "/"); status != http.StatusOK {
		t.Errorf("a newcomer got %d", status)
	}
	if status := old.get(t, "/"); status != 0 {
		t.Errorf("the idle connection got %d", status)
	}
	listener.fails.Store(5) // more than there are idle connections
	h.visit("127.0.0.1")
	status := 0
	for range 5 {
		status = h.visit("127.0.0.1").get(t, "/")
	}
	if status != http.StatusOK || listener.fails.Load() > 0 {
		t.Errorf("afterwards a newcomer got %d", status)
	}
}

// A request that comes when its connection is being closed is not begun.
func TestARequestOnAClosedConnectionIsNotBegun(t *testing.T) {
	t.Parallel()
	c := NewConnections(listenHere(t), 4, nil)
	defer c.Close()
	client, err := net.Dial("tcp", c.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	served, err := c.Accept()
	if err != nil {
		t.Fatal(err)
	}
	ctx := c.ConnContext(t.Context(), served)
	c.ConnState(served, http.StateActive)
	if !Serves(ctx, false) || c.closeIdlest() {
		t.Error("a busy connection is not served, or was closed")
	}
	c.ConnState(served, http.StateIdle)
	if !c.closeIdlest() {
		t.Error("no connection is idle")
	}
	c.ConnState(served, http.StateActive)
	if Serves(ctx, true) {
		t.Error("a request on a closed connection is served")
	}
	if err := served.Close(); err == nil || c.pool.Used() != 0 || len(c.of) != 0 ||
		c.idle.Len() != 0 {
		t.Errorf("at the end %d connections are open", c.pool.Used())
	}
	if s := c.Pools(); s[0].Name() != "connections" || s[1].Name() != "health" {
		t.Errorf("the pools are %s and %s", s[0].Name(), s[1].Name())
	}
}

// Connections that are not of TCP are counted too.
func TestOtherConnectionsAreCounted(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	path := t.TempDir() + "/socket"
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server.Listener.Close()
	connections := NewConnections(listener, 4, nil)
	server.Listener = connections
	server.Config.ConnState = connections.ConnState
	server.Start()
	defer server.Close()
	client, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	v := &visitor{client, bufio.NewReader(client), nil}
	if v.get(t, "/") != http.StatusNotFound || connections.pool.Used() != 1 {
		t.Errorf("%d connections are open", connections.pool.Used())
	}
}
