package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"
)

const (
	linkRounds  = 21 // kills of each engine's server
	linkUses    = 3
	linkFlights = 4 // uploads at once, one more than the link accepts
)

// TestKillMinusNineOfLinks kills the server while four pictures are uploaded to a link of three uses. After the
// restart each upload is repeated with its key: three of them have an image each, and those that were answered before
// the kill are among these.
func TestKillMinusNineOfLinks(t *testing.T) {
	t.Parallel()
	onBothDSNs(t, crashLinks)
}

func crashLinks(t *testing.T, s *server, dsn string) {
	c := &crash{
		server: s, rnd: rand.New(rand.NewSource(11)),
		small: photo(t, 200, 150, 1), large: photo(t, 3000, 2000, 1),
	}
	c.measure()
	acknowledged, used := 0, 0
	for round := range linkRounds {
		stage := crashStages[round%len(crashStages)]
		link := c.createUploadURL("policy", fmt.Sprintf(`{"uses":%d}`, linkUses))
		picture := c.small
		if stage.large {
			picture = c.large
		}
		var flights []*flight
		for i := range linkFlights {
			flights = append(flights, departWithKey(t, link, fmt.Sprint("key-", i), "picture.jpg", c.next(picture)))
		}
		stage.come(c, flights)
		c.killWithWorkers()
		c.start()
		a, u := c.settleLink(link, flights)
		acknowledged, used = acknowledged+a, used+u
		if t.Failed() {
			t.Fatalf("round %d, killed when: %s\n%s", round, stage.name, c.tail())
		}
	}
	c.stop()
	wantUsage(t, dsn)
	g := c.open(dsn)
	g.wantSound(dsn)
	orphans := g.orphans()
	report := g.sweep(72 * time.Hour)
	if report.Orphans != len(orphans) || report.Deleted != len(orphans) || report.Foreign != 0 {
		t.Errorf("of %d orphans the sweep says %+v", len(orphans), report)
	}
	if there, want := len(c.originals()), linkRounds*linkUses+len(c.tickets); there != want {
		t.Errorf("after the sweep there are %d originals of %d images", there, want)
	}
	t.Logf("%d kills: %d uploads acknowledged before, %d used before, %d orphans", linkRounds, acknowledged, used,
		len(orphans))
}

// settleLink checks the images of a link after a kill, repeats all uploads, and checks the images again. It returns the
// numbers of the uploads that were acknowledged and used before.
func (c *crash) settleLink(link oneTimeURL, flights []*flight) (acknowledged, used int) {
	c.t.Helper()
	for i, f := range flights {
		<-f.landed
		switch f.status {
		case http.StatusOK:
			acknowledged++
		case 0, http.StatusConflict:
		default:
			c.t.Errorf("upload %d was answered %d", i, f.status)
		}
	}
	if used = len(c.wantNumbered(link, linkUses)); used < acknowledged || used > linkUses {
		c.t.Errorf("%d uploads were acknowledged, and there are %d images", acknowledged, used)
	}
	seen, refused := map[string]bool{}, 0
	for i, f := range flights {
		again := departWithKey(c.t, oneTimeURL{UploadURL: c.here(link.UploadURL)}, fmt.Sprint("key-", i), "again.jpg",
			f.content)
		again.sendAll(c.t)
		<-again.landed
		if again.status == http.StatusConflict && f.status != http.StatusOK {
			refused++
		} else if again.status != http.StatusOK {
			c.t.Errorf("upload %d was answered %d before the kill, and its repeat %d", i, f.status, again.status)
		}
	}
	if refused != linkFlights-linkUses {
		c.t.Errorf("%d repeats were refused", refused)
	}
	ids := c.wantNumbered(link, linkUses)
	if len(ids) != linkUses {
		c.t.Errorf("after the repeats the images are %q", ids)
	}
	for _, id := range ids {
		stored := c.stored(url.PathEscape(id))
		at := slices.IndexFunc(flights, func(f *flight) bool { return bytes.Equal(f.content, stored) })
		if at < 0 || seen[string(stored)] {
			c.t.Errorf("%s has the bytes of upload %d, or of none, and not only it", id, at)
		}
		seen[string(stored)] = true
	}
	for i, f := range flights {
		if f.status == http.StatusOK && !seen[string(f.content)] {
			c.t.Errorf("upload %d was answered and has no image", i)
		}
	}
	return acknowledged, used
}

// wantNumbered returns the ids of the images of a link of that many uses. They must have the numbers from 1 without
// gaps, and the link must have the same number of uses.
func (c *crash) wantNumbered(link oneTimeURL, uses int) (ids []string) {
	c.t.Helper()
	var list struct{ Images []picture }
	a := c.api("GET", "images/v2?sort_order=asc&prefix="+link.ID+"/", nil)
	if err := json.Unmarshal(a.envelope(c.t).Result, &list); err != nil {
		c.t.Fatal(err)
	}
	for i, p := range list.Images {
		if ids = append(ids, p.ID); p.ID != fmt.Sprintf("%s/%d", link.ID, i+1) {
			c.t.Errorf("image %d of %s is %s", i+1, link.ID, p.ID)
		}
	}
	p, ok := c.image(link.ID)
	if !ok || !p.Draft || p.Upload.Uses.Allowed != uses || p.Upload.Uses.Used != len(ids) {
		c.t.Errorf("the link is %+v, and has %d images", p, len(ids))
	}
	return ids
}
