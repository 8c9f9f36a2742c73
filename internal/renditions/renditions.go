// Package renditions is what a delivery needs of the core: it resolves delivery URLs, and makes the renditions of
// images, and of pictures of other servers. It stands above package images, and has no SQL.
//
// Resolve returns the account, image, variant and keys of a URL, cached for a second. ResolveSource fetches a picture
// of another server instead. Rendition opens the rendition in the cache, by a key of everything that determines its
// bytes. If the cache lacks it, a worker renders it, once for all concurrent requests, within the limits of the account
// and of the client's address. StartEager has Uploaded render images before their first view.
//
// The cache itself belongs to package images, whose deletions and erasures remove renditions from it. After a rendering
// has inserted its file it reads the image's row again, because a concurrent deletion may have missed the file.
package renditions

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"calotype/internal/blob"
	"calotype/internal/disk"
	"calotype/internal/diskcache"
	"calotype/internal/images"
	"calotype/internal/limit"
	"calotype/internal/outbound"
	"calotype/internal/render"
)

// Config configures a Service. Core, Blobs and Render must be set.
type Config struct {
	Core   *images.Service
	Blobs  blob.Store // of the originals of Core
	Render *render.Pool
	// Outbound fetches pictures of other servers; nil for a client that connects to public addresses only.
	Outbound *outbound.Client
	Sources  outbound.Places // of pictures of other servers, which deliveries may transform

	FetchedBytes int64 // of originals of a remote store that are fetched at the same time; 0 for 1 GiB
	MissRate     int   // new renditions a second for a client's address; 0 for no limit
	SDR          bool  // renditions never have the gain map of their original

	Timer render.Timer // of the stages named Stage...; nil for none
	Log   *slog.Logger // nil for none
}

// The stages for which a Service calls its Timer, in addition to those of the render.Pool.
const (
	StageFetch  = "fetch"  // the original of a rendition is fetched from the blob store
	StageInsert = "insert" // the rendition is inserted into the cache
)

// The sizes of the pools that a node's accounts share, besides Config.FetchedBytes.
const (
	sourcesAtOnce = 64   // fetches of pictures that are transformed
	rendersAtOnce = 1024 // renderings, running or waiting for a worker
)

// A Service resolves delivery URLs and makes renditions. It is safe for concurrent use.
type Service struct {
	config  Config // with its defaults
	core    *images.Service
	cache   *diskcache.Cache // that of the core, from Start on
	misses  *limit.Rates     // new renditions, by a client's address; nil: no limit
	renders *renders

	fetchedPool *limit.Pool // bytes in the spool of fetched originals; by account
	fetched     *disk.Spool // of originals that are fetched from a remote store
	sourcePool  *limit.Pool // fetches of remote sources; by host, so that a slow one does not stop the others

	eager *eagerly // what is rendered right after an upload; nil: nothing

	resolved  resolveCache
	sources   sources
	qualities foundQualities

	hits, missed atomic.Int64 // look-ups in the cache

	work    sync.WaitGroup // of renderings, which outlive their request
	closing context.Context
	close   context.CancelFunc
}

// New returns a Service above a core. Start it after the core.
func New(c Config) *Service {
	if c.FetchedBytes == 0 {
		c.FetchedBytes = 1 << 30
	}
	if c.Outbound == nil {
		c.Outbound = outbound.New(outbound.Config{})
	}
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	s := &Service{
		config: c, core: c.Core,
		// Separate from the spool of uploads, so that renditions cannot starve uploads.
		fetchedPool: limit.NewFair("fetched_originals", c.FetchedBytes),
		sourcePool:  limit.NewFair("sources", sourcesAtOnce),
		misses:      newMisses(c.MissRate),
		renders:     newRenders(limit.NewFair("renditions_made", rendersAtOnce)),
	}
	s.closing, s.close = context.WithCancel(context.Background())
	return s
}

// Start opens the cache, and empties the spool of fetched originals. Call it after Start of the core, and before the
// first delivery.
func (s *Service) Start() (err error) {
	s.cache = s.core.Cache()
	s.fetched, err = s.core.Disk().OpenSpool("fetched", s.fetchedPool)
	return err
}

// Close stops the renderings, and waits for them to end. No new rendering begins. Close it before the core.
func (s *Service) Close() {
	s.renders.close()
	s.close()
	s.work.Wait()
}

// Pools returns the pools that the accounts share, for metrics.
func (s *Service) Pools() []*limit.Pool {
	pools := []*limit.Pool{s.fetchedPool, s.sourcePool, s.renders.pool}
	if s.eager != nil {
		pools = append(pools, s.eager.queue)
	}
	return pools
}

// Stats are the counters of the rendition cache since the creation of the Service, and its present state.
type Stats struct {
	Hits, Misses, Evictions int64
	Files                   int64
	Size, Limit             int64 // bytes, of whole blocks
	Eager                   EagerStats
}

// Stats returns the counters and sizes of the cache. The Service must be started.
func (s *Service) Stats() Stats {
	cache := s.cache.Stats()
	return Stats{Hits: s.hits.Load(), Misses: s.missed.Load(), Evictions: cache.Evictions,
		Files: cache.Files, Size: cache.Bytes, Limit: cache.Limit, Eager: s.eager.stats()}
}

// now returns the time of the core's clock.
func (s *Service) now() time.Time { return s.core.Now() }
