package e2e

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"calotype/internal/trace/tracetest"
)

// caller is the trace of a caller, which must not be recorded unless the caller is trusted.
const caller = "0af7651916cd43dd8448eb211c80319c"

// tracedServer returns a server that sends its traces to an address.
func tracedServer(t *testing.T, address string, args ...string) *server {
	t.Helper()
	s := &server{t: t, data: t.TempDir(), args: args, log: &logBuffer{}, env: []string{
		"OTEL_EXPORTER_OTLP_ENDPOINT=" + address, "OTEL_EXPORTER_OTLP_HEADERS=x-key=canary-collector-key",
		"OTEL_BSP_SCHEDULE_DELAY=20", "OTEL_RESOURCE_ATTRIBUTES=deployment.environment.name=test"}}
	s.start()
	t.Cleanup(s.kill)
	return s
}

// ofRequest selects the span of a request.
func ofRequest(id string) func(tracetest.Span) bool {
	return func(s tracetest.Span) bool { return s.Attrs["calotype.request_id"] == id }
}

// TestTraces: an upload, a miss, a refusal and an attempt of a webhook arrive at a collector, each as one tree.
func TestTraces(t *testing.T) {
	t.Parallel()
	collector := tracetest.New(t, nil)
	r := newReceiver(t)
	metrics, flag := metricsAddress(t)
	s := tracedServer(t, collector.URL, flag, "-outbound-allow", "127.0.0.1", "-webhook-url", r.URL)
	made := s.api("POST", "images/v2/direct_upload", nil, "X-Request-Id", "make",
		"Traceparent", "00-"+caller+"-b7ad6b7169203331-01")
	if made.status != http.StatusOK {
		t.Fatalf("status %d", made.status)
	}
	if root := collector.Await(t, "a call of the API", ofRequest("make")); root.Trace != caller ||
		root.Name != "POST accounts/{account}/images/v2/direct_upload" || root.Attrs["calotype.account"] != accountID ||
		root.Attrs["http.response.status_code"] != "200" || root.Kind != "server" {
		t.Errorf("of the API: %+v", root)
	}
	u := s.createUploadURL("id", "folder/holiday", "metadata", `{"k":"canary-metadata"}`)
	body, kind := fileForm(t, "canary-name.jpg", photo(t, 320, 240, 70))
	a := do(t, "POST", u.UploadURL, body, "Content-Type", kind, "X-Request-Id", "upload",
		"Traceparent", "00-"+caller+"-b7ad6b7169203331-00")
	if a.status != http.StatusOK {
		t.Fatalf("status %d\n%s", a.status, a.body)
	}
	root := collector.Await(t, "an upload", ofRequest("upload"))
	if root.Trace == caller || root.Parent != "" || len(root.Links) != 1 || root.Links[0] != caller ||
		root.Failed != "" || root.Attrs["calotype.image"] != "folder/holiday" || root.Attrs["calotype.key"] == "" ||
		root.Resource["service.name"] != "calotype" || root.Resource["deployment.environment.name"] != "test" {
		t.Errorf("of an upload: %+v", root)
	}
	wantTree(t, collector, root, "upload(commit examine(wait work) receive store)")
	if line := s.lineOf("upload"); line.Trace != root.Trace || line.Span != root.ID {
		t.Errorf("the log names the trace %s, not %s", line.Trace, root.Trace)
	}

	address := s.public("folder/holiday")
	for _, id := range []string{"miss", "hit"} {
		if a := do(t, "GET", address, nil, "X-Request-Id", id); a.status != http.StatusOK {
			t.Fatalf("status %d\n%s", a.status, a.body)
		}
	}
	wantTree(t, collector, collector.Await(t, "a miss", ofRequest("miss")), "delivery(render(fetch insert wait work))")
	wantTree(t, collector, collector.Await(t, "a hit", ofRequest("hit")), "delivery")
	wantFailures(t, s, collector)

	sent := r.await(t, "folder/holiday", 1)
	attempt := collector.Await(t, "an attempt", func(span tracetest.Span) bool {
		return span.Name == "webhook" && span.Attrs["calotype.image"] == "folder/holiday"
	})
	if got := "00-" + attempt.Trace + "-" + attempt.ID + "-01"; sent.header.Get("Traceparent") != got ||
		attempt.Kind != "client" || attempt.Attrs["calotype.attempt"] != "1" || attempt.Failed != "" {
		t.Errorf("the receiver got %q, the attempt is %+v", sent.header.Get("Traceparent"), attempt)
	}
	awaitMetric(t, metrics, `calotype_trace_spans_total{outcome="exported"}`, func(n float64) bool { return n > 15 })
	noSecrets(t, s, collector, u.UploadURL)
}

// wantTree waits until a trace has arrived with its children.
func wantTree(t *testing.T, c *tracetest.Collector, root tracetest.Span, want string) {
	t.Helper()
	waitUntil(t, "the tree "+want, func() bool { return c.Tree(root) == want })
}

// wantFailures: a refused upload has the status Error where it failed, a stranger's wrong path has it nowhere.
func wantFailures(t *testing.T, s *server, c *tracetest.Collector) {
	t.Helper()
	damaged := photo(t, 320, 240, 70)
	clear(damaged[len(damaged)/2:])
	body, kind := fileForm(t, "a.jpg", damaged)
	refused := do(t, "POST", s.createUploadURL().UploadURL, body, "Content-Type", kind, "X-Request-Id", "refused")
	root := c.Await(t, "a refusal", ofRequest("refused"))
	if root.Failed != strconv.Itoa(refused.code(t)) ||
		root.Attrs["http.response.status_code"] != strconv.Itoa(refused.status) {
		t.Errorf("of a refusal %d: %+v", refused.code(t), root)
	}
	wantTree(t, c, root, "upload(examine(wait work) receive)")
	examined := c.Await(t, "examine", func(s tracetest.Span) bool { return s.Name == "examine" && s.Trace == root.Trace })
	if examined.Failed != "undecodable" {
		t.Errorf("examine: %+v", examined)
	}
	do(t, "GET", s.url+"/no/such/picture", nil, "X-Request-Id", "stranger")
	if root := c.Await(t, "a wrong path", ofRequest("stranger")); root.Failed != "" {
		t.Errorf("of a stranger: %+v", root)
	}
	do(t, "GET", s.url+"/client/v4/accounts/"+accountID+"/images/v1", nil, "X-Request-Id", "guess",
		"Authorization", "Bearer canary-guess", "Traceparent", "00-"+caller+"-b7ad6b7169203331-00")
	if root := c.Await(t, "a wrong token", ofRequest("guess")); root.Trace == caller || len(root.Links) != 1 ||
		root.Failed == "" {
		t.Errorf("of a wrong token: %+v", root)
	}
}

// noSecrets: neither the spans nor the log have a secret, metadata, a file name or an address of a client.
func noSecrets(t *testing.T, s *server, c *tracetest.Collector, uploadURL string) {
	t.Helper()
	u, err := url.Parse(uploadURL)
	if err != nil {
		t.Fatal(err)
	}
	received, header := c.Received()
	if header.Get("X-Key") != "canary-collector-key" {
		t.Errorf("headers of the collector: %v", header)
	}
	for _, secret := range []string{token, u.Query().Get("ticket"), "canary-metadata", "canary-name", "canary-guess",
		"127.0.0.1", "canary-collector-key"} {
		if strings.Contains(received, secret) {
			t.Errorf("the spans hold %q", secret)
		}
		if strings.HasPrefix(secret, "canary") && strings.Contains(s.log.String(), secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
}

// TestTracesOfAStoppedServer: what was not sent yet is sent at the end.
func TestTracesOfAStoppedServer(t *testing.T) {
	t.Parallel()
	collector := tracetest.New(t, nil)
	s := tracedServer(t, collector.URL)
	s.kill()
	s.env = append(s.env, "OTEL_BSP_SCHEDULE_DELAY=1000000")
	s.start()
	do(t, "GET", s.url+"/no/such/picture", nil, "X-Request-Id", "last")
	s.stop()
	if found := collector.Await(t, "the last request", ofRequest("last")); found.Name != "delivery" {
		t.Errorf("%+v", found)
	}
}

// TestCollectorHangs: a collector that accepts connections and never answers delays no request, loses counted spans
// only, and does not hold up the end of the server.
func TestCollectorHangs(t *testing.T) {
	t.Parallel()
	ctx, release := context.WithCancel(context.Background())
	collector := tracetest.New(t, func() { <-ctx.Done() })
	defer release()
	metrics, flag := metricsAddress(t)
	s := tracedServer(t, collector.URL, flag)
	s.kill()
	s.env = append(s.env, "OTEL_BSP_MAX_QUEUE_SIZE=8")
	s.start()
	picture := photo(t, 320, 240, 70)
	for range 10 {
		u := s.createUploadURL()
		body, kind := fileForm(t, "a.jpg", picture)
		if a := do(t, "POST", u.UploadURL, body, "Content-Type", kind); a.status != http.StatusOK {
			t.Fatalf("status %d\n%s", a.status, a.body)
		}
		if a := do(t, "GET", s.public(u.ID), nil); a.status != http.StatusOK || len(a.body) == 0 {
			t.Fatalf("status %d\n%s", a.status, a.body)
		}
	}
	// 10 calls of the API of 1 span, 10 uploads of 7, 10 misses of 6: none was sent.
	awaitMetric(t, metrics, `calotype_trace_spans_total{outcome="dropped"}`, func(n float64) bool { return n == 140-8 })
	if got := scrape(t, metrics)["calotype_trace_spans_queued"]; got != 8 {
		t.Errorf("%v spans are queued", got)
	}
	if err := s.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.gone:
	case <-time.After(time.Minute):
		t.Fatal("the server waits for the collector")
	}
	if !strings.Contains(s.log.String(), "the last spans were not sent") {
		t.Error("the log does not say that spans were lost")
	}
}

// TestInvalidOTEL: a start with a variable that is not valid ends with its name.
func TestInvalidOTEL(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "serve", "-listen", "127.0.0.1:0", "-data", t.TempDir())
	cmd.Env = append(cmd.Environ(), "OTEL_EXPORTER_OTLP_ENDPOINT=collector:canary-secret@example")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err == nil || !strings.Contains(out.String(), "OTEL_EXPORTER_OTLP_ENDPOINT is not valid") ||
		strings.Contains(out.String(), "canary-secret") {
		t.Errorf("%v: %s", err, out.String())
	}
}
