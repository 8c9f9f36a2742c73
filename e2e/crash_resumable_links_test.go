package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"testing"
)

// resumableLinkUses is the number of uses of a link, and of resumable uploads to it. A form takes one use, so that the
// uploads compete for the others.
const resumableLinkUses = 4

// TestKillMinusNineOfResumableUploadsToLinks kills a server at each stage of four resumable uploads, over both
// protocols, to a link with three uses left. After the restart the client of each upload continues at its offset:
// three of them have an image each, an upload that was acknowledged or whose offset was its length is among these, and
// the fourth one is refused.
func TestKillMinusNineOfResumableUploadsToLinks(t *testing.T) {
	t.Parallel()
	onBothDSNs(t, crashResumableLinks)
}

func crashResumableLinks(t *testing.T, s *server, dsn string) {
	c := newResumableCrash(t, s)
	for round := range crashRoundsOr(t, resumableRounds) {
		stage := resumableStages[round%len(resumableStages)]
		count := c.count(stage.name)
		link := c.createUploadURL("policy", fmt.Sprintf(`{"uses":%d}`, resumableLinkUses))
		var uploads []*resumable
		for i := range resumableLinkUses {
			uploads = append(uploads, c.departTo(link, round+i))
		}
		form := &resumable{ticket: link, content: c.next(c.small)}
		if a := post(t, link.UploadURL, "a.jpg", form.content); a.status != http.StatusOK {
			t.Fatalf("a form is answered %d: %s", a.status, a.body)
		}
		form.ticket.ID = url.PathEscape(link.ID + "/1")
		c.uploads = append(c.uploads, form)
		stage.come(c, flightsOf(uploads))
		c.killWithWorkers()
		c.start()
		c.settleResumableLink(link, uploads, count)
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

// settleResumableLink checks what a kill has left of a link's uploads, continues them, and checks the images.
func (c *resumableCrash) settleResumableLink(link oneTimeURL, uploads []*resumable, count *resumableCount) {
	c.t.Helper()
	acknowledged := 0
	for i, u := range uploads {
		<-u.flight.landed
		u.url = c.here(u.url)
		switch u.flight.status {
		case http.StatusOK:
			acknowledged++
		case 0, http.StatusConflict, http.StatusGone:
		default:
			c.t.Errorf("upload %d was answered %d", i, u.flight.status)
		}
	}
	count.acknowledged += acknowledged
	used := len(c.wantUsesAfterForm(link))
	if used < acknowledged || used > resumableLinkUses-1 {
		c.t.Errorf("%d uploads were acknowledged, and there are %d images", acknowledged, used)
	}
	accepted := make([]bool, len(uploads))
	complete := 0
	for i, u := range uploads {
		offset, status := u.offset(c.t)
		switch acknowledged := u.flight.status == http.StatusOK; {
		case status == http.StatusOK && offset == len(u.content):
			accepted[i] = true
			complete++
		case acknowledged:
			c.t.Errorf("upload %d was answered 200, but HEAD is answered %d with the offset %d", i, status, offset)
		case status == u.protocol.used && used == resumableLinkUses-1:
			// the others were accepted
		case status != http.StatusOK || offset < resumableFirst || (offset-resumableFirst)%partSize != 0:
			c.t.Errorf("upload %d: status %d with the offset %d; %d bytes were acknowledged", i, status, offset, resumableFirst)
		}
	}
	if complete != used {
		c.t.Errorf("%d offsets are the length, and there are %d images", complete, used)
	}
	count.accepted += used - acknowledged
	for i, u := range uploads {
		if accepted[i] || used == resumableLinkUses-1 {
			continue
		}
		offset, _ := u.offset(c.t)
		a, err := u.patch(c.t.Context(), offset)
		if err != nil || a.status != http.StatusOK {
			c.t.Errorf("upload %d is continued at %d with the answer %d, %v: %s", i, offset, a.status, err, a.body)
			continue
		}
		count.resume(u, offset)
		accepted[i] = true
		used++
	}
	c.wantUses(link, uploads, accepted)
}

// wantUses checks that each accepted upload has an image of the link, whose answer its URL has, and that the others are
// refused.
func (c *resumableCrash) wantUses(link oneTimeURL, uploads []*resumable, accepted []bool) {
	c.t.Helper()
	ids := map[string]bool{}
	for _, id := range c.wantUsesAfterForm(link) {
		ids[id] = true
	}
	if len(ids) != resumableLinkUses-1 {
		c.t.Errorf("the link has %d images", len(ids))
	}
	for i, u := range uploads {
		a := u.ask(c.t, "GET")
		if !accepted[i] {
			if a.status != http.StatusGone && a.status != http.StatusConflict || a.code(c.t) != 5409 {
				c.t.Errorf("the URL of the refused upload is answered %d: %s", a.status, a.body)
			}
			if _, status := u.offset(c.t); status != u.protocol.used {
				c.t.Errorf("HEAD of the refused upload is answered %d", status)
			}
			if a, err := u.patch(c.t.Context(), resumableFirst); err != nil || a.status != u.protocol.used {
				c.t.Errorf("the refused upload is continued with %d, %v: %s", a.status, err, a.body)
			}
			continue
		}
		var p picture
		if err := json.Unmarshal(a.envelope(c.t).Result, &p); err != nil || a.status != http.StatusOK || !ids[p.ID] {
			c.t.Errorf("the URL of upload %d is answered %d, %v: %s", i, a.status, err, a.body)
			continue
		}
		delete(ids, p.ID) // no two uploads have one image
		if !bytes.Equal(c.stored(url.PathEscape(p.ID)), u.content) {
			c.t.Errorf("%s does not have the bytes of upload %d", p.ID, i)
		}
		won := *u
		won.ticket.ID = url.PathEscape(p.ID)
		c.uploads = append(c.uploads, &won)
	}
}

// wantUsesAfterForm returns the ids of the images of a link behind that of the form.
func (c *resumableCrash) wantUsesAfterForm(link oneTimeURL) []string {
	c.t.Helper()
	ids := c.wantNumbered(link, resumableLinkUses)
	if len(ids) == 0 {
		c.t.Fatal("the image of the form is gone")
	}
	return ids[1:]
}
