package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"calotype/internal/imagefile/imagefiletest"
)

// uploadTime is the longest that any file may take, however hostile. It is many times what a file may cost a
// worker's processor, which internal/render tests: other uploads and tests share the machine.
const uploadTime = 2 * time.Minute

// A tour uploads the whole corpus and checks the results.
type tour struct {
	*server
	mu       sync.Mutex
	outcomes map[string]int
	form     map[string]string // the outcome of each file by a form
	slowest  time.Duration
	slow     string
	accepted int
}

// TestCorpus uploads every file of the corpus by each way: what its manifest accepts is accepted and
// delivered, what it refuses is refused, with a code that says why.
func TestCorpus(t *testing.T) {
	all := readManifest(t, imagefiletest.Corpus(t))
	c := &tour{server: newServer(t), outcomes: map[string]int{}, form: map[string]string{}}
	before := c.holdings()
	next := make(chan specimen)
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for s := range next {
				c.visit(t, s)
				for _, w := range ways[1:] {
					c.visitBy(t, s, w)
				}
			}
		})
	}
	for _, s := range all {
		next <- s
	}
	close(next)
	clients.Wait()
	for _, how := range slices.Sorted(maps.Keys(c.outcomes)) {
		t.Logf("%-20s %d", how, c.outcomes[how])
	}
	t.Logf("%d files, %d accepted; the slowest upload, of %s, took %v", len(all), c.accepted,
		c.slow, c.slowest.Round(time.Millisecond))
	c.tenMebibytes(t, all)
	c.wantTidy(t, before)
}

// visitBy uploads one file by a way other than a form. The outcome must be that of the form: visit has noted it.
func (c *tour) visitBy(t *testing.T, s specimen, by way) {
	u := c.createUploadURL()
	ctx, cancel := context.WithTimeout(t.Context(), uploadTime)
	defer cancel()
	a, err := by.send(ctx, u.UploadURL, path.Base(s.path), s.content)
	if err != nil {
		t.Errorf("%s by %s: no answer: %v", s.path, by.name, err)
		return
	}
	c.mu.Lock()
	got, want := howAnswered(t, a), c.form[s.path]
	if a.status == http.StatusOK {
		c.accepted++
	}
	c.mu.Unlock()
	if got != want {
		t.Errorf("%s by %s: %s, by a form %s: %.300s", s.path, by.name, got, want, a.body)
	}
	if a.header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("%s by %s: no CORS header", s.path, by.name)
	}
	if p, ok := c.image(u.ID); !ok || p.Draft != (a.status != http.StatusOK) {
		t.Errorf("%s by %s: answered %d, but draft is %v", s.path, by.name, a.status, p.Draft)
	}
	if a.status == http.StatusOK {
		wantStored(t, c.server, by.name, u.ID, path.Base(s.path), s.content)
	}
}

// visit uploads one file by a form.
func (c *tour) visit(t *testing.T, s specimen) {
	u := c.createUploadURL()
	ctx, cancel := context.WithTimeout(t.Context(), uploadTime)
	defer cancel()
	body, kind := fileForm(t, path.Base(s.path), s.content)
	started := time.Now()
	a, err := send(ctx, "POST", u.UploadURL, body, "Content-Type", kind)
	if err != nil {
		t.Errorf("%s: no answer: %v", s.path, err)
		return
	}
	c.count(t, s, a, time.Since(started))
	if err := s.check(a); err != nil {
		t.Errorf("%s (%s): status %d, %v: %.300s", s.path, s.expected, a.status, err, a.body)
	}
	p, ok := c.image(u.ID)
	if !ok || p.Draft != (a.status != http.StatusOK) {
		t.Errorf("%s: answered %d, but draft is %v", s.path, a.status, p.Draft)
		return
	}
	if a.status == http.StatusOK {
		if p.Filename == nil || *p.Filename != path.Base(s.path) {
			t.Errorf("%s: the filename is %v", s.path, p.Filename)
		}
		c.look(t, s, p)
	}
}

func howAnswered(t *testing.T, a answer) string {
	if a.status == http.StatusOK {
		return "accepted"
	}
	return fmt.Sprintf("refused %d/%d", a.status, a.code(t))
}

// count keeps account.
func (c *tour) count(t *testing.T, s specimen, a answer, took time.Duration) {
	expected := s.expected
	if s.svg() {
		expected = "svg " + expected
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.outcomes[expected+": "+howAnswered(t, a)]++
	c.form[s.path] = howAnswered(t, a)
	if a.status == http.StatusOK {
		c.accepted++
	}
	if took > c.slowest {
		c.slowest, c.slow = took, s.path
	}
}

// documented are the refusals of a complete body for its content.
var documented = map[string]bool{"415 5455": true, "422 9422": true, "422 5443": true}

// check says whether an answer is one that the manifest allows.
func (s specimen) check(a answer) error {
	var e envelope
	if err := json.Unmarshal(a.body, &e); err != nil {
		return err
	}
	how := fmt.Sprint(a.status)
	for _, one := range e.Errors {
		how += fmt.Sprintf(" %d", one.Code)
	}
	accepted := a.status == http.StatusOK
	switch {
	case a.header.Get("Access-Control-Allow-Origin") != "*":
		return errors.New("no CORS header")
	case accepted != e.Success:
		return errors.New("success and status disagree")
	case !accepted && !documented[how]:
		return errors.New("no documented refusal")
	case s.expected == "accept" && !accepted, s.expected == "refuse" && accepted:
		return errors.New("the manifest says otherwise")
	}
	return nil
}

// look gets an accepted file's variant, as clients get it of which nothing is known, and as WebP.
func (c *tour) look(t *testing.T, s specimen, p picture) {
	if len(p.Variants) != 1 {
		t.Errorf("%s: the variants are %q", s.path, p.Variants)
		return
	}
	for _, accept := range []string{"", "image/webp"} {
		a := do(t, "GET", p.Variants[0], nil, "Accept", accept)
		if a.status != http.StatusOK {
			t.Errorf("%s (%s): with Accept %q: status %d: %.200s", s.path, s.expected, accept,
				a.status, a.body)
			continue
		}
		d, err := inspect(a.body)
		if err != nil {
			t.Errorf("%s (%s): with Accept %q: %v", s.path, s.expected, accept, err)
			continue
		}
		if a.header.Get("Content-Type") != d.mime || a.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: a %s has the header %v", s.path, d.mime, a.header)
		}
		found := append(d.metadata, canariesIn(a.body)...)
		if s.hdr() && accept == "" {
			found = slices.DeleteFunc(found, ofGainMap)
		}
		if len(found) > 0 {
			t.Errorf("%s: with Accept %q it has %q", s.path, accept, found)
		}
		if s.svg() {
			err = harmless(a.body)
		} else {
			err = s.fits(d, accept)
		}
		if err != nil {
			t.Errorf("%s (%s): with Accept %q: %v; it is %+v", s.path, s.expected, accept, err, d)
		}
	}
}

// hdr reports whether a file is an Ultra HDR JPEG with a whole gain map.
func (s specimen) hdr() bool { return strings.HasPrefix(path.Base(s.path), "uhdr__") }

// ofGainMap reports whether something that was found in a rendition says that a gain map follows the picture.
func ofGainMap(found string) bool {
	return slices.ContainsFunc([]string{`APP1 "http://ns.ad`, `APP2 "urn:iso:std:`, `APP2 "MPF`, "http://ns.adobe.com/xap/"},
		func(prefix string) bool { return strings.HasPrefix(found, prefix) })
}

// harmless says whether a delivered SVG has nothing that runs or fetches. Package svg tests it in more detail.
func harmless(content []byte) error {
	if found := forbiddenInSVG.Find(content); found != nil {
		return fmt.Errorf("it has %q", found)
	}
	if !bytes.HasPrefix(content, []byte(`<svg xmlns="http://www.w3.org/2000/svg"`)) {
		return errors.New("it begins otherwise")
	}
	return nil
}

var forbiddenInSVG = regexp.MustCompile(`(?i)<script|\son\w+=|foreignObject|javascript:|<!|<\?|href="[^#d]|@import|` +
	`url\(["']?[^#"']|https?://[^w]`)

// fits says whether a delivered picture is what the variant public makes of the file. Of files
// that may be refused, the manifest does not say what they show.
func (s specimen) fits(d delivered, accept string) error {
	if s.tooLarge() {
		if d.width != s.width || d.height != s.height || d.frames != s.frames ||
			!strings.EqualFold(d.mime, "image/"+s.format) {
			return fmt.Errorf("want %dx%d, %d frames, as %s", s.width, s.height, s.frames, s.format)
		}
		return nil
	}
	if d.width > 1366 || d.height > 768 {
		return errors.New("want at most 1366x768")
	}
	if accept == "image/webp" && d.mime != accept {
		return errors.New("want WebP")
	}
	if s.expected != "accept" {
		return nil
	}
	scale := min(1, 1366/float64(s.width), 768/float64(s.height))
	w, h := max(1, float64(s.width)*scale), max(1, float64(s.height)*scale)
	if near := func(got int, want float64) bool {
		return float64(got) > want-1.01 && float64(got) < want+1.01
	}; !near(d.width, w) || !near(d.height, h) {
		return fmt.Errorf("want %.1fx%.1f", w, h)
	}
	if accept == "" && (d.mime == "image/gif") != s.animated() {
		return errors.New("want GIF for what moves and nothing else")
	}
	return s.moves(d)
}

// moves says whether a delivered picture moves as the file does. Makers of WebP show frames that
// are alike as one, for as long as all of them; what never changes, as one still.
func (s specimen) moves(d delivered) error {
	if !s.animated() {
		if d.frames != 1 {
			return errors.New("want a still")
		}
		return nil
	}
	original, err := inspect(s.content)
	if err != nil {
		return fmt.Errorf("the original: %w", err)
	}
	unchanging := strings.HasPrefix(s.path, "limits/") && d.frames == 1
	switch {
	case d.mime == "image/gif" && d.frames != s.frames,
		d.mime == "image/webp" && d.frames > s.frames,
		d.mime == "image/webp" && d.frames == 1 && !unchanging:
		return fmt.Errorf("want %d frames", s.frames)
	case d.plays != original.plays && !unchanging:
		return fmt.Errorf("want frames for %d ms", original.plays)
	}
	return nil
}

// tenMebibytes uploads a file at the limit of bytes, and one a byte over it.
func (c *tour) tenMebibytes(t *testing.T, all []specimen) {
	var small specimen
	for _, s := range all {
		if s.category == "jpeg" && s.expected == "accept" && len(s.content) < 1<<20 {
			small = s
		}
	}
	if small.content == nil {
		t.Fatal("the corpus has no small JPEG")
	}
	for size, want := range map[int]string{10 << 20: "200 0", 10<<20 + 1: "413 5413"} {
		padded := make([]byte, size)
		copy(padded, small.content)
		a := post(t, c.createUploadURL().UploadURL, "padded.jpg", padded)
		if got := fmt.Sprint(a.status, a.code(t)); got != want {
			t.Errorf("a file of %d bytes: %s, want %s: %s", size, got, want, a.body)
		}
		if a.status == http.StatusOK {
			c.accepted++
		}
	}
}

// wantTidy checks that the server has leaked nothing.
func (c *tour) wantTidy(t *testing.T, before holdings) {
	t.Helper()
	if left := c.spooled(); len(left) != 0 {
		t.Errorf("the spool holds %d files", len(left))
	}
	// The parts of resumable uploads are deleted soon after their end.
	waitFor(t, func() bool { return len(c.originals()) <= c.accepted })
	if n := len(c.originals()); n != c.accepted {
		t.Errorf("there are %d originals of %d images", n, c.accepted)
	}
	u := c.createUploadURL()
	if a := post(t, u.UploadURL, "good.jpg", photo(t, 400, 300, 1)); a.status != http.StatusOK {
		t.Errorf("after the corpus, a good file: status %d: %s", a.status, a.body)
	}
	after := c.holdings()
	t.Logf("before: %v; after: %v", before, after)
	if after.kids == 0 || after.resident > before.resident+128<<20 ||
		after.files > before.files+pooledFiles+openRenditions {
		t.Errorf("the server holds %v, before %v", after, before)
	}
}
