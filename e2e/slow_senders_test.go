package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// slowSenders is the number of slow bodies in TestSlowSenders; CALOTYPE_SLOW_SENDERS sets another one. An account may
// have 512 bodies at once.
const slowSenders = 200

// The slow senders. Those of the first rate are below the least rate of the server, and are refused after half a
// minute; those of the second one are above it, and are accepted.
const (
	crawlRate  = 16        // bytes a second
	steadyRate = 8 << 10   // bytes a second
	slowSize   = 280 << 10 // bytes: more than half a minute
	slowMemory = 128 << 10 // bytes of memory that a slow body may need
	// The peaks of two phases without slow bodies differ by less than that.
	memoryNoise = 32 << 20
)

// senderWays are the ways of the slow senders, in turn.
var senderWays = []string{"form", "PUT", "tus", "IETF"}

// A slowSender is an upload whose bytes come slowly.
type slowSender struct {
	*flight
	way    string
	steady bool
}

// TestSlowSenders: 200 bodies come slowly by four ways beside normal uploads of the same account and address. The
// normal uploads succeed, the memory grows by less than 128 KiB for each slow body, those above the least rate are
// accepted, and the others are refused with a reason. It logs the rates of the normal uploads without and with slow
// bodies, in turn.
func TestSlowSenders(t *testing.T) {
	t.Parallel()
	n := slowSenders
	if given := os.Getenv("CALOTYPE_SLOW_SENDERS"); given != "" {
		var err error
		if n, err = strconv.Atoi(given); err != nil {
			t.Fatal(err)
		}
	}
	metrics, listen := metricsAddress(t)
	s := newServer(t, listen)
	bodies := func() int { return int(scrape(t, metrics)[`calotype_pool_used{pool="bodies"}`]) }
	// phase uploads pictures, and returns the peak of the memory.
	phase := func(when string) int64 {
		t.Helper()
		peak := s.watchMemory()
		rates := s.normalUploads(60)
		most, _ := peak()
		t.Logf("%-22s %s; tree %d MiB, server %s, %.0f goroutines", when, rates, most>>20, s.holdings(),
			scrape(t, metrics)["go_goroutines"])
		return most
	}
	phase("first")
	before := s.holdings()
	for round := range 2 {
		alone := phase("alone")
		ctx, end := context.WithCancel(t.Context())
		senders := s.sendSlowly(ctx, n)
		waitFor(t, func() bool { return bodies() == n })
		if beside := phase(fmt.Sprintf("beside %d slow bodies", n)); beside > alone+int64(n)*slowMemory+memoryNoise {
			t.Errorf("with %d slow bodies the processes have %d MiB, without %d", n, beside>>20, alone>>20)
		}
		if round == 1 {
			wantSlowAnswers(t, senders)
		}
		end()
		for _, sender := range senders {
			sender.conn.Close()
		}
		waitFor(t, func() bool { return bodies() == 0 })
	}
	phase("after them")
	// A slow body has one open file, so a leak of 400 bodies is above the bound.
	if after := s.holdings(); after.files > before.files+pooledFiles {
		t.Errorf("before there were %s, after it %s", before, after)
	}
	for _, folder := range []string{"spool", "parts"} {
		if left := filesIn(t, filepath.Join(s.data, folder)); len(left) != 0 {
			t.Errorf("left: %v", left)
		}
	}
}

// normalUploads uploads n pictures by forms, four at once, and describes how long it took.
func (s *server) normalUploads(n int) string {
	s.t.Helper()
	picture := photo(s.t, 640, 480, 1)
	took := make([]time.Duration, n)
	next := make(chan int, n)
	var uploads sync.WaitGroup
	var urls []oneTimeURL
	for i := range n {
		urls = append(urls, s.createUploadURL())
		next <- i
	}
	close(next)
	began := time.Now()
	for range 4 {
		uploads.Go(func() {
			for i := range next {
				began := time.Now()
				a, err := ways[0].send(s.t.Context(), urls[i].UploadURL, "a.jpg", tagged(picture, i))
				if err != nil || a.status != http.StatusOK {
					s.t.Errorf("a normal upload: %d, %v: %s", a.status, err, a.body)
				}
				took[i] = time.Since(began)
			}
		})
	}
	uploads.Wait()
	all := time.Since(began)
	slices.Sort(took)
	return fmt.Sprintf("%5.1f uploads a second, p50 %v, p99 %v", float64(n)/all.Seconds(),
		took[n/2].Round(time.Millisecond), took[(n*99+99)/100-1].Round(time.Millisecond))
}

// sendSlowly begins n slow uploads, each to its own URL. They send until they are complete or ctx ends.
func (s *server) sendSlowly(ctx context.Context, n int) (all []*slowSender) {
	s.t.Helper()
	picture := photo(s.t, 64, 48, 1)
	for i := range n {
		content := withComments(s.t, tagged(picture, i), slowSize)
		// Each way has both rates.
		sender := &slowSender{way: senderWays[i%len(senderWays)], steady: i/len(senderWays)%2 == 0}
		sender.flight = s.slowFlight(sender.way, content)
		all = append(all, sender)
		go sender.crawl(ctx)
	}
	return all
}

// slowFlight opens the connection of an upload.
func (s *server) slowFlight(way string, content []byte) *flight {
	s.t.Helper()
	u := s.createUploadURL()
	switch way {
	case "form":
		return depart(s.t, u, "a.jpg", content)
	case "PUT":
		target, err := url.Parse(u.UploadURL)
		if err != nil {
			s.t.Fatal(err)
		}
		head := fmt.Appendf(nil, "PUT %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n", target.RequestURI(),
			target.Host, len(content))
		f := openFlight(s.t, target.Host, append(head, content...))
		f.content = content
		return f
	}
	upload := &resumable{protocol: resumableProtocols[0], ticket: u, content: content}
	if way == "IETF" {
		upload.protocol = resumableProtocols[1]
	}
	upload.create(s.t, 0)
	upload.depart(s.t, 0)
	return upload.flight
}

// crawl sends the header at once, and then the body at the rate of the sender.
func (s *slowSender) crawl(ctx context.Context) {
	rate := crawlRate
	if s.steady {
		rate = steadyRate
	}
	began, head := time.Now(), len(s.bytes)-len(s.content)
	for s.sent < len(s.bytes) {
		due := min(head+1+int(time.Since(began).Seconds()*float64(rate)), len(s.bytes))
		if _, err := s.conn.Write(s.bytes[s.sent:due]); err != nil {
			return // answered, or ended by the test
		}
		s.sent = due
		select {
		case <-ctx.Done():
			return
		case <-s.landed:
			return
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// wantSlowAnswers waits for the answers of all senders: the steady ones are accepted, the others are refused.
func wantSlowAnswers(t *testing.T, senders []*slowSender) {
	t.Helper()
	accepted, refused := 0, map[string]int{}
	for _, s := range senders {
		<-s.landed
		status, code := http.StatusRequestTimeout, 5408
		switch {
		case s.err != nil:
			t.Errorf("a slow %s has no answer: %v", s.way, s.err)
			continue
		case s.steady:
			if s.status != http.StatusOK {
				t.Errorf("a slow, but steady %s is answered %d: %s", s.way, s.status, s.body)
			}
			accepted++
			continue
		case s.way == "tus":
			status = http.StatusServiceUnavailable // its clients repeat after 503, not after 408
		}
		wantStatus(t, s.way, s.answer, status, code)
		refused[string(s.body)]++
		if s.way == "tus" && s.header.Get("Retry-After") == "" {
			t.Errorf("tus: no Retry-After in %v", s.header)
		}
	}
	t.Logf("%d steady ones accepted", accepted)
	for body, n := range refused {
		t.Logf("%d refused: %s", n, body)
	}
}
