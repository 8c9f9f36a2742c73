package e2e

import (
	"bytes"
	"encoding/json"
	"image"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// stormSize is how many cold renditions are asked for at once.
const stormSize = 200

// TestOverload asks for 200 cold renditions of 12-megapixel photographs at once, with default flags
// and with little memory. All processes together stay below the server's limit of memory for
// workers, and every request is answered.
func TestOverload(t *testing.T) {
	s := newServer(t)
	picture := bigPhoto(t)
	urls := make([]string, stormSize)
	var uploads sync.WaitGroup
	for client := range 4 {
		uploads.Go(func() {
			for i := client; i < stormSize; i += 4 {
				u := s.createUploadURL()
				a := post(t, u.UploadURL, "photo.jpg", tagged(picture, i))
				if p, ok := s.image(u.ID); ok && a.status == http.StatusOK && len(p.Variants) == 1 {
					urls[i] = p.Variants[0]
				} else {
					t.Errorf("uploading a photograph: status %d: %s", a.status, a.body)
				}
			}
		})
	}
	uploads.Wait()
	if t.Failed() {
		t.FailNow()
	}
	t.Run("default flags", func(t *testing.T) { storm(t, s, urls, picture) })
	s.stop()
	if err := os.RemoveAll(filepath.Join(s.data, "renditions")); err != nil {
		t.Fatal(err)
	}
	s.args = append(s.args, "-memory", "400MiB")
	s.start()
	if budget := s.budget(t); budget != 400<<20 {
		t.Errorf("with -memory 400MiB the server reports %d", budget)
	}
	t.Run("400 MiB", func(t *testing.T) { storm(t, s, urls, picture) })
}

// bigPhoto returns a photograph of 12 megapixels: a phone's, where there is the corpus.
func bigPhoto(t *testing.T) []byte {
	t.Helper()
	if dir := os.Getenv("CALOTYPE_CORPUS"); dir != "" {
		content, err := os.ReadFile(filepath.Join(dir, "bench", "image__test.jpg"))
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("CALOTYPE_CORPUS is not set")
	}
	return photo(t, 4000, 3000, 1)
}

// budget returns the memory for renders that the server reported last, in bytes.
func (s *server) budget(t *testing.T) (bytes int64) {
	t.Helper()
	s.lines(func(line string) {
		var said struct {
			Msg    string
			Memory int64
		}
		if json.Unmarshal([]byte(line), &said) == nil && said.Msg == "render workers" {
			bytes = said.Memory
		}
	})
	if bytes == 0 {
		t.Fatalf("the server does not say how much memory renders may take:\n%s", s.log)
	}
	return bytes
}

// storm requests all renditions at once, uploads one picture concurrently, and then requests the refused
// renditions one after the other.
func storm(t *testing.T, s *server, urls []string, picture []byte) {
	budget := s.budget(t)
	peak := s.watchMemory()
	begin := make(chan struct{})
	answers := make([]answer, len(urls))
	var askers sync.WaitGroup
	for i, url := range urls {
		url = s.here(url)
		askers.Go(func() {
			<-begin
			a, err := send(t.Context(), "GET", url, nil)
			if err != nil {
				t.Errorf("a rendition is not answered: %v", err)
			}
			answers[i] = a
		})
	}
	started := time.Now()
	close(begin)
	u := s.createUploadURL()
	a := post(t, u.UploadURL, "beside.jpg", tagged(picture, stormSize+1))
	uploaded := time.Since(started)
	if a.status != http.StatusOK {
		t.Errorf("an upload during the storm: status %d: %s", a.status, a.body)
	}
	askers.Wait()
	most, samples := peak()
	took := time.Since(started)
	made := 0
	var later []string
	for i, a := range answers {
		switch {
		case a.status == http.StatusOK:
			made++
			wantSmallJPEG(t, a)
		case a.status == http.StatusServiceUnavailable:
			later = append(later, s.here(urls[i]))
			wantBusy(t, a)
		default:
			t.Errorf("status %d: %.200s", a.status, a.body)
		}
	}
	t.Logf("%d made, %d refused until later, in %v; an upload took %v; "+
		"peak %d MiB of %d in %d samples",
		made, len(later), took.Round(time.Millisecond), uploaded.Round(time.Millisecond),
		most>>20, budget>>20, samples)
	if most > budget {
		t.Errorf("the processes took %d bytes together; -memory is %d", most, budget)
	}
	if made == 0 {
		t.Error("no request got a picture")
	}
	askAgain(t, later)
}

// askAgain gets what was refused, with so few askers at once that none is refused again.
func askAgain(t *testing.T, urls []string) {
	t.Helper()
	var askers sync.WaitGroup
	for part := range slices.Chunk(urls, max(1, (len(urls)+7)/8)) {
		askers.Go(func() {
			for _, url := range part {
				a, err := send(t.Context(), "GET", url, nil)
				if err != nil || a.status != http.StatusOK {
					t.Errorf("after the storm: status %d, %v: %.200s", a.status, err, a.body)
					continue
				}
				wantSmallJPEG(t, a)
			}
		})
	}
	askers.Wait()
}

// wantSmallJPEG checks the answer of a 12-megapixel photograph's variant public.
func wantSmallJPEG(t *testing.T, a answer) {
	t.Helper()
	c, format, err := image.DecodeConfig(bytes.NewReader(a.body))
	if err != nil || format != "jpeg" || a.header.Get("Content-Type") != "image/jpeg" ||
		c.Height != 768 || c.Width != 1024 {
		t.Errorf("a rendition is %q, %s %dx%d: %v", a.header.Get("Content-Type"), format,
			c.Width, c.Height, err)
	}
}

// wantBusy checks a refusal for want of time.
func wantBusy(t *testing.T, a answer) {
	t.Helper()
	if a.header.Get("Retry-After") == "" || a.header.Get("Cache-Control") != "no-store" ||
		!strings.HasPrefix(string(a.body), "ERROR 9529: ") {
		t.Errorf("a 503 has the header %v and says %s", a.header, a.body)
	}
}
