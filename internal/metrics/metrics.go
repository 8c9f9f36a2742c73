// Package metrics exports the metrics of the server in the text format of Prometheus.
//
// Other packages do not depend on Prometheus. The surfaces, the pool of workers and the core call plain
// functions (Surface, Timer); their own counters are read at each scrape (Watch). Labels are constants of
// the program, never a client's text, so that their number is limited and they hold no secrets.
// docs/operate.md lists all metrics.
package metrics

import (
	"log/slog"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"calotype/internal/images"
	"calotype/internal/limit"
	"calotype/internal/render"
	"calotype/internal/renditions"
	"calotype/internal/trace"
)

// Path is the path of the metrics.
const Path = "/metrics"

// scrapesAtOnce limits concurrent scrapes; further ones are answered 503.
const scrapesAtOnce = 3

// buckets are the bounds of all durations, in seconds: from a cached rendition to the upload of a phone.
var buckets = []float64{
	.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 120,
}

// Metrics holds the metrics of one server. A nil Metrics measures nothing.
type Metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	times    *prometheus.HistogramVec
	stages   *prometheus.HistogramVec
	timers   map[stage]prometheus.Observer

	attempts     *prometheus.CounterVec
	purges       *prometheus.CounterVec
	attemptTimes prometheus.Histogram

	accounts atomic.Pointer[byAccount] // nil before WatchAccounts
}

type stage struct{ pool, name string }

// New returns the Metrics of a new server.
func New() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "calotype_http_requests_total",
			Help: "Answered requests by surface, route and status.",
		}, []string{"surface", "route", "status"}),
		times: prometheus.NewHistogramVec(durations("calotype_http_request_duration_seconds",
			"Time from a request's header to the end of its answer."), []string{"surface", "route"}),
		stages: prometheus.NewHistogramVec(durations("calotype_stage_duration_seconds",
			"Time of the stages of uploads and renditions."), []string{"pool", "stage"}),
		timers: map[stage]prometheus.Observer{},
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "calotype_webhook_attempts_total",
			Help: "Attempts to deliver an event to a webhook, by outcome.",
		}, []string{"outcome"}),
		purges: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "calotype_purge_requests_total",
			Help: "Requests to the receivers of -purge-url, by outcome.",
		}, []string{"outcome"}),
		attemptTimes: prometheus.NewHistogram(durations("calotype_webhook_attempt_duration_seconds",
			"Time of an attempt, to the end of the receiver's answer.")),
	}
	for _, s := range []stage{
		{render.Uploads, images.StageSpool}, {render.Uploads, render.StageWait},
		{render.Uploads, render.StageWork}, {render.Uploads, images.StageStore},
		{render.Uploads, images.StageCommit},
		{render.Renditions, renditions.StageFetch}, {render.Renditions, render.StageWait},
		{render.Renditions, render.StageWork}, {render.Renditions, renditions.StageInsert},
		{render.Eager, renditions.StageFetch}, {render.Eager, render.StageWait},
		{render.Eager, render.StageWork}, {render.Eager, renditions.StageInsert},
	} {
		m.timers[s] = m.stages.WithLabelValues(s.pool, s.name)
	}
	m.registry.MustRegister(m.requests, m.times, m.stages, m.attempts, m.attemptTimes, m.purges,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func durations(name, help string) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}
}

// Timer is for the pool and the core.
func (m *Metrics) Timer(pool, name string, took time.Duration) {
	if m == nil {
		return
	}
	if timer := m.timers[stage{pool, name}]; timer != nil {
		timer.Observe(took.Seconds())
	}
}

// Webhooks returns the Observe of the notifier. outcomes are all outcomes, which are exported from 0 on.
func (m *Metrics) Webhooks(outcomes []string) func(outcome string, took time.Duration) {
	if m == nil {
		return nil
	}
	counters := make(map[string]prometheus.Counter, len(outcomes))
	for _, o := range outcomes {
		counters[o] = m.attempts.WithLabelValues(o)
	}
	return func(outcome string, took time.Duration) {
		if c := counters[outcome]; c != nil {
			c.Inc()
		}
		m.attemptTimes.Observe(took.Seconds())
	}
}

// Purges returns the Observe of the sender of purges. outcomes are all outcomes, which are exported from 0 on.
func (m *Metrics) Purges(outcomes []string) func(outcome string) {
	if m == nil {
		return nil
	}
	for _, o := range outcomes {
		m.purges.WithLabelValues(o)
	}
	return func(outcome string) { m.purges.WithLabelValues(outcome).Inc() }
}

// Surface returns the Observe of a surface's Config. The label of a missing status is "none".
func (m *Metrics) Surface(surface string) func(route string) func(int, time.Duration) {
	if m == nil {
		return nil
	}
	return func(route string) func(int, time.Duration) {
		for _, status := range []string{"200", "500", "503"} {
			// Exported from 0 on, so that rates include the first one.
			m.requests.WithLabelValues(surface, route, status)
		}
		times := m.times.WithLabelValues(surface, route)
		return func(status int, took time.Duration) {
			m.requests.WithLabelValues(surface, route, statusLabel(status)).Inc()
			times.Observe(took.Seconds())
		}
	}
}

// statusLabel returns the label of an HTTP status, "none" for another number.
func statusLabel(status int) string {
	if status < 100 || status >= 600 {
		return "none"
	}
	return strconv.Itoa(status)
}

// Sources are what Watch exports.
type Sources struct {
	Core       *images.Service // started
	Renditions *renditions.Service
	Render     *render.Pool  // the workers
	Pools      []*limit.Pool // that accounts and clients share
}

// Watch exports the state of from, and the program's version, from now on.
func (m *Metrics) Watch(from Sources, version string) error {
	if m == nil {
		return nil
	}
	return m.registry.Register(&watcher{Sources: from, version: version})
}

// WatchTraces exports the number of spans of traces.
func (m *Metrics) WatchTraces(stats func() trace.Stats) error {
	if m == nil {
		return nil
	}
	return m.registry.Register(traces(stats))
}

// Handler serves Path, and no other path.
func (m *Metrics) Handler(log *slog.Logger) http.Handler {
	metrics := promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(log.Handler(), slog.LevelError),
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: scrapesAtOnce,
		DisableCompression:  true,
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		switch {
		case r.URL.Path != Path:
			http.Error(w, "not found: the metrics are at "+Path, http.StatusNotFound)
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		default:
			metrics.ServeHTTP(w, r)
		}
	})
}
