// Package images is the top of the core: it owns images, drafts, variants and erasures, their rules and their SQL.
// Each noun has a file: its type, then its rules, then its statements. Below it package webhooks has the events,
// partials the resumable uploads, purges those of caches in front, receipts the receipts, lookalikes blocked pictures,
// qualities the qualities that were found for renditions, and accounts the accounts and the transactions; New makes the
// services of all.
//
// The life of a picture: CreateDraft creates a draft, an image that waits for its upload, with a ticket,
// the secret of its one-time upload URL. BeginUpload looks up the draft by the ticket and spools the body.
// Finish has a worker decode the body, stores the original in the blob store, and then redeems the ticket:
// one UPDATE turns the draft into an image, or counts a use of a link. Package renditions, above this one, renders it
// for deliveries. Their cache is here, because deletions and erasures remove renditions from it.
//
// Two rules apply everywhere. Bytes first, row last: a row never refers to a missing blob, and a crash
// leaves at most an orphan for the sweep. And no request is answered, no webhook is sent and no cache entry
// is evicted before COMMIT has returned.
package images

import (
	"cmp"
	"context"
	"embed"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/batch"
	"calotype/internal/blob"
	"calotype/internal/bodylimit"
	"calotype/internal/disk"
	"calotype/internal/diskcache"
	"calotype/internal/limit"
	"calotype/internal/lookalikes"
	"calotype/internal/outbound"
	"calotype/internal/partials"
	"calotype/internal/purges"
	"calotype/internal/qualities"
	"calotype/internal/receipts"
	"calotype/internal/render"
	"calotype/internal/sqldb"
	"calotype/internal/webhooks"
)

//go:embed schema/*.sql
var schemaFiles embed.FS

// Config configures a Service. Accounts and tokens need DB only, the sweep also Blobs, uploads and
// deliveries all fields.
type Config struct {
	DB     *sqldb.DB
	Blobs  blob.Store
	Render *render.Pool
	Dir    string // of the spool and the rendition cache; no other process may use it
	// Outbound fetches the URLs of clients; nil for a client that connects to public addresses only.
	Outbound *outbound.Client

	MaxUploadBytes int64 // of one original; 0 for 10 MiB
	SpoolBytes     int64 // of all uploads in progress; 0 for 4 GiB; at least LeastSpool
	CacheBytes     int64 // of the rendition cache; 0 for 10 GiB
	DiskReserve    int64 // bytes of the disk that stay free; 0 for the larger of 1 GiB and 5 %

	Issuer string // of receipts: the base URL of the API

	EventRetention time.Duration // of events, delivered or not; 0 for 30 days
	RebuildAt      time.Duration // since midnight UTC: when SQLite is rebuilt after erasures

	Now   func() time.Time
	Log   *slog.Logger
	Timer render.Timer // of the stages named Stage...; nil for none
	// Uploaded gets each image after the commit of its upload. It must not block; nil for none.
	Uploaded func(Image)
	// CountUpload gets the outcome of each upload: "accepted", or the name of the kind of its refusal; nil for none.
	CountUpload func(account, outcome string)
}

// A Service is the core.
type Service struct {
	Accounts *accounts.Service
	Webhooks *webhooks.Service
	Receipts *receipts.Service
	Partials *partials.Service
	Purges   *purges.Service
	Blocked  *lookalikes.Service
	// Qualities are those that were found for quality=auto.
	Qualities *qualities.Service

	config       Config // with its defaults
	db           *sqldb.DB
	blobs        blob.Store
	now          func() time.Time
	log          *slog.Logger
	shares       shares
	disk         *disk.Disk
	spool        *disk.Spool      // of uploads in progress
	cache        *diskcache.Cache // of renditions
	generation   atomic.Int64
	bodies       *bodylimit.Limiter
	draftWaiters *limit.Poll
	drafts       *batch.Group[*pendingDraft]
	counters     counters
	follower     follower
	scrubber     scrubber
	work         sync.WaitGroup // of goroutines that outlive their request
}

// New returns a Service on a migrated database, for calls that need no local disk. Uploads and deliveries need
// Start first.
func New(c Config) *Service {
	c.MaxUploadBytes = cmp.Or(c.MaxUploadBytes, 10<<20)
	c.SpoolBytes = cmp.Or(c.SpoolBytes, 4<<30)
	c.CacheBytes = cmp.Or(c.CacheBytes, 10<<30)
	c.EventRetention = cmp.Or(c.EventRetention, 30*24*time.Hour)
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Outbound == nil {
		c.Outbound = outbound.New(outbound.Config{})
	}
	s := &Service{config: c, db: c.DB, blobs: c.Blobs, now: c.Now, log: c.Log,
		shares: newShares(c.SpoolBytes)}
	s.disk = &disk.Disk{Dir: c.Dir, Reserve: c.DiskReserve, Space: disk.Space, Log: c.Log,
		Evict: func(bytes int64) int64 { return s.Cache().Shrink(bytes) }}
	s.Accounts = accounts.New(c.DB, c.Now, accounts.Hooks{
		Created: func(tx *accounts.Change, account string) error {
			return insertVariant(tx, account, defaultVariant)
		},
		Invalidate: func() { s.generation.Add(1) },
		Purge: func(tx *accounts.Change, stale []accounts.Stale) error {
			return s.Purges.Record(tx, stale)
		},
		Scrub:      func() { s.scrubber.due.Store(true) },
		CheckSpace: s.CheckSpace,
		UseReserve: s.disk.UseReserve,
	})
	s.Purges = purges.New(purges.Config{DB: c.DB, Accounts: s.Accounts, Now: c.Now})
	s.Webhooks = webhooks.New(webhooks.Config{
		DB: c.DB, Accounts: s.Accounts, Retention: c.EventRetention, Replays: s.shares.replays,
		Variants: variantNames, Now: c.Now, Log: c.Log,
	})
	s.Receipts = receipts.New(receipts.Config{
		DB: c.DB, Accounts: s.Accounts, Issuer: c.Issuer, Now: c.Now, Log: c.Log,
	})
	s.Partials = partials.New(partials.Config{
		DB: c.DB, Accounts: s.Accounts, Blobs: c.Blobs, BlobKey: func() string { return blobKey(s.now()) },
		Background: func(fn func()) { s.work.Go(fn) },
		Bodies:     s.shares.bodies, Bytes: c.SpoolBytes, Now: c.Now, Log: c.Log,
	})
	s.Blocked = lookalikes.New(c.DB, s.Accounts, c.Now)
	s.Qualities = qualities.New(qualities.Config{DB: c.DB, Accounts: s.Accounts})
	s.bodies = bodylimit.New(maxRefusals, refusedTooOften)
	s.drafts = batch.New(batch.Config{Max: draftsTogether, Wait: draftWait, Queue: s.shares.drafts},
		s.commitDrafts)
	s.draftWaiters = s.newDraftWaiters()
	return s
}

// Now returns the time of the core's clock.
func (s *Service) Now() time.Time { return s.now() }

// MaxUploadBytes returns the largest size of an original, in bytes.
func (s *Service) MaxUploadBytes() int64 { return s.config.MaxUploadBytes }

// Disk returns the disk of the data folder.
func (s *Service) Disk() *disk.Disk { return s.disk }

// Generation returns a number that changes when a delivery may change: what was read before is not valid any longer.
func (s *Service) Generation() int64 { return s.generation.Load() }

// cacheDir is the folder of the cache of renditions in the folder of a Service.
const cacheDir = "renditions"

// Cache returns the cache of renditions. That of a Service that was not started has no entries, but can delete files.
func (s *Service) Cache() *diskcache.Cache {
	if s.cache != nil {
		return s.cache
	}
	return diskcache.New(filepath.Join(s.config.Dir, cacheDir), 0)
}

// LeastSpool returns the minimum of Config.SpoolBytes: a body for a one-time URL must fit into a quarter of the
// spool if there is no other upload.
func LeastSpool(maxUploadBytes int64) int64 { return 4 * maxUploadBytes }

// CheckSpace returns NoSpace while the disk is full.
func (s *Service) CheckSpace() error { return s.disk.CheckSpace() }

// MakeSpaceToStart frees the disk space that a start needs. No other process may use dir.
func MakeSpaceToStart(dir string, log *slog.Logger) error {
	return disk.MakeSpaceToStart(dir, cacheDir, log)
}

// schema returns the numbered files of the schema.
func schema() fs.FS {
	files, err := fs.Sub(schemaFiles, "schema")
	if err != nil {
		panic(err) // the name of the folder is not valid
	}
	return files
}

// Migrate migrates the database's schema to this program's version.
func Migrate(ctx context.Context, db *sqldb.DB) error {
	return db.Migrate(ctx, schema())
}

// CheckSchema refuses a SQLite database that differs from the schema of its version. It creates and
// deletes a folder in dir. Error: *sqldb.ForeignSchemaError.
func CheckSchema(ctx context.Context, db *sqldb.DB, dir string) error {
	return db.CheckSchema(ctx, schema(), dir)
}

// Schema returns the version of the database's schema, and the version that this program writes.
func Schema(ctx context.Context, db *sqldb.DB) (database, program int64, err error) {
	return db.Schema(ctx, schema())
}

// ReadSchema is Schema without a write: the version of a new database is 0.
func ReadSchema(ctx context.Context, db *sqldb.DB) (database, program int64, err error) {
	return db.ReadSchema(ctx, schema())
}

// HasRenditions reports whether a data folder has cached renditions, which a server evicts when the disk is full.
func HasRenditions(dir string) bool {
	entries, err := os.ReadDir(filepath.Join(dir, cacheDir))
	return err == nil && len(entries) > 0
}

// Start checks that the blob store belongs to the installation, empties the spool and reads the
// rendition cache.
func (s *Service) Start(ctx context.Context) error {
	var err error
	if s.spool, err = s.disk.OpenSpool("spool", s.shares.spool); err != nil {
		return err
	}
	parts, err := s.disk.OpenSpool("parts", s.shares.parts)
	if err == nil {
		err = s.Partials.Start(parts, s.config.Dir)
	}
	if err != nil {
		return err
	}
	s.cache, err = diskcache.Open(filepath.Join(s.config.Dir, cacheDir), s.config.CacheBytes)
	if err != nil {
		return err
	}
	if err := s.beginToFollow(); err != nil {
		return err
	}
	if err := s.disk.Start(); err != nil {
		return err
	}
	// A server starts on a full disk: see accounts.ChangeInReserve. Then the first key is made later.
	if err := s.Receipts.Rotate(ctx); err != nil && !sqldb.IsFull(err) {
		return err
	}
	s.scrubber.due.Store(true) // a killed process may have left deleted rows
	_, err = s.checkInstallation(ctx, true)
	return err
}

// Close stops background work, and waits for it to end. No new work begins.
func (s *Service) Close() {
	s.draftWaiters.Close()
	s.work.Wait()
}
