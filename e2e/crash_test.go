package e2e

import (
	"fmt"
	"math/rand"
	"net/http"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"calotype/internal/sqldb/sqldbtest"
)

// crashRounds is how often each engine's server is killed.
const crashRounds = 50

// A crash kills one server repeatedly with kill -9, each time with several uploads in progress, and records
// the result of each ticket.
type crash struct {
	*server
	rnd   *rand.Rand
	small []byte // a picture that is decoded at once
	large []byte // one that takes a while
	took  time.Duration
	seed  int

	tickets []*crashTicket
	stages  map[string]*crashCount
}

// A crashTicket is a one-time URL and all that was posted to it.
type crashTicket struct {
	url     oneTimeURL
	flights []*flight
	content []byte // what its image must hold, once that is known
}

type crashCount struct{ rounds, acknowledged, unacknowledged, drafts int }

// crashStages are the moments of the kill. Each gets the round's flights, of which nothing was
// sent yet, and returns when the moment has come.
var crashStages = []struct {
	name  string
	large bool
	come  func(c *crash, flights []*flight)
}{
	{"half of the body was sent", true, (*crash).halfSent},
	{"the spool file is complete", true, (*crash).spoolComplete},
	{"the worker decodes", true, (*crash).decoding},
	{"the worker is stopped in its job", false, (*crash).workerStopped},
	{"the original is in the blob folder", false, (*crash).blobStored},
	{"about the commit", false, (*crash).aboutCommit},
	{"after the first answer", false, (*crash).answered},
}

func TestKillMinusNine(t *testing.T) {
	t.Parallel()
	onBothDSNs(t, crashAgainAndAgain)
}

// onBothDSNs runs a test of crashes on a server of each engine, with the name of its database.
func onBothDSNs(t *testing.T, crash func(t *testing.T, s *server, dsn string)) {
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		s := newServer(t)
		crash(t, s, filepath.Join(s.data, "calotype.db"))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		dsn := sqldbtest.Postgres(t)
		crash(t, newServer(t, "-db", dsn), dsn)
	})
}

func crashAgainAndAgain(t *testing.T, s *server, dsn string) {
	c := &crash{
		server: s, rnd: rand.New(rand.NewSource(9)), stages: map[string]*crashCount{},
		small: photo(t, 200, 150, 1), large: photo(t, 3000, 2000, 1),
	}
	c.measure()
	for round := range crashRounds {
		stage := crashStages[round%len(crashStages)]
		if c.stages[stage.name] == nil {
			c.stages[stage.name] = &crashCount{}
		}
		count := c.stages[stage.name]
		count.rounds++
		tickets, flights := c.board(stage.large)
		if len(c.workers()) == 0 {
			t.Fatal("the server has no workers that the test can see")
		}
		stage.come(c, flights)
		c.killWithWorkers()
		c.start()
		if left := c.spooled(); len(left) > 0 {
			t.Errorf("after the restart the spool holds %d files", len(left))
		}
		for _, ticket := range tickets {
			c.settle(ticket, count)
		}
		if t.Failed() {
			t.Fatalf("round %d, killed when: %s\n%s", round, stage.name, c.tail())
		}
	}
	c.wantAll()
	c.stop()
	c.wantNoOrphans(dsn)
	wantUsage(t, dsn)
	c.report()
}

// measure finds how long an upload takes after the end of its body.
func (c *crash) measure() {
	c.t.Helper()
	var took []time.Duration
	for range 9 {
		f := depart(c.t, c.createUploadURL(), "measured.jpg", c.next(c.small))
		f.sendFile(c.t)
		begin := time.Now()
		f.sendAll(c.t)
		<-f.landed
		if took = append(took, time.Since(begin)); f.status != http.StatusOK {
			c.t.Fatalf("an upload is answered %d, %v", f.status, f.err)
		}
		c.tickets = append(c.tickets, &crashTicket{f.url, []*flight{f}, f.content})
	}
	slices.Sort(took)
	c.took = took[len(took)/2]
}

// next returns a picture that no upload had before.
func (c *crash) next(picture []byte) []byte {
	c.seed++
	return tagged(picture, c.seed)
}

// board opens the uploads of a round: three of them alone with their ticket, two at one.
func (c *crash) board(large bool) (tickets []*crashTicket, flights []*flight) {
	c.t.Helper()
	picture := c.small
	if large {
		picture = c.large
	}
	for _, uploads := range []int{1, 1, 1, 2} {
		ticket := &crashTicket{url: c.createUploadURL()}
		for range uploads {
			f := depart(c.t, ticket.url, fmt.Sprintf("%d.jpg", c.seed), c.next(picture))
			ticket.flights = append(ticket.flights, f)
			flights = append(flights, f)
		}
		tickets = append(tickets, ticket)
	}
	c.tickets = append(c.tickets, tickets...)
	c.rnd.Shuffle(len(flights), func(i, j int) { flights[i], flights[j] = flights[j], flights[i] })
	return tickets, flights
}

// The stages.

// formPiece is how many bytes of a form the server may hold back from the spool.
const formPiece = 64 << 10

func (c *crash) halfSent(flights []*flight) {
	for _, f := range flights {
		f.sendHalf(c.t)
	}
	if len(flights[0].content)/2 <= formPiece { // a file is made with its first bytes
		return
	}
	c.wait("half spool files", func() bool {
		return c.spoolHolds(len(flights), 1)
	})
}

func (c *crash) spoolComplete(flights []*flight) {
	for _, f := range flights {
		f.sendFile(c.t)
	}
	if len(flights[0].content) <= formPiece {
		return
	}
	c.wait("whole spool files", func() bool {
		return c.spoolHolds(len(flights), len(flights[0].content)-formPiece)
	})
}

func (c *crash) decoding(flights []*flight) {
	c.spoolComplete(flights)
	for _, f := range flights {
		f.sendAll(c.t)
	}
	c.linger(10 * time.Millisecond) // of about 50 that the large picture takes
}

func (c *crash) workerStopped(flights []*flight) {
	for _, pid := range c.workers() {
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			c.t.Fatal(err)
		}
	}
	c.decoding(flights)
}

func (c *crash) blobStored(flights []*flight) {
	there := len(c.originals())
	for _, f := range flights {
		f.sendAll(c.t)
	}
	c.wait("an original", func() bool { return len(c.originals()) > there })
	if c.rnd.Intn(2) == 0 {
		c.linger(c.took / 2)
	}
}

func (c *crash) aboutCommit(flights []*flight) {
	for _, f := range flights {
		f.sendFile(c.t)
	}
	for _, f := range flights {
		f.sendAll(c.t)
	}
	// They are done one after the other, more or less.
	c.linger(time.Duration(len(flights)) * c.took)
}

func (c *crash) answered(flights []*flight) {
	for _, f := range flights {
		f.sendAll(c.t)
	}
	<-flights[0].landed
}

// linger waits for a random time, at most most.
func (c *crash) linger(most time.Duration) {
	time.Sleep(time.Duration(c.rnd.Int63n(int64(most))))
}

// wait waits, without much sleep, until something is so.
func (c *crash) wait(what string, so func() bool) {
	c.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !so(); time.Sleep(50 * time.Microsecond) {
		if time.Now().After(deadline) {
			c.t.Fatalf("waiting for %s: they do not come; the spool holds %d",
				what, c.spooled())
		}
	}
}

// spoolHolds reports whether the spool has files files of at least size bytes.
func (c *crash) spoolHolds(files, size int) bool {
	return len(slices.DeleteFunc(c.spooled(), func(n int64) bool { return n < int64(size) })) == files
}
