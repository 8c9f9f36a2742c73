package e2e

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// settle looks up the result of a ticket, and checks that it is a possible one.
func (c *crash) settle(ticket *crashTicket, count *crashCount) {
	c.t.Helper()
	for _, f := range ticket.flights {
		<-f.landed
		switch {
		case f.status == http.StatusOK && ticket.content != nil:
			c.t.Errorf("two posts to the ticket of %s were answered 200", ticket.url.ID)
		case f.status == http.StatusOK:
			ticket.content = f.content
		case f.status != 0 && f.status != http.StatusConflict:
			c.t.Errorf("a post to the ticket of %s was answered %d", ticket.url.ID, f.status)
		}
	}
	p, ok := c.image(ticket.url.ID)
	switch {
	case !ok:
		c.t.Errorf("%s is lost", ticket.url.ID)
		return
	case ticket.content != nil:
		count.acknowledged++
	case !p.Draft:
		count.unacknowledged++
		stored := c.stored(ticket.url.ID)
		for _, f := range ticket.flights {
			if bytes.Equal(stored, f.content) {
				ticket.content = f.content
			}
		}
	default:
		count.drafts++
		ticket.content = c.next(c.small)
		if a := c.postAgain(ticket, ticket.content); a.status != http.StatusOK {
			c.t.Errorf("%s is still a draft, but an upload to it is answered %d: %s",
				ticket.url.ID, a.status, a.body)
		}
	}
	c.wantImage(ticket)
	c.wantDelivered(ticket)
	if a := c.postAgain(ticket, c.next(c.small)); a.status != http.StatusConflict {
		c.t.Errorf("the used ticket of %s answers %d, not 409: %s", ticket.url.ID, a.status, a.body)
	}
}

// postAgain posts to a ticket at the address where the server is now.
func (c *crash) postAgain(ticket *crashTicket, content []byte) answer {
	c.t.Helper()
	return post(c.t, c.here(ticket.url.UploadURL), "again.jpg", content)
}

// here returns a URL of the server as it is after a restart, when its port is another.
func (s *server) here(old string) string {
	u, err := url.Parse(old)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.url + u.RequestURI()
}

// stored returns an image's original.
func (s *server) stored(id string) []byte {
	s.t.Helper()
	a := s.api("GET", "images/v1/"+id+"/blob", nil)
	if a.status != http.StatusOK {
		s.t.Errorf("the original of %s: status %d, %.200s", id, a.status, a.body)
	}
	return a.body
}

// wantImage checks that a ticket has become an image that holds what was posted.
func (c *crash) wantImage(ticket *crashTicket) {
	c.t.Helper()
	if p, ok := c.image(ticket.url.ID); !ok || p.Draft || p.Original == nil {
		c.t.Errorf("%s is no image: %+v", ticket.url.ID, p)
		return
	}
	if !bytes.Equal(c.stored(ticket.url.ID), ticket.content) {
		c.t.Errorf("the original of %s is not what was posted", ticket.url.ID)
	}
}

func (c *crash) wantDelivered(ticket *crashTicket) {
	c.t.Helper()
	p, _ := c.image(ticket.url.ID)
	if len(p.Variants) != 1 {
		c.t.Errorf("%s has the variants %q", ticket.url.ID, p.Variants)
		return
	}
	a := do(c.t, "GET", p.Variants[0], nil)
	if a.status != http.StatusOK || !bytes.HasPrefix(a.body, []byte("\xff\xd8\xff")) {
		c.t.Errorf("the variant of %s is answered %d: %.100q", ticket.url.ID, a.status, a.body)
	}
}

// wantAll checks, after the last crash, that nothing of any round was lost or doubled.
func (c *crash) wantAll() {
	c.t.Helper()
	want, seen := map[string]bool{}, map[string]bool{}
	for _, ticket := range c.tickets {
		c.wantImage(ticket)
		want[ticket.url.ID] = true
	}
	var list struct{ Images []picture }
	a := c.api("GET", "images/v2?per_page=1000", nil)
	if err := json.Unmarshal(a.envelope(c.t).Result, &list); err != nil || len(list.Images) == 1000 {
		c.t.Fatalf("the list: %v, %d images", err, len(list.Images))
	}
	for _, p := range list.Images {
		if seen[p.ID] || !want[p.ID] {
			c.t.Errorf("the list has %s, which is there twice or was never made", p.ID)
		}
		seen[p.ID] = true
	}
	if len(seen) != len(want) {
		c.t.Errorf("the list has %d images of %d", len(seen), len(want))
	}
}

// wantNoOrphans checks that what no row names is what a sweep removes, once it is old enough.
func (c *crash) wantNoOrphans(dsn string) {
	c.t.Helper()
	g := c.open(dsn)
	g.wantSound(dsn)
	if n := len(g.strings(`SELECT key FROM images WHERE draft = 1`)); n != 0 {
		c.t.Errorf("%d drafts are left", n)
	}
	orphans := g.orphans()
	if early := g.sweep(0); early.Deleted != 0 {
		c.t.Errorf("a sweep deletes %d originals that are younger than a day", early.Deleted)
	}
	if !slices.Equal(g.orphans(), orphans) {
		c.t.Errorf("the orphans are %q, were %q", g.orphans(), orphans)
	}
	report := g.sweep(72 * time.Hour)
	if report.Orphans != len(orphans) || report.Deleted != len(orphans) || report.Foreign != 0 {
		c.t.Errorf("of %d orphans the sweep says %+v", len(orphans), report)
	}
	if left := g.orphans(); len(left) != 0 {
		c.t.Errorf("after the sweep there are the orphans %q", left)
	}
	if there, want := len(c.originals()), len(c.tickets); there != want {
		c.t.Errorf("after the sweep there are %d originals of %d images", there, want)
	}
	c.t.Logf("%d images, %d orphans swept", len(c.tickets), report.Deleted)
}

// report logs the counts.
func (c *crash) report() {
	var all crashCount
	for _, stage := range crashStages {
		n := c.stages[stage.name]
		c.t.Logf("%-35s %2d rounds: %3d acknowledged, %3d finished unacknowledged, %3d still drafts",
			stage.name, n.rounds, n.acknowledged, n.unacknowledged, n.drafts)
		all.rounds += n.rounds
		all.acknowledged += n.acknowledged
		all.unacknowledged += n.unacknowledged
		all.drafts += n.drafts
	}
	c.t.Logf("%d rounds: %d acknowledged, %d finished unacknowledged, %d still drafts; "+
		"an upload took %v", all.rounds, all.acknowledged, all.unacknowledged, all.drafts, c.took)
}

// tail returns the end of the program's log.
func (s *server) tail() string {
	lines := strings.Split(strings.TrimSpace(s.log.String()), "\n")
	return strings.Join(lines[max(0, len(lines)-30):], "\n")
}
