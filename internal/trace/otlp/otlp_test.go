package otlp

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"calotype/internal/trace"
	"calotype/internal/trace/tracetest"
)

// A lockedBuffer is a log that a test reads while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// start returns an Exporter for an environment.
func start(t *testing.T, log *lockedBuffer, variables ...string) *Exporter {
	t.Helper()
	for i := 0; i < len(variables); i += 2 {
		t.Setenv(variables[i], variables[i+1])
	}
	e, err := Start(t.Context(), "v1.2", slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// request sends a span of a request with a traceparent to an Exporter, and ends it with an error.
func request(e *Exporter, parent string, trusted bool, err error) {
	r := httptest.NewRequest("GET", "/", nil)
	if parent != "" {
		r.Header.Set("Traceparent", parent)
		r.Header.Set("Tracestate", "vendor=x")
	}
	r, span := e.Tracer().Serve(r, "request", time.Now(), trusted)
	trace.Record(r.Context(), "work", time.Now(), err)
	span.End(err)
}

// TestOffByDefault: without a variable that names a collector, or with one that turns the SDK off, there is no
// Exporter.
func TestOffByDefault(t *testing.T) {
	for _, variables := range [][]string{
		{}, {"OTEL_SERVICE_NAME", "x"}, {endpoint, ""}, {endpoint, "http://[::1]:9", disabled, "true"},
		{endpoint, "http://[::1]:9", disabled, "TRUE"}, {endpoint, "http://[::1]:9", exporter, "none"},
		{disabled, "true", sampler, "no such sampler"},
	} {
		t.Run(strings.Join(variables, " "), func(t *testing.T) {
			e := start(t, &lockedBuffer{}, variables...)
			if e != nil || e.Tracer() != nil {
				t.Errorf("%q: an exporter", variables)
			}
			e.Close(t.Context())
		})
	}
}

// TestInvalidVariables: a start names the variable, and never quotes what may be a secret.
func TestInvalidVariables(t *testing.T) {
	const secret = "canary-4Q7"
	for _, c := range [][2]string{
		{endpoint, "localhost:4318/" + secret}, {endpoint, "ftp://" + secret}, {tracesEndpoint, "http:///" + secret},
		{exporter, "zipkin"}, {"OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"}, {"OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "br"},
		{sampler, "sometimes"}, {samplerArg, "1.5"}, {samplerArg, "-0.1"}, {samplerArg, "NaN"}, {queueSize, "0"},
		{queueSize, "1000001"}, {"OTEL_BSP_SCHEDULE_DELAY", "5s"}, {"OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "-1"},
		{"OTEL_EXPORTER_OTLP_HEADERS", secret}, {"OTEL_EXPORTER_OTLP_TRACES_HEADERS", "a=1," + secret},
		{"OTEL_EXPORTER_OTLP_HEADERS", "=" + secret}, {"OTEL_EXPORTER_OTLP_HEADERS", "a=%zz" + secret},
		{"OTEL_RESOURCE_ATTRIBUTES", "team"},
	} {
		t.Run(strings.Join(c[:], " "), func(t *testing.T) {
			t.Setenv(endpoint, "http://localhost:4318")
			t.Setenv(sampler, "traceidratio")
			t.Setenv(c[0], c[1])
			_, err := Start(t.Context(), "", slog.New(slog.DiscardHandler))
			if err == nil || !strings.HasPrefix(err.Error(), c[0]+" ") || strings.Contains(err.Error(), secret) {
				t.Errorf("%s=%s: %v", c[0], c[1], err)
			}
		})
	}
}

// TestValidVariables: the limits of numbers and the spellings of the specification are accepted.
func TestValidVariables(t *testing.T) {
	for _, c := range [][2]string{
		{endpoint, "https://collector.example/base"}, {exporter, "otlp"}, {"OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"},
		{sampler, "ParentBased_TraceIDRatio"}, {samplerArg, "0"}, {samplerArg, "1"}, {queueSize, "1"},
		{queueSize, "1000000"}, {"OTEL_EXPORTER_OTLP_HEADERS", "a=b%20c, d=e=f"},
		{"OTEL_RESOURCE_ATTRIBUTES", "team=pictures,region=eu"}, {"OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"},
	} {
		t.Run(strings.Join(c[:], " "), func(t *testing.T) {
			t.Setenv(endpoint, "http://localhost:4318")
			t.Setenv(sampler, "traceidratio")
			t.Setenv(c[0], c[1])
			if err := Check(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestSpansArrive: spans arrive with the attributes and the headers of the environment, and a trusted caller's
// trace continues, while that of a stranger is a new one with a link.
func TestSpansArrive(t *testing.T) {
	c := tracetest.New(t, nil)
	e := start(t, &lockedBuffer{}, endpoint, c.URL+"/base", "OTEL_SERVICE_NAME", "pictures",
		"OTEL_RESOURCE_ATTRIBUTES", "region=eu", "OTEL_EXPORTER_OTLP_HEADERS", "x-key=se%20cret",
		sampler, "parentbased_always_on")
	const caller = "0af7651916cd43dd8448eb211c80319c"
	request(e, "00-"+caller+"-b7ad6b7169203331-01", true, nil)
	request(e, "00-"+caller+"-b7ad6b7169203331-00", true, nil) // the caller decided against it
	request(e, "00-"+caller+"-b7ad6b7169203331-00", false, errors.New("http://secret.example/"))
	request(e, "00-00000000000000000000000000000000-b7ad6b7169203331-01", true, context.Canceled) // not valid
	e.Close(t.Context())
	var roots []tracetest.Span
	for _, s := range c.Spans() {
		if s.Name == "request" {
			roots = append(roots, s)
		}
	}
	if len(roots) != 3 || len(c.Spans()) != 6 {
		t.Fatalf("received %+v", c.Spans())
	}
	trusted, stranger, invalid := roots[0], roots[1], roots[2]
	if trusted.Trace != caller || trusted.Parent != "b7ad6b7169203331" || len(trusted.Links) != 0 ||
		trusted.Kind != "server" || c.Tree(trusted) != "request(work)" || trusted.Failed != "" {
		t.Errorf("of a trusted caller: %+v, %s", trusted, c.Tree(trusted))
	}
	if stranger.Trace == caller || stranger.Parent != "" || len(stranger.Links) != 1 || stranger.Links[0] != caller ||
		stranger.Failed != "error" || stranger.Attrs["error.type"] != "error" {
		t.Errorf("of a stranger: %+v", stranger)
	}
	if invalid.Parent != "" || len(invalid.Links) != 0 || invalid.Failed != "canceled" {
		t.Errorf("of a caller without a valid trace: %+v", invalid)
	}
	if r := trusted.Resource; r["service.name"] != "pictures" || r["service.version"] != "v1.2" || r["region"] != "eu" ||
		r["host.name"] == "" {
		t.Errorf("resource: %v", r)
	}
	body, header := c.Received()
	if strings.Contains(body, "secret.example") || header.Get("X-Key") != "se cret" {
		t.Errorf("received %q, %v", body, header)
	}
	if s := e.Stats(); s != (trace.Stats{Exported: 6}) {
		t.Errorf("stats: %+v", s)
	}
}

// TestSlowCollector: a collector that does not answer stops no span from ending, the queue is bounded, and the end of
// the server does not wait for it longer than allowed.
func TestSlowCollector(t *testing.T) {
	asked, answer := make(chan struct{}, 100), make(chan struct{})
	c := tracetest.New(t, func() {
		asked <- struct{}{}
		<-answer
	})
	var log lockedBuffer
	e := start(t, &log, endpoint, c.URL, queueSize, "4", "OTEL_BSP_SCHEDULE_DELAY", "1")
	request(e, "", false, nil) // two spans
	<-asked                    // the exporter waits now
	for range 10 {
		request(e, "", false, nil)
	}
	s := e.Stats()
	if s.Queued != 4 || s.Dropped != 18 || s.Exported != 0 {
		t.Errorf("of 22 spans, 4 in the queue: %+v", s)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	e.Close(ended)
	if !strings.Contains(log.String(), "spans=") {
		t.Errorf("log: %q", log.String())
	}
	close(answer)
}

// TestCollectorAway: a collector that refuses is logged once, and the spans are counted as failed.
func TestCollectorAway(t *testing.T) {
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden) // which is not retried
	}))
	defer refusing.Close()
	var log lockedBuffer
	e := start(t, &log, tracesEndpoint, refusing.URL+"/v1/traces", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1")
	for range 5 {
		request(e, "", false, nil)
	}
	e.Close(t.Context())
	if s := e.Stats(); s != (trace.Stats{Failed: 10}) {
		t.Errorf("stats: %+v", s)
	}
	if got := strings.Count(log.String(), "sending traces"); got != 1 {
		t.Errorf("%d lines: %q", got, log.String())
	}
}
