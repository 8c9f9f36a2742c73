// Package images is the core: it owns the nouns of Calotype, their rules and their SQL. Each noun
// has a file: its type, then its rules, then its statements.
//
// A picture's life: CreateDraft makes a draft, an image that still waits for its bytes, with a
// ticket, the secret of its one-time upload URL. BeginUpload finds the draft by the ticket and
// spools the body. Finish has a worker decode it, stores the original in the blob store, and then
// claims the ticket: one UPDATE turns the draft into an image. Resolve finds what a delivery URL
// names, and Rendition makes the original into what is served, once.
//
// Two rules hold everywhere. Bytes first, row last: the database is the only truth, so a row never
// points at a missing blob, and what a crash leaves behind is an orphan for the sweep. And nobody
// is answered, told or dropped from a cache before COMMIT returned.
package images

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"calotype/internal/batch"
	"calotype/internal/blob"
	"calotype/internal/limit"
	"calotype/internal/outbound"
	"calotype/internal/render"
	"calotype/internal/sqldb"
)

//go:embed schema/*.sql
var schemaFiles embed.FS

// Config is what a Service needs. DB is enough for accounts and tokens; Blobs for the sweep; the
// rest for uploads and deliveries.
type Config struct {
	DB     *sqldb.DB
	Blobs  blob.Store
	Render *render.Pool
	Dir    string // of the spool and the rendition cache; no other process may use it
	// Outbound fetches what clients name by URL; nil for one that reaches public addresses only.
	Outbound *outbound.Client

	MaxUploadBytes int64 // of one original; 0 for 10 MiB
	SpoolBytes     int64 // of all bodies being received; 0 for 4 GiB; at least LeastSpool
	CacheBytes     int64 // of the rendition cache; 0 for 10 GiB
	DiskReserve    int64 // bytes of the disk that stay free; 0 for the larger of 1 GiB and 5 %

	MissRate int // renditions a second that a client's address may have made; 0 for any number

	EventRetention time.Duration // of events, told or not; 0 for 30 days
	RebuildAt      time.Duration // since midnight UTC: when SQLite is rebuilt after erasures

	Now   func() time.Time
	Log   *slog.Logger
	Timer render.Timer // of the stages named Stage...; nil for none
}

// Service is the core.
type Service struct {
	Config
	shares     shares
	space      func(dir string) (free, all int64, err error) // diskSpace
	disk       diskState
	room       sync.Mutex // held while a file reserves bytes of the disk
	spool      *spool     // of bodies being received
	fetched    *spool     // of originals fetched from a remote store, to be rendered
	renditions *renditionCache
	makers     makers
	misses     misses
	gates      gates
	waits      waits
	outbox     outbox
	replays    *limit.Rates // deliveries that accounts have replayed
	drafts     *batch.Group[*pendingDraft]
	resolved   resolveCache
	counters   counters
	follower   follower
	scrubber   scrubber
	work       sync.WaitGroup // of goroutines that outlive their asker
	maxLooked  int            // rows that a page of a list looks at
	listRows   int            // rows that a list reads at once
	closing    context.Context
	close      context.CancelFunc
}

// New returns a Service on a migrated database, fit for what needs no disk of its own: Start makes
// it fit for uploads and deliveries.
func New(c Config) *Service {
	setDefault(&c.MaxUploadBytes, 10<<20)
	setDefault(&c.SpoolBytes, 4<<30)
	setDefault(&c.CacheBytes, 10<<30)
	if c.EventRetention == 0 {
		c.EventRetention = 30 * 24 * time.Hour
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Outbound == nil {
		c.Outbound = outbound.New(outbound.Config{})
	}
	s := &Service{Config: c, maxLooked: maxLooked, listRows: listRows,
		outbox: outbox{make(chan struct{}, 1)}, shares: newShares(c.SpoolBytes), space: diskSpace,
		misses:  newMisses(c.MissRate),
		replays: limit.NewRates(MaxReplays, ReplayWindow, replayAccounts)}
	s.gates.pool = s.shares.tickets
	s.drafts = batch.New(batch.Config{Max: draftsTogether, Wait: draftWait, Queue: s.shares.drafts},
		s.commitDrafts)
	s.makers.pool = s.shares.makings
	s.closing, s.close = context.WithCancel(context.Background())
	return s
}

func setDefault(n *int64, value int64) {
	if *n == 0 {
		*n = value
	}
}

// Migrate brings the database's schema up to date.
func Migrate(ctx context.Context, db *sqldb.DB) error {
	files, err := fs.Sub(schemaFiles, "schema")
	if err != nil {
		return fmt.Errorf("images: reading the schema: %w", err)
	}
	return db.Migrate(ctx, files)
}

// checkSchema refuses a SQLite database that has more, or other, than the schema of its version. It
// makes and removes a folder in dir.
func checkSchema(ctx context.Context, db *sqldb.DB, dir string) error {
	files, err := fs.Sub(schemaFiles, "schema")
	if err != nil {
		return fmt.Errorf("images: reading the schema: %w", err)
	}
	return db.CheckSchema(ctx, files, dir)
}

// schemaOf returns the schema that the database has, and the one that this program writes.
func schemaOf(ctx context.Context, db *sqldb.DB) (database, program int64, err error) {
	files, err := fs.Sub(schemaFiles, "schema")
	if err != nil {
		return 0, 0, fmt.Errorf("images: reading the schema: %w", err)
	}
	return db.Schema(ctx, files)
}

// Start checks that the blob store is ours, empties the spool and reads the rendition cache.
func (s *Service) Start(ctx context.Context) error {
	var err error
	if s.DiskReserve == 0 {
		if s.DiskReserve, err = defaultDiskReserve(s.Dir); err != nil {
			return err
		}
	}
	if s.spool, err = openSpool(filepath.Join(s.Dir, "spool"), s.shares.spool); err != nil {
		return err
	}
	s.fetched, err = openSpool(filepath.Join(s.Dir, "fetched"), s.shares.fetched)
	if err != nil {
		return err
	}
	s.renditions, err = openRenditionCache(filepath.Join(s.Dir, renditionsDir), s.CacheBytes)
	if err != nil {
		return err
	}
	if err := s.beginToFollow(); err != nil {
		return err
	}
	if err := s.makeBallast(ctx); err != nil {
		return err
	}
	s.scrubber.due.Store(true) // a process that was killed may have deleted something
	return s.checkInstallation(ctx, true)
}

// Close ends what still runs on nobody's behalf, and waits for it. Nothing new begins.
func (s *Service) Close() {
	s.makers.close()
	s.waits.close()
	s.close()
	s.work.Wait()
}

// newKey returns a fresh random name, 26 characters of [a-z2-7].
func newKey() string { return lower(rand.Text()) }

func hashHex(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}
