package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand"
	"net/http"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"calotype/internal/sqldb/sqldbtest"
	"calotype/internal/webhooks"
)

// A notifyingCrash is a crash of a server with a webhook.
type notifyingCrash struct {
	*crash
	receiver *backend
	refused  []*crashTicket // whose first body was no picture, and is answered as such
	began    time.Time
	counts   map[string]*tellingCount
}

type tellingCount struct{ rounds, messages, held int }

// tellingStages are the moments of the kill, of the upload first, then of the delivery. Each gets
// the round's flights, of which nothing was sent yet, and returns when the moment has come.
var tellingStages = []struct {
	name  string
	large bool
	come  func(c *notifyingCrash, flights []*flight)
}{
	{"half of the body was sent", true, func(c *notifyingCrash, f []*flight) { c.halfSent(f) }},
	{"the spool file is complete", true, func(c *notifyingCrash, f []*flight) { c.spoolComplete(f) }},
	{"the original is in the blob folder", false, func(c *notifyingCrash, f []*flight) {
		c.blobStored(f)
	}},
	{"about the commit", false, func(c *notifyingCrash, f []*flight) { c.aboutCommit(f) }},
	{"after the first answer", false, func(c *notifyingCrash, f []*flight) { c.answered(f) }},
	{"about the first message", false, (*notifyingCrash).aboutMessage},
	{"the receiver has not answered yet", false, (*notifyingCrash).unanswered},
	{"the receiver has answered a part", false, (*notifyingCrash).answeredInPart},
	{"about the writing down", false, (*notifyingCrash).aboutSettling},
	{"all is written down", false, (*notifyingCrash).settled},
	{"the receiver answers 500", false, (*notifyingCrash).failing},
}

// TestKillMinusNineNotifies kills servers with pending deliveries. In the end the receiver has one
// event, with one webhook-id, of each completed upload, and none of others.
func TestKillMinusNineNotifies(t *testing.T) {
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		s := newServer(t, "-outbound-allow", "127.0.0.0/8")
		crashAndTell(t, s, filepath.Join(s.data, "calotype.db"))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		dsn := sqldbtest.Postgres(t)
		crashAndTell(t, newServer(t, "-outbound-allow", "127.0.0.0/8", "-db", dsn), dsn)
	})
}

func crashAndTell(t *testing.T, s *server, dsn string) {
	c := &notifyingCrash{
		crash: &crash{
			server: s, rnd: rand.New(rand.NewSource(5)),
			small: photo(t, 200, 150, 1), large: photo(t, 3000, 2000, 1),
		},
		began: time.Now(), counts: map[string]*tellingCount{},
	}
	c.receiver = newBackend(t, s, "/hook")
	c.measure()
	for round := range crashRounds {
		stage := tellingStages[round%len(tellingStages)]
		count := c.counts[stage.name]
		if count == nil {
			count = &tellingCount{}
			c.counts[stage.name] = count
		}
		count.rounds++
		before := c.receiver.count()
		c.refuse()
		tickets, flights := c.board(stage.large)
		stage.come(c, flights)
		count.held += c.receiver.holds()
		c.kill()
		count.messages += c.receiver.count() - before
		c.receiver.failing.Store(false)
		c.receiver.open()
		c.start()
		for _, ticket := range tickets {
			c.settle(ticket, &crashCount{})
		}
		if t.Failed() {
			t.Fatalf("round %d, killed when: %s\n%s", round, stage.name, c.tail())
		}
	}
	c.repeatRefused()
	c.wantNotified(dsn)
	c.wantHistory()
	c.stop()
	if left := c.open(dsn).strings(`SELECT event FROM deliveries WHERE due IS NOT NULL OR
		outcome <> 'delivered'`); len(left) != 0 {
		t.Errorf("not delivered are %q", left)
	}
	wantUsage(t, dsn)
	for _, stage := range tellingStages {
		n := c.counts[stage.name]
		t.Logf("%-35s %2d rounds: %3d messages came before the kill, %d without an answer then",
			stage.name, n.rounds, n.messages, n.held)
	}
	t.Logf("%d rounds in %v: %s", crashRounds, time.Since(c.began).Round(time.Second),
		c.receiver.report())
}

// refuse posts what is no picture, and has the refusal acknowledged.
func (c *notifyingCrash) refuse() {
	c.t.Helper()
	ticket := &crashTicket{url: c.createUploadURL()}
	a := post(c.t, ticket.url.UploadURL, "a.jpg", []byte("no picture"))
	if a.status != http.StatusUnsupportedMediaType {
		c.t.Fatalf("what is no picture is answered %d: %s", a.status, a.body)
	}
	c.refused = append(c.refused, ticket)
}

// repeatRefused posts pictures to the tickets that had none, as people do.
func (c *notifyingCrash) repeatRefused() {
	c.t.Helper()
	for _, ticket := range c.refused {
		ticket.content = c.next(c.small)
		if a := c.postAgain(ticket, ticket.content); a.status != http.StatusOK {
			c.t.Errorf("after a refusal, %s answers %d: %s", ticket.url.ID, a.status, a.body)
		}
		c.tickets = append(c.tickets, ticket)
	}
}

// The stages.

func (c *notifyingCrash) launch(flights []*flight) {
	for _, f := range flights {
		f.sendAll(c.t)
	}
}

func (c *notifyingCrash) aboutMessage(flights []*flight) {
	before := c.receiver.count()
	c.launch(flights)
	c.wait("a message", func() bool { return c.receiver.count() > before })
	c.linger(3 * time.Millisecond)
}

func (c *notifyingCrash) unanswered(flights []*flight) {
	c.receiver.hold()
	c.launch(flights)
	c.wait("a message that waits", func() bool { return c.receiver.holds() > 0 })
	c.linger(2 * c.took)
}

// answeredInPart answers all messages of one claim but one. As long as that one waits, nothing is
// written down of the others.
func (c *notifyingCrash) answeredInPart(flights []*flight) {
	c.receiver.hold()
	c.refuse()
	c.wait("a message that waits", func() bool { return c.receiver.holds() > 0 })
	c.launch(flights)
	for _, f := range flights {
		<-f.landed
	}
	// They all wait for the next claim.
	c.receiver.allow(c.receiver.holds())
	c.wait("messages of one claim", func() bool { return c.receiver.holds() > 1 })
	c.receiver.allow(c.receiver.holds() - 1)
	c.wait("the last message that waits", func() bool { return c.receiver.holds() == 1 })
	c.linger(3 * time.Millisecond)
}

func (c *notifyingCrash) aboutSettling(flights []*flight) {
	c.receiver.hold()
	c.launch(flights)
	for _, f := range flights {
		<-f.landed
	}
	c.wait("a message that waits", func() bool { return c.receiver.holds() > 0 })
	c.receiver.open()
	c.linger(5 * time.Millisecond)
}

func (c *notifyingCrash) settled(flights []*flight) {
	c.launch(flights)
	for _, f := range flights {
		<-f.landed
	}
	want := map[string]bool{}
	for _, f := range flights {
		want[f.url.ID] = true
	}
	c.wait("what was written down", func() bool {
		written := 0
		for _, h := range c.history() {
			if h.Event == string(webhooks.UploadSucceeded) && want[h.received().Data.ID] &&
				h.Outcome == "delivered" {
				written++
			}
		}
		return written >= len(want)
	})
}

// failing refuses the first message of each event only, so that few events wait minutes for a third attempt.
func (c *notifyingCrash) failing(flights []*flight) {
	c.receiver.failing.Store(true)
	c.launch(flights)
	<-flights[0].landed
	c.linger(30 * time.Millisecond)
}

// The account.

// A toldAttempt is an entry of the history.
type toldAttempt struct {
	EventID string `json:"event_id"`
	Event   string
	Attempt int
	Status  int
	Outcome string
	Body    string `json:"alert_body"`
}

func (h toldAttempt) received() (e toldEvent) {
	if err := json.Unmarshal([]byte(h.Body), &e); err != nil {
		panic(err) // the API's own
	}
	return e
}

// history returns the newest thousand attempts.
func (s *server) history() (all []toldAttempt) {
	s.t.Helper()
	a := s.api("GET", "alerting/v3/history?per_page=1000", nil)
	if err := unmarshalResult(a, &all); err != nil {
		s.t.Fatalf("the history: status %d, %v", a.status, err)
	}
	return all
}

// deliveryTime is longer than two failures and a lease: the third attempt follows up to six minutes after the second.
// An event whose first message is refused fails a second time if its next message waits for over 10 seconds.
const deliveryTime = 6*time.Minute + 2*webhooks.DeliveryLease

// wantNotified waits, as long as leases and retries take, until each upload was delivered. Each image
// has one event of its upload, with its original.
func (c *notifyingCrash) wantNotified(dsn string) {
	c.t.Helper()
	content := map[string]*crashTicket{}
	for _, ticket := range c.tickets {
		content[ticket.url.ID] = ticket
	}
	for deadline := time.Now().Add(deliveryTime); ; time.Sleep(100 * time.Millisecond) {
		missing := 0
		for id := range content {
			if len(c.receiver.about("image.upload.succeeded", id)) == 0 {
				missing++
			}
		}
		for _, ticket := range c.refused {
			if len(c.receiver.about("image.upload.failed", ticket.url.ID)) == 0 {
				missing++
			}
		}
		if missing == 0 {
			break
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("%d uploads and refusals have no event; pending are %q", missing, c.pending(dsn))
		}
	}
	for id, ticket := range content {
		c.receiver.wantOnce(id, ticket.content)
		if p, ok := c.image(id); !ok || p.Draft {
			c.t.Errorf("%s has an event, and is not an image", id)
		}
	}
	c.wantNoOthers(content)
}

// pending describes the pending deliveries.
func (c *notifyingCrash) pending(dsn string) []string {
	c.t.Helper()
	return c.open(dsn).strings(fmt.Sprintf(`SELECT event || ': attempt ' || attempt || ', ' || failures ||
		' failed, due in ' || ((due - %d) / 1000000) || ' s' FROM deliveries WHERE due IS NOT NULL`,
		time.Now().UnixMicro()))
}

// wantNoOthers checks that no event is about an upload, or a refusal, that has not happened.
func (c *notifyingCrash) wantNoOthers(content map[string]*crashTicket) {
	c.t.Helper()
	refused := map[string]int{}
	for _, ticket := range c.refused {
		refused[ticket.url.ID] = 1
	}
	for id, received := range c.receiver.all() {
		d := received.event.Data
		switch {
		case d.Event == string(webhooks.UploadSucceeded) && content[d.ID] != nil:
		case d.Event == string(webhooks.UploadFailed) && refused[d.ID] == 1:
			if refused[d.ID]--; d.Error == nil || d.Error.Attempt != 1 || d.Error.Final {
				c.t.Errorf("the event of the refusal of %s is %+v", d.ID, d.Error)
			}
		default:
			c.t.Errorf("the event %s is about a change that did not happen: %s", id, received.body)
		}
	}
}

// wantHistory waits until everything is written down, and checks that nothing was sent once more
// after that: the attempt that was taken is the last one.
func (c *notifyingCrash) wantHistory() {
	c.t.Helper()
	var last, taken map[string]int
	received := c.receiver.all()
	for deadline := time.Now().Add(deliveryTime); ; time.Sleep(200 * time.Millisecond) {
		last, taken = map[string]int{}, map[string]int{}
		all := c.history()
		if len(all) == 1000 {
			c.t.Fatal("the history has more than a page")
		}
		for _, h := range all {
			last[h.EventID] = max(last[h.EventID], h.Attempt)
			if h.Status == http.StatusNoContent {
				taken[h.EventID] = h.Attempt
			}
		}
		if len(taken) == len(received) {
			break
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("of %d events %d are recorded as delivered", len(received), len(taken))
		}
	}
	lost := 0
	for id, received := range c.receiver.all() {
		if last[id] != taken[id] {
			c.t.Errorf("%s was taken at attempt %d, and sent again", id, taken[id])
		}
		// An attempt of a server that was killed may have come to nothing, or not be written down.
		if received.times > taken[id] {
			c.t.Errorf("%s came %d times in %d attempts", id, received.times, taken[id])
		}
		lost += taken[id] - received.times
	}
	if !slices.Equal(slices.Sorted(maps.Keys(taken)), slices.Sorted(maps.Keys(c.receiver.all()))) {
		c.t.Error("the history has other events than the receiver")
	}
	c.t.Logf("%d attempts ended with their server before the receiver had the message", lost)
}
