package metrics

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/limit"
	"calotype/internal/render"
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
	errs.NoSpace,
}

// A watcher collects the state of the core and the pool at each scrape.
type watcher struct {
	core  *images.Service
	pool  *render.Pool
	pools []*limit.Pool

	mu      sync.Mutex // locked while the database is read, so that concurrent scrapes read it once
	asked   time.Time
	tickets images.TicketCounts
	outbox  webhooks.OutboxCounts
	err     error // of the last reading
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("calotype_"+name, help, labels, nil)
}

var (
	descUploads = desc("uploads_total",
		`Uploads by outcome: "accepted", or the kind of the refusal.`, "outcome")
	descRepeats = desc("upload_repeats_total",
		"Repeated answers to an Idempotency-Key, among the accepted uploads.")
	descTickets = desc("tickets",
		"One-time upload URLs in the database by state, each counted up to 100000.", "state")
	descPending = desc("webhook_pending",
		"Pending deliveries to webhooks, except to paused ones and those of "+
			"suspended accounts, counted up to 100000.")
	descOldest = desc("webhook_oldest_pending_seconds",
		"Time since the oldest event of these deliveries; 0 without deliveries.")
	descWebhooks = desc("webhooks", "Webhooks by state.", "state")
	descDatabase = desc("database_up", "1 if the database has answered, within the last 10 s.")

	descJobs = desc("render_jobs",
		"Jobs of the workers that wait or run now.", "pool", "state")
	descSlots   = desc("render_slots", "Jobs that may run at once.", "pool")
	descWorkers = desc("workers", "Worker processes alive.", "pool")
	descEnded   = desc("workers_ended_total",
		"Worker processes that ended, by reason; new ones take their place.", "reason")
	descMemory = desc("render_memory_bytes",
		"Memory that workers and their jobs are estimated at.")
	descMemoryLimit = desc("render_memory_limit_bytes", "What that may grow to.")
	descSandbox     = desc("sandbox_complete", "1 if the workers' sandbox is complete.")
	descSandboxPart = desc("sandbox", "Parts of the workers' sandbox: 0 when a part is not in "+
		"force, the version of landlock, and 1 for each other part.", "part")

	descCacheHits      = desc("rendition_cache_hits_total", "Renditions that were in the cache.")
	descCacheMisses    = desc("rendition_cache_misses_total", "Renditions that were not.")
	descCacheEvictions = desc("rendition_cache_evictions_total",
		"Renditions that went to make room.")
	descCacheFiles = desc("rendition_cache_files", "Renditions in the cache.")
	descCacheSize  = desc("rendition_cache_bytes", "Size of the rendition cache.")
	descCacheLimit = desc("rendition_cache_limit_bytes", "What that may grow to.")

	descSpool       = desc("spool_reserved_bytes", "What the bodies being received may grow to.")
	descSpoolLimit  = desc("spool_limit_bytes", "What these may be together.")
	descDiskFree    = desc("disk_free_bytes", "Free space of the disk with the data folder.")
	descDiskSize    = desc("disk_size_bytes", "Size of the disk with the data folder.")
	descDiskReserve = desc("disk_reserve_bytes", "Free space below which uploads are refused.")
)

// The shared pools. The label is the name of the pool; docs/operate.md lists the units.
var (
	descPoolSize    = desc("pool_size", "Units of a shared pool; 0: only its keys are bounded.", "pool")
	descPoolUsed    = desc("pool_used", "Units that are held.", "pool")
	descPoolKeys    = desc("pool_keys", "Accounts or clients that hold units or wait for some.", "pool")
	descPoolLargest = desc("pool_largest_share", "Units that the largest of these holds.", "pool")
	descPoolWaiting = desc("pool_waiting", "Requests in the queue of the pool.", "pool")
	descPoolRefused = desc("pool_refused_total",
		"Requests that the pool or its queue had no room for, or whose key had its share.", "pool")
	descPoolTimeouts = desc("pool_timeouts_total", "Requests that waited too long.", "pool")
	descPoolWaited   = desc("pool_waited_seconds_total", "Time that all requests waited.", "pool")
)

// Describe sends nothing: Prometheus checks the metrics of Collect when it gets them.
func (w *watcher) Describe(chan<- *prometheus.Desc) {}

// A sender sends metrics of either kind.
type sender chan<- prometheus.Metric

func (s sender) gauge(d *prometheus.Desc, v int64, labels ...string) {
	s <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
}

func (s sender) counter(d *prometheus.Desc, v int64, labels ...string) {
	s <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
}

// Collect reads the core, the pool and the database.
func (w *watcher) Collect(ch chan<- prometheus.Metric) {
	w.sendDatabase(ch)
	w.sendPool(ch)
	w.sendShared(ch)
	stats, err := w.core.Stats()
	if err != nil { // only the reading of the disk has failed
		ch <- prometheus.NewInvalidMetric(descDiskFree, err)
	} else {
		sender(ch).gauge(descDiskFree, stats.DiskFree)
		sender(ch).gauge(descDiskSize, stats.DiskSize)
	}
	w.sendCore(ch, stats)
}

func (w *watcher) sendCore(to sender, stats images.Stats) {
	to.counter(descUploads, stats.Accepted, "accepted")
	for _, kind := range uploadKinds {
		to.counter(descUploads, stats.Refused[kind], kind.String())
		delete(stats.Refused, kind)
	}
	for kind, n := range stats.Refused {
		if n > 0 {
			to.counter(descUploads, n, kind.String())
		}
	}
	to.counter(descRepeats, stats.Repeats)
	to.counter(descCacheHits, stats.CacheHits)
	to.counter(descCacheMisses, stats.CacheMisses)
	to.counter(descCacheEvictions, stats.CacheEvictions)
	to.gauge(descCacheFiles, stats.CacheFiles)
	to.gauge(descCacheSize, stats.CacheSize)
	to.gauge(descCacheLimit, stats.CacheLimit)
	to.gauge(descSpool, stats.SpoolReserved)
	to.gauge(descSpoolLimit, stats.SpoolLimit)
	to.gauge(descDiskReserve, stats.DiskReserve)
}

func (w *watcher) sendPool(to sender) {
	status := w.pool.Status()
	for pool, s := range map[string]render.LaneStatus{
		render.Uploads: status.Uploads, render.Renditions: status.Renditions,
	} {
		to.gauge(descJobs, int64(s.Waiting), pool, "waiting")
		to.gauge(descJobs, int64(s.Running), pool, "running")
		to.gauge(descSlots, int64(s.Limit), pool)
		to.gauge(descWorkers, int64(s.Workers), pool)
	}
	for reason, n := range status.Ended {
		to.counter(descEnded, n, reason)
	}
	to.gauge(descMemory, status.MemoryInUse)
	to.gauge(descMemoryLimit, status.Memory)
	complete := int64(0)
	if status.Sandbox.Complete {
		complete = 1
	}
	to.gauge(descSandbox, complete)
	for _, part := range render.SandboxParts {
		to.gauge(descSandboxPart, int64(status.Sandbox.Parts[part]), part)
	}
}

// sendShared sends the state of all shared pools.
func (w *watcher) sendShared(to sender) {
	for _, p := range w.pools {
		s := p.Stats()
		to.gauge(descPoolSize, s.Size, s.Name)
		to.gauge(descPoolUsed, s.Used, s.Name)
		to.gauge(descPoolKeys, int64(s.Keys), s.Name)
		to.gauge(descPoolLargest, s.Largest, s.Name)
		to.gauge(descPoolWaiting, int64(s.Waiting), s.Name)
		to.counter(descPoolRefused, s.Refused, s.Name)
		to.counter(descPoolTimeouts, s.TimedOut, s.Name)
		to <- prometheus.MustNewConstMetric(descPoolWaited, prometheus.CounterValue,
			s.Waited.Seconds(), s.Name)
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
	if w.err != nil {
		to.gauge(descDatabase, 0)
		return
	}
	to.gauge(descDatabase, 1)
	to.gauge(descTickets, w.tickets.Open, "open")
	to.gauge(descTickets, w.tickets.Refused, "refused")
	to.gauge(descTickets, w.tickets.Expired, "expired")
	oldest := int64(0)
	if !w.outbox.Oldest.IsZero() {
		oldest = int64(max(0, time.Since(w.outbox.Oldest)).Seconds())
	}
	to.gauge(descPending, w.outbox.Pending)
	to.gauge(descOldest, oldest)
	to.gauge(descWebhooks, w.outbox.Well, "healthy")
	to.gauge(descWebhooks, w.outbox.Failing, "failing")
	to.gauge(descWebhooks, w.outbox.Paused, "paused")
}

func (w *watcher) askDatabase() {
	ctx, cancel := context.WithTimeout(context.Background(), databaseTime)
	defer cancel()
	if w.tickets, w.err = w.core.TicketCounts(ctx); w.err == nil {
		w.outbox, w.err = w.core.Webhooks.Counts(ctx)
	}
}
