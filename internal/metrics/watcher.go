package metrics

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/render"
	"calotype/internal/renditions"
	"calotype/internal/sqldb"
	"calotype/internal/trace"
	"calotype/internal/webhooks"
)

// The minimal interval and the maximal duration of reading the database.
const (
	databaseEvery = 10 * time.Second
	databaseTime  = 3 * time.Second
)

// uploadKinds are the usual refusals of uploads. They are exported from 0 on; other kinds after their
// first refusal.
var uploadKinds = []errs.Kind{
	errs.Internal, errs.TicketUnknown, errs.TicketUsed, errs.TicketInvalid,
	errs.TicketBusy, errs.NotForm, errs.TooLarge, errs.TooSlow, errs.Aborted,
	errs.Unsupported, errs.Undecodable, errs.OverLimits, errs.Invalid, errs.Busy,
	errs.NoSpace, errs.Blocked,
}

// A watcher collects the state of the core and the pool at each scrape.
type watcher struct {
	Sources
	version string // of the program

	mu      sync.Mutex // locked while the database is read, so that concurrent scrapes read it once
	asked   time.Time
	tickets images.TicketCounts
	outbox  webhooks.OutboxCounts
	purges  int64
	err     error // of the last reading
}

// Describe sends nothing: Prometheus checks the metrics of Collect when it gets them.
func (w *watcher) Describe(chan<- *prometheus.Desc) {}

// desc describes a metric. labels are the names of its labels, each before its value.
func desc(name, help string, labels ...string) *prometheus.Desc {
	values := prometheus.Labels{}
	for pair := range slices.Chunk(labels, 2) {
		values[pair[0]] = pair[1]
	}
	return prometheus.NewDesc("calotype_"+name, help, nil, values)
}

// A sender sends metrics; see desc for their labels.
type sender chan<- prometheus.Metric

func (s sender) gauge(name, help string, v int64, labels ...string) {
	s <- prometheus.MustNewConstMetric(desc(name, help, labels...), prometheus.GaugeValue, float64(v))
}

func (s sender) counter(name, help string, v float64, labels ...string) {
	s <- prometheus.MustNewConstMetric(desc(name, help, labels...), prometheus.CounterValue, v)
}

// Collect reads the core, the pool and the database.
func (w *watcher) Collect(ch chan<- prometheus.Metric) {
	to := sender(ch)
	to.gauge("build_info", "1; the labels name the program, its Go and its picture pipeline.", 1,
		"version", w.version, "goversion", runtime.Version(), "pipeline", w.Render.Version())
	w.sendDatabase(to)
	w.sendPool(to)
	w.sendShared(to)
	stats, err := w.Core.Stats()
	const free = "Free space of the disk with the data folder."
	if err != nil { // only the reading of the disk has failed
		ch <- prometheus.NewInvalidMetric(desc("disk_free_bytes", free), err)
	} else {
		to.gauge("disk_free_bytes", free, stats.DiskFree)
		to.gauge("disk_size_bytes", "Size of the disk with the data folder.", stats.DiskSize)
	}
	to.gauge("disk_reserve_bytes", "Free space below which uploads are refused.", stats.DiskReserve)
	to.gauge("spool_reserved_bytes", "What the bodies being received may grow to.", stats.SpoolReserved)
	to.gauge("spool_limit_bytes", "What these may be together.", stats.SpoolLimit)
	sendUploads(to, stats)
	sendCache(to, w.Renditions.Stats())
	for _, pool := range stats.Database {
		sendConnections(to, pool)
	}
}

// sendConnections sends the state of a pool of connections to the database.
func sendConnections(to sender, s sqldb.PoolStats) {
	pool := []string{"pool", s.Name}
	to.gauge("database_connections_limit", "Connections to the database that a pool may open.", int64(s.Limit), pool...)
	for state, n := range map[string]int{"in_use": s.InUse, "idle": s.Idle} {
		to.gauge("database_connections", "Open connections to the database.", int64(n), "pool", s.Name, "state", state)
	}
	to.counter("database_waits_total", "Queries that waited for a connection.", float64(s.Waits), pool...)
	to.counter("database_waited_seconds_total", "Time that they waited.", s.Waited.Seconds(), pool...)
	to.counter("database_deadlocks_total", "Attempts of transactions that PostgreSQL aborted because of a deadlock.",
		float64(s.Deadlocks), pool...)
}

// traces collects the numbers of spans.
type traces func() trace.Stats

// Describe sends nothing, as that of watcher.
func (t traces) Describe(chan<- *prometheus.Desc) {}

// Collect sends the numbers.
func (t traces) Collect(ch chan<- prometheus.Metric) {
	to, stats := sender(ch), t()
	for outcome, n := range map[string]int64{
		"exported": stats.Exported, "failed": stats.Failed, "dropped": stats.Dropped,
	} {
		to.counter("trace_spans_total", "Ended spans of traces by outcome.", float64(n), "outcome", outcome)
	}
	to.gauge("trace_spans_queued", "Spans that wait for the collector of traces.", stats.Queued)
}

func sendUploads(to sender, stats images.Stats) {
	outcomes := map[string]int64{"accepted": stats.Accepted}
	for _, kind := range uploadKinds {
		outcomes[kind.String()] = 0
	}
	for kind, n := range stats.Refused {
		if n > 0 {
			outcomes[kind.String()] = n
		}
	}
	for outcome, n := range outcomes {
		to.counter("uploads_total", `Uploads by outcome: "accepted", or the kind of the refusal.`, float64(n),
			"outcome", outcome)
	}
	to.counter("upload_repeats_total", "Repeated answers to an Idempotency-Key, among the accepted uploads.",
		float64(stats.Repeats))
}

func sendCache(to sender, stats renditions.Stats) {
	to.counter("rendition_cache_hits_total", "Renditions that were in the cache.", float64(stats.Hits))
	to.counter("rendition_cache_misses_total", "Renditions that were not.", float64(stats.Misses))
	to.counter("rendition_cache_evictions_total", "Renditions that were evicted for space.",
		float64(stats.Evictions))
	to.gauge("rendition_cache_files", "Renditions in the cache.", stats.Files)
	to.gauge("rendition_cache_bytes", "Size of the rendition cache.", stats.Size)
	to.gauge("rendition_cache_limit_bytes", "What that may grow to.", stats.Limit)
	for i, outcome := range renditions.EagerOutcomes {
		to.counter("eager_renditions_total", "Renditions of -eager by outcome.", float64(stats.Eager.Renditions[i]),
			"outcome", outcome)
	}
	to.counter("eager_dropped_total", "Images for which the queue of -eager had no space.",
		float64(stats.Eager.Dropped))
}

func (w *watcher) sendPool(to sender) {
	status := w.Render.Status()
	for pool, s := range map[string]render.LaneStatus{
		render.Uploads: status.Uploads, render.Renditions: status.Renditions, render.Eager: status.Eager,
	} {
		if s.Limit == 0 {
			continue // there is no eager lane
		}
		for state, n := range map[string]int{"waiting": s.Waiting, "running": s.Running} {
			to.gauge("render_jobs", "Jobs of the workers that wait or run now.", int64(n),
				"pool", pool, "state", state)
		}
		to.gauge("render_slots", "Jobs that may run at once.", int64(s.Limit), "pool", pool)
		to.gauge("workers", "Worker processes alive.", int64(s.Workers), "pool", pool)
	}
	for reason, n := range status.Ended {
		to.counter("workers_ended_total",
			"Worker processes that ended, by reason; new ones take their place.", float64(n), "reason", reason)
	}
	to.gauge("render_memory_bytes", "Memory that workers and their jobs are estimated at.",
		status.MemoryInUse)
	to.gauge("render_memory_limit_bytes", "What that may grow to.", status.Memory)
	complete := int64(0)
	if status.Sandbox.Complete {
		complete = 1
	}
	to.gauge("sandbox_complete", "1 if the workers' sandbox is complete.", complete)
	for _, part := range render.SandboxParts {
		to.gauge("sandbox", "Parts of the workers' sandbox: 0 when a part is not in force, the version of "+
			"landlock, and 1 for each other part.", int64(status.Sandbox.Parts[part]), "part", part)
	}
}

// sendShared sends the state of all shared pools. The label is the name of the pool; docs/operate.md lists
// the units.
func (w *watcher) sendShared(to sender) {
	for _, p := range w.Pools {
		s := p.Stats()
		pool := []string{"pool", s.Name}
		to.gauge("pool_size", "Units of a shared pool; 0: only its keys are bounded.", s.Size, pool...)
		to.gauge("pool_used", "Units that are held.", s.Used, pool...)
		to.gauge("pool_keys", "Accounts or clients that hold units or wait for some.", int64(s.Keys), pool...)
		to.gauge("pool_largest_share", "Units that the largest of these holds.", s.Largest, pool...)
		to.gauge("pool_waiting", "Requests in the queue of the pool.", int64(s.Waiting), pool...)
		to.counter("pool_refused_total",
			"Requests that the pool or its queue had no space for, or whose key had its share.",
			float64(s.Refused), pool...)
		to.counter("pool_timeouts_total", "Requests that waited too long.", float64(s.TimedOut), pool...)
		to.counter("pool_waited_seconds_total", "Time that all requests waited.", s.Waited.Seconds(), pool...)
	}
}

// sendDatabase sends the metrics of the database, unless it does not answer.
func (w *watcher) sendDatabase(to sender) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.asked.IsZero() || time.Since(w.asked) > databaseEvery {
		w.askDatabase()
		w.asked = time.Now()
	}
	const up = "1 if the database has answered, within the last 10 s."
	if w.err != nil {
		to.gauge("database_up", up, 0)
		return
	}
	to.gauge("database_up", up, 1)
	for state, n := range map[string]int64{
		"open": w.tickets.Open, "refused": w.tickets.Refused, "expired": w.tickets.Expired,
	} {
		to.gauge("tickets", "One-time upload URLs in the database by state, each counted up to 100000.", n,
			"state", state)
	}
	oldest := int64(0)
	if !w.outbox.Oldest.IsZero() {
		oldest = int64(max(0, time.Since(w.outbox.Oldest)).Seconds())
	}
	to.gauge("webhook_pending", "Pending deliveries to webhooks, except to paused ones and those of "+
		"suspended accounts, counted up to 100000.", w.outbox.Pending)
	to.gauge("webhook_oldest_pending_seconds",
		"Time since the oldest event of these deliveries; 0 without deliveries.", oldest)
	to.gauge("purges_pending", "Purges that -purge-url has not accepted, or that are to be repeated, counted up to "+
		"100000.", w.purges)
	for state, n := range map[string]int64{
		"healthy": w.outbox.Healthy, "failing": w.outbox.Failing, "paused": w.outbox.Paused,
	} {
		to.gauge("webhooks", "Webhooks by state.", n, "state", state)
	}
}

func (w *watcher) askDatabase() {
	ctx, cancel := context.WithTimeout(context.Background(), databaseTime)
	defer cancel()
	if w.tickets, w.err = w.Core.TicketCounts(ctx); w.err == nil {
		w.outbox, w.err = w.Core.Webhooks.Counts(ctx)
	}
	if w.err == nil {
		w.purges, w.err = w.Core.Purges.Pending(ctx)
	}
}
