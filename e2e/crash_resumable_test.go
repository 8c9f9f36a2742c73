package e2e

import (
	"bytes"
	"encoding/json"
	"math/rand"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"calotype/internal/images"
	"calotype/internal/images/imagestest"
)

// resumableRounds is how often each engine's server is killed during resumable uploads; CALOTYPE_CRASH_ROUNDS sets
// another number.
const resumableRounds = 16

// The pictures are sent in two requests: the first one, which is answered, has resumableFirst bytes.
const (
	resumableFirst = 700_000
	resumableLast  = 300_000
	resumableSize  = resumableFirst + 2<<20 + resumableLast
	partSize       = 1 << 20
)

// A resumableCrash kills one server with kill -9 while resumable uploads are in progress, restarts it, and continues
// the uploads.
type resumableCrash struct {
	*crash
	uploads []*resumable // of all rounds
	counts  map[string]*resumableCount
}

type resumableCount struct{ rounds, acknowledged, accepted, resumed, sentAgain, mostAgain int }

// resumableStages are the moments of the kill. Each gets the round's uploads, whose first part is acknowledged and
// whose second request has sent nothing.
var resumableStages = []struct {
	name   string
	stored bool // the server had received what was sent, except the last bytes
	come   func(c *resumableCrash, flights []*flight)
}{
	{"a part is acknowledged", true, func(*resumableCrash, []*flight) {}},
	{"in the middle of a part", true, func(c *resumableCrash, flights []*flight) {
		c.fly(flights, 500_000)
		c.wait("spool files", func() bool { return len(fileSizes(c.t, filepath.Join(c.data, "parts"))) >= len(flights) })
	}},
	{"a part is being stored", false, func(c *resumableCrash, flights []*flight) {
		before := c.originals()
		c.fly(flights, 2*partSize+100_000)
		c.wait("a part", func() bool { return c.newBlobs(before) > 0 })
		c.linger(3 * time.Millisecond)
	}},
	{"all parts are stored", true, func(c *resumableCrash, flights []*flight) {
		c.store(flights)
		c.linger(3 * time.Millisecond)
	}},
	{"all but the last byte was sent", true, func(c *resumableCrash, flights []*flight) {
		c.store(flights)
		c.fly(flights, -1)
		c.linger(10 * time.Millisecond)
	}},
	{"the picture is examined", true, func(c *resumableCrash, flights []*flight) {
		c.store(flights)
		c.fly(flights, 0)
		c.linger(c.took)
	}},
	{"about the commit", true, func(c *resumableCrash, flights []*flight) {
		c.store(flights)
		c.fly(flights, 0)
		c.linger(time.Duration(len(flights)) * c.took)
	}},
	{"after the first answer", false, func(c *resumableCrash, flights []*flight) {
		c.fly(flights, 0)
		<-flights[0].landed
	}},
}

// store sends what the server makes parts of, and waits for them.
func (c *resumableCrash) store(flights []*flight) {
	c.t.Helper()
	before := c.originals()
	c.fly(flights, 2*partSize+100_000)
	c.wait("all parts", func() bool { return c.newBlobs(before) >= 2*len(flights) })
}

// newBlobs returns the number of blobs that were not there before. A job deletes parts of earlier uploads concurrently.
func (c *resumableCrash) newBlobs(before map[string]int64) (n int) {
	c.t.Helper()
	for key := range c.originals() {
		if _, old := before[key]; !old {
			n++
		}
	}
	return n
}

// TestKillMinusNineOfResumableUploads kills a server at each stage of uploads over both protocols. What was acknowledged is there
// afterwards, the offset is the length only if the image is accepted, and a client that continues at the offset
// gets the image: exactly one for a ticket, also of two uploads.
func TestKillMinusNineOfResumableUploads(t *testing.T) {
	t.Parallel()
	onBothDSNs(t, crashResumable)
}

func crashResumable(t *testing.T, s *server, dsn string) {
	c := newResumableCrash(t, s)
	for round := range crashRoundsOr(t, resumableRounds) {
		stage := resumableStages[round%len(resumableStages)]
		count := c.count(stage.name)
		uploads := c.depart()
		stage.come(c, flightsOf(uploads))
		c.killWithWorkers()
		c.start()
		for i := 0; i < len(uploads); i++ {
			of := uploads[i : i+1]
			if i+1 < len(uploads) && uploads[i+1].ticket.ID == uploads[i].ticket.ID {
				of = uploads[i : i+2]
				i++
			}
			c.settle(of, count)
		}
		if t.Failed() {
			t.Fatalf("round %d, killed when: %s\n%s", round, stage.name, c.tail())
		}
	}
	for _, u := range c.uploads {
		c.wantImage(&crashTicket{url: u.ticket, content: u.content})
	}
	c.stop()
	c.wantNothingLeft(dsn)
	wantUsage(t, dsn)
	c.reportResumable()
}

// crashRoundsOr returns the number of rounds in CALOTYPE_CRASH_ROUNDS, or rounds.
func crashRoundsOr(t *testing.T, rounds int) int {
	t.Helper()
	given := os.Getenv("CALOTYPE_CRASH_ROUNDS")
	if given == "" {
		return rounds
	}
	rounds, err := strconv.Atoi(given)
	if err != nil {
		t.Fatal(err)
	}
	return rounds
}

func newResumableCrash(t *testing.T, s *server) *resumableCrash {
	c := &resumableCrash{counts: map[string]*resumableCount{}, crash: &crash{
		server: s, rnd: rand.New(rand.NewSource(15)), small: photo(t, 200, 150, 1), large: photo(t, 1200, 900, 1),
	}}
	c.measureLast()
	return c
}

// count returns the counts of a stage, with one more round.
func (c *resumableCrash) count(stage string) *resumableCount {
	if c.counts[stage] == nil {
		c.counts[stage] = &resumableCount{}
	}
	c.counts[stage].rounds++
	return c.counts[stage]
}

// reportResumable logs the counts, and checks that no upload sent much again.
func (c *resumableCrash) reportResumable() {
	t := c.t
	t.Helper()
	t.Logf("the last bytes of an upload took %v", c.took)
	for _, stage := range resumableStages {
		if n := c.counts[stage.name]; n != nil {
			t.Logf("%-32s %2d rounds: %3d answered, %3d accepted without an answer, %3d resumed; "+
				"%d bytes sent again, %d by one", stage.name, n.rounds, n.acknowledged, n.accepted, n.resumed,
				n.sentAgain, n.mostAgain)
			// What the server has received: a part that was being stored, and the bytes behind it.
			if stage.stored && n.mostAgain > partSize+resumableLast+4 {
				t.Errorf("%s: an upload sent %d bytes again", stage.name, n.mostAgain)
			}
		}
	}
}

// measureLast finds how long the last bytes of an upload take.
func (c *resumableCrash) measureLast() {
	c.t.Helper()
	var took []time.Duration
	for range 5 {
		u := &resumable{protocol: resumableProtocols[0], ticket: c.createUploadURL(), content: c.padded()}
		last := len(u.content) - 100_000
		u.create(c.t, last)
		begin := time.Now()
		a, err := u.patch(c.t.Context(), last)
		if err != nil || a.status != http.StatusOK {
			c.t.Fatalf("an upload is answered %d, %v: %s", a.status, err, a.body)
		}
		took = append(took, time.Since(begin))
		c.uploads = append(c.uploads, u)
	}
	slices.Sort(took)
	c.took = took[len(took)/2]
}

// padded returns a picture that no upload had before, of at least resumableSize bytes.
func (c *resumableCrash) padded() []byte {
	content := c.next(c.large)
	for len(content) < resumableSize {
		n := min(60_000, max(4, resumableSize-len(content)))
		comment := append([]byte{0xff, 0xfe, byte((n - 2) >> 8), byte(n - 2)}, make([]byte, n-4)...)
		c.rnd.Read(comment[4:])
		content = append(append(bytes.Clone(content[:2]), comment...), content[2:]...)
	}
	return content
}

// depart creates the uploads of a round, sends the first request of each, and opens the connection of the second:
// two uploads have one ticket each, two more have one together.
func (c *resumableCrash) depart() (uploads []*resumable) {
	c.t.Helper()
	for _, n := range []int{1, 1, 2} {
		ticket := c.createUploadURL()
		for range n {
			uploads = append(uploads, c.departTo(ticket, len(uploads)))
		}
	}
	return uploads
}

// departTo creates the upload i of a round, sends its first request, and opens the connection of the second.
func (c *resumableCrash) departTo(ticket oneTimeURL, i int) *resumable {
	c.t.Helper()
	u := &resumable{protocol: resumableProtocols[i%len(resumableProtocols)], ticket: ticket, content: c.padded()}
	u.create(c.t, resumableFirst)
	u.depart(c.t, resumableFirst)
	return u
}

// fly sends the first n bytes of each body, or all but the last -n. A server that reads slowly stops no other upload.
func (c *resumableCrash) fly(flights []*flight, n int) {
	c.t.Helper()
	for _, f := range flights {
		to := len(f.bytes) + n
		if n > 0 {
			to -= len(f.content)
		}
		sent := make(chan error, 1)
		go func() {
			_, err := f.conn.Write(f.bytes[f.sent:to])
			sent <- err
		}()
		select {
		case <-f.landed: // answered before its end: another upload has used the ticket
		case err := <-sent:
			if err != nil {
				c.t.Logf("sending: %v", err)
			}
		case <-time.After(90 * time.Second): // longer than a server may need to store a part
			c.t.Fatal("the server does not read")
		}
		f.sent = to
	}
}

// settle looks up the result of a ticket with one or two uploads, checks that it is a possible one, and continues the
// uploads until there is an image.
func (c *resumableCrash) settle(uploads []*resumable, count *resumableCount) {
	c.t.Helper()
	won := -1
	for i, u := range uploads {
		<-u.flight.landed
		u.url = c.here(u.url)
		if u.flight.status != http.StatusOK {
			continue
		}
		count.acknowledged++
		if won >= 0 {
			c.t.Errorf("two uploads to %s were answered 200", u.ticket.ID)
		}
		won = i
	}
	for i, u := range uploads {
		before, _ := c.image(u.ticket.ID)
		offset, status := u.offset(c.t)
		switch {
		case status == http.StatusOK && offset == len(u.content):
			if before.Draft || won >= 0 && won != i {
				c.t.Errorf("%s: the offset is the length, but the draft is %+v", u.ticket.ID, before)
			}
			if won < 0 {
				count.accepted++
			}
			won = i
		case won == i:
			c.t.Errorf("%s was answered 200, but HEAD is answered %d with the offset %d", u.ticket.ID, status, offset)
		case !before.Draft:
			if status != u.protocol.used {
				c.t.Errorf("an upload to the used %s is answered %d", u.ticket.ID, status)
			}
		case status != http.StatusOK || offset < resumableFirst || (offset-resumableFirst)%partSize != 0:
			c.t.Errorf("%s: status %d with the offset %d; %d bytes were acknowledged", u.ticket.ID, status, offset,
				resumableFirst)
		case won < 0:
			a, err := u.patch(c.t.Context(), offset)
			if err != nil || a.status != http.StatusOK {
				c.t.Errorf("%s is continued at %d with the answer %d, %v: %s", u.ticket.ID, offset, a.status, err, a.body)
				continue
			}
			count.resume(u, offset)
			won = i
		}
	}
	if won < 0 {
		c.t.Errorf("%s has no image", uploads[0].ticket.ID)
		return
	}
	c.uploads = append(c.uploads, uploads[won])
	c.wantAnswers(uploads, won)
}

// wantAnswers checks that the winner's URL has the answer, and that of the other one has none.
func (c *resumableCrash) wantAnswers(uploads []*resumable, won int) {
	c.t.Helper()
	for i, u := range uploads {
		a := u.ask(c.t, "GET")
		if i != won {
			if a.status != http.StatusGone && a.status != http.StatusConflict {
				c.t.Errorf("the loser's URL is answered %d: %s", a.status, a.body)
			}
			continue
		}
		var p picture
		if err := json.Unmarshal(a.envelope(c.t).Result, &p); err != nil || a.status != http.StatusOK || p.ID != u.ticket.ID {
			c.t.Errorf("the URL of an accepted upload is answered %d, %v: %s", a.status, err, a.body)
		}
	}
}

// wantNothingLeft checks that the jobs and a sweep remove all parts, and all orphans once they are old enough.
func (c *resumableCrash) wantNothingLeft(dsn string) {
	c.t.Helper()
	g := c.open(dsn)
	g.wantSound(dsn)
	core := imagestest.NewCore(images.Config{DB: g.db, Blobs: g.blobs, Dir: c.data,
		Now: func() time.Time { return time.Now().Add(time.Hour + time.Minute) }})
	defer core.Close()
	for _, job := range []error{core.Partials.DeleteParts(c.t.Context()), core.Partials.DeleteExpired(c.t.Context())} {
		if job != nil {
			c.t.Error(job)
		}
	}
	for _, table := range []string{"parts", "partials", "partial_bytes WHERE bytes <> 0"} {
		if n := imagestest.Count(c.t, core, table); n != 0 {
			c.t.Errorf("%d rows of %s are left", n, table)
		}
	}
	orphans := len(g.orphans())
	report := g.sweep(72 * time.Hour)
	if report.Orphans != orphans || report.Deleted != orphans || report.Missing != 0 {
		c.t.Errorf("of %d orphans the sweep says %+v", orphans, report)
	}
	if there, want := len(c.originals()), len(c.uploads); there != want {
		c.t.Errorf("after the sweep there are %d originals of %d images", there, want)
	}
	c.t.Logf("%d images, %d orphans swept", len(c.uploads), orphans)
}
