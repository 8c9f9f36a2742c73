package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// metricsAddress returns a free address, and newServer's argument for it.
func metricsAddress(t *testing.T) (address, flag string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String(), "-metrics-listen=" + listener.Addr().String()
}

// scrape returns the metrics by name and labels.
func scrape(t *testing.T, address string) map[string]float64 {
	t.Helper()
	a := do(t, "GET", "http://"+address+"/metrics", nil)
	if a.status != http.StatusOK {
		t.Fatalf("status %d\n%s", a.status, a.body)
	}
	found := map[string]float64{}
	for line := range strings.Lines(string(a.body)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		at := strings.LastIndexByte(line, ' ')
		value, err := strconv.ParseFloat(strings.TrimSpace(line[at+1:]), 64)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		found[line[:at]] = value
	}
	return found
}

// requests is the name of a counter of answers.
func requests(surface, route string, status int) string {
	return fmt.Sprintf(`calotype_http_requests_total{route="%s",status="%d",surface="%s"}`,
		route, status, surface)
}

func outcome(name string) string { return `calotype_uploads_total{outcome="` + name + `"}` }

func stageCount(pool, stage string) string {
	return fmt.Sprintf(`calotype_stage_duration_seconds_count{pool="%s",stage="%s"}`, pool, stage)
}

// awaitMetric waits until a metric fulfils what is asked of it.
func awaitMetric(t *testing.T, address, name string, good func(float64) bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		value, ok := scrape(t, address)[name]
		if ok && good(value) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is %v, %v", name, value, ok)
		}
	}
}

// TestMetricsCount does a known set of requests, and compares all counters of requests, uploads
// and stages before and after: nothing else has changed.
func TestMetricsCount(t *testing.T) {
	t.Parallel()
	address, flag := metricsAddress(t)
	s := newServer(t, flag)
	before := scrape(t, address)
	good := photo(t, 320, 240, 70)
	body, kind := fileForm(t, "a.jpg", good)
	content := body.Bytes()
	first, second, third := s.createUploadURL(), s.createUploadURL(), s.createUploadURL()
	for range 2 { // the second one is the repeat of a lost answer
		a := do(t, "POST", first.UploadURL, bytes.NewReader(content), "Content-Type", kind,
			"Idempotency-Key", "one")
		if a.status != http.StatusOK {
			t.Fatalf("status %d\n%s", a.status, a.body)
		}
	}
	post(t, first.UploadURL, "a.jpg", good)
	post(t, second.UploadURL, "a.jpg", []byte("no picture"))
	do(t, "POST", second.UploadURL, strings.NewReader("{}"), "Content-Type", "application/json")
	do(t, "OPTIONS", second.UploadURL, nil)
	post(t, withTicket(t, third.UploadURL, "UNKNOWN"), "a.jpg", good)
	s.api("POST", "images/v1", bytes.NewReader(content), "Content-Type", kind)
	for range 3 {
		do(t, "GET", s.public(first.ID), nil)
	}
	etag := do(t, "HEAD", s.public(first.ID), nil).header.Get("ETag")
	do(t, "GET", s.public(first.ID), nil, "If-None-Match", etag)
	do(t, "GET", s.url+"/nothing/there/public", nil)
	do(t, "GET", s.url+"/metrics", nil)
	do(t, "GET", s.url+"/", nil)
	s.api("GET", "images/v1/no/such/image", nil)
	s.api("GET", "nothing", nil)
	want := map[string]float64{
		requests("api", "POST images/v2/direct_upload", 200): 3,
		requests("api", "POST images/v1", 200):               1,
		requests("api", "GET images/v1/{id...}", 404):        1,
		requests("api", "none", 404):                         1,
		requests("intake", "upload", 200):                    2,
		requests("intake", "upload", 204):                    1,
		requests("intake", "upload", 404):                    1,
		requests("intake", "upload", 409):                    1,
		requests("intake", "upload", 415):                    2,
		requests("delivery", "picture", 200):                 4,
		requests("delivery", "picture", 304):                 1,
		requests("delivery", "picture", 403):                 1,
		requests("delivery", "picture", 404):                 1,
		requests("pages", "/", 200):                          1,
		outcome("accepted"):                                  3,
		outcome("ticket-used"):                               1,
		outcome("ticket-unknown"):                            1,
		outcome("unsupported"):                               1,
		outcome("not-form"):                                  1,
		"calotype_upload_repeats_total":                      1,
		"calotype_rendition_cache_hits_total":                3,
		"calotype_rendition_cache_misses_total":              1,
		// The repeat is received, but neither decoded nor stored; nor is what is no picture.
		stageCount("uploads", "spool"):     4,
		stageCount("uploads", "wait"):      2,
		stageCount("uploads", "work"):      2,
		stageCount("uploads", "store"):     2,
		stageCount("uploads", "commit"):    2,
		stageCount("renditions", "fetch"):  1,
		stageCount("renditions", "wait"):   1,
		stageCount("renditions", "work"):   1,
		stageCount("renditions", "insert"): 1,
	}
	// An answer may be here before it is counted.
	awaitMetric(t, address, requests("api", "none", 404), func(v float64) bool { return v == 1 })
	after := scrape(t, address)
	for name := range after {
		counted := strings.HasPrefix(name, "calotype_") && strings.Contains(name, "_total") ||
			strings.HasPrefix(name, "calotype_stage_duration_seconds_count")
		// A background job may wait for the connection that writes.
		counted = counted && !strings.HasPrefix(name, "calotype_database_wait")
		if delta := after[name] - before[name]; counted && delta != want[name] {
			t.Errorf("%s grew by %v, want %v", name, delta, want[name])
		}
		delete(want, name)
	}
	if len(want) != 0 {
		t.Errorf("not shown: %v", want)
	}
	awaitMetric(t, address, `calotype_tickets{state="open"}`, func(v float64) bool { return v == 2 })
	size := after["calotype_rendition_cache_bytes"]
	if size == 0 || size != 4096*float64(int(size)/4096) {
		t.Errorf("the cache has %v bytes", size)
	}
}

// TestMetricsListener: /metrics is there and nowhere else, nothing else is there, and it ends with
// the server.
func TestMetricsListener(t *testing.T) {
	t.Parallel()
	address, flag := metricsAddress(t)
	s := newServer(t, flag)
	for url, status := range map[string]int{
		s.url + "/metrics": 404, "http://" + address + "/": 404, "http://" + address + "/readyz": 404,
		"http://" + address + "/client/v4/accounts/" + accountID + "/images/v2": 404,
		"http://" + address + "/metrics":                                        200,
	} {
		a := do(t, "GET", url, nil)
		if a.status != status || bytes.Contains(a.body, []byte("go_goroutines ")) != (status == 200) {
			t.Errorf("%s: status %d\n%.200s", url, a.status, a.body)
		}
	}
	second := calotype(t, nil, "serve", "-listen", "127.0.0.1:0", "-data", t.TempDir(), flag)
	if second.code == 0 || !strings.Contains(second.stderr, address) ||
		!strings.Contains(second.stderr, "-metrics-listen") {
		t.Errorf("at an address in use: ended with %d: %s", second.code, second.stderr)
	}
	// A connection that stays open does not hold up the end.
	idle, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	s.stop()
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("ended with %d:\n%s", code, s.log)
	}
	if conn, err := net.Dial("tcp", address); err == nil {
		conn.Close()
		t.Error("the metrics' address still answers")
	}
	off := newServer(t)
	if a := do(t, "GET", off.url+"/metrics", nil); a.status != http.StatusNotFound {
		t.Errorf("without -metrics-listen: status %d", a.status)
	}
}

// TestMetricsWorkers: workers that are killed are counted, whether they were idle or not.
func TestMetricsWorkers(t *testing.T) {
	t.Parallel()
	const gone = `calotype_workers_ended_total{reason="gone"}`
	address, flag := metricsAddress(t)
	s := newServer(t, flag)
	if n := scrape(t, address)[gone]; n != 0 {
		t.Fatalf("%v workers are gone already", n)
	}
	for _, pid := range s.workers() {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	s.uploaded(photo(t, 320, 240, 71)) // in a new worker
	awaitMetric(t, address, gone, func(v float64) bool { return v >= 1 })
	awaitMetric(t, address, `calotype_workers{pool="uploads"}`, func(v float64) bool { return v == 1 })
}

// TestRequestIDs: one from outside is in the answer and in the log, and one that is a secret or no
// id is not.
func TestRequestIDs(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	u := s.createUploadURL()
	_, ticket, _ := strings.Cut(u.UploadURL, "ticket=")
	id := s.uploaded(photo(t, 320, 240, 72))
	log := 0
	for i, c := range []struct {
		method, url string
		logged      bool
	}{
		{"GET", s.url + "/client/v4/accounts/" + accountID + "/images/v2", true},
		{"GET", u.UploadURL, true}, {"OPTIONS", u.UploadURL, true}, {"GET", s.public(id), true},
		{"HEAD", s.public(id), true}, {"GET", s.url + "/nothing", true}, {"GET", s.url + "/", false},
		{"GET", s.url + "/readyz", false}, {"GET", s.url + "/try", true},
	} {
		sent := fmt.Sprintf("trace-%d:a_b.c", i)
		a := do(t, c.method, c.url, nil, "X-Request-Id", sent)
		if got := a.header["X-Request-Id"]; len(got) != 1 || got[0] != sent {
			t.Errorf("%s %s: request id %q, sent %q", c.method, c.url, got, sent)
		}
		if c.logged {
			s.awaitLog(`"request_id":"` + sent + `"`)
			log++
		}
		for _, bad := range []string{ticket, strings.Repeat("x", 65), "a b", `x"}`, ""} {
			a := do(t, c.method, u.UploadURL, nil, "X-Request-Id", bad)
			if got := a.header.Get("X-Request-Id"); got == bad || len(got) < 20 || len(got) > 64 {
				t.Errorf("request id %q, sent %q", got, bad)
			}
		}
	}
	expose := do(t, "GET", u.UploadURL, nil).header.Get("Access-Control-Expose-Headers")
	if log != 7 || !strings.Contains(expose, "X-Request-Id") ||
		strings.Contains(s.log.String(), ticket) {
		t.Errorf("exposed: %q; log:\n%s", expose, s.log)
	}
}

// TestUnforeseenNamesRequest: with the originals' folder gone, a 500 names the request id.
func TestUnforeseenNamesRequest(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	u := s.createUploadURL()
	blobs := filepath.Join(s.data, "blobs")
	if err := os.RemoveAll(blobs); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(blobs, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	body, kind := fileForm(t, "a.jpg", photo(t, 320, 240, 73))
	content, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	a := do(t, "POST", u.UploadURL, bytes.NewReader(content), "Content-Type", kind,
		"X-Request-Id", "ask-for-me")
	if a.status != 500 || a.code(t) != 5500 || !strings.Contains(string(a.body), "ask-for-me") ||
		strings.Contains(string(a.body), s.data) {
		t.Errorf("status %d\n%s", a.status, a.body)
	}
	s.awaitLog("ask-for-me")
}
