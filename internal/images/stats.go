package images

import (
	"context"
	"fmt"
	"sync/atomic"

	"calotype/internal/disk"
	"calotype/internal/errs"
	"calotype/internal/sqldb"
)

// Stats are the counters of a Service since its creation, and its present state. Sizes are bytes.
type Stats struct {
	Accepted int64               // uploads that were answered with an image, including repeats
	Repeats  int64               // repeated answers to the same Idempotency-Key, a part of Accepted
	Refused  map[errs.Kind]int64 // refused uploads, by the kind of the refusal

	SpoolReserved, SpoolLimit       int64 // bytes that uploads in progress have reserved
	DiskFree, DiskSize, DiskReserve int64 // of the file system of Dir

	Database []sqldb.PoolStats
}

// The stages for which a Service calls its Timer, in addition to those of the render.Pool.
const (
	StageSpool  = "spool"  // the body of an upload is received
	StageStore  = "store"  // the original of an upload is stored in the blob store
	StageCommit = "commit" // the row of an upload is committed
)

// counters are the counters in Stats.
type counters struct {
	accepted, repeats atomic.Int64
	refused           [errs.KindCount]atomic.Int64
}

// CountUpload counts an upload by its result: err is the refusal for the client, nil for an image. The surfaces call
// it, because many uploads are refused before an Upload begins. account is "" if the draft was not found.
func (s *Service) CountUpload(account string, err error) {
	outcome := outcomeAccepted
	if err == nil {
		s.counters.accepted.Add(1)
	} else {
		kind := errs.AsError(err).Kind
		outcome = kind.String()
		s.counters.refused[kind].Add(1)
	}
	if s.config.CountUpload != nil {
		s.config.CountUpload(account, outcome)
	}
}

// outcomeAccepted is the outcome of an upload that became an image.
const outcomeAccepted = "accepted"

// Stats returns the counters and sizes of a started Service. The error has no Kind.
func (s *Service) Stats() (Stats, error) {
	c := &s.counters
	stats := Stats{
		Repeats: c.repeats.Load(), Refused: map[errs.Kind]int64{},
		SpoolReserved: s.shares.spool.Stats().Used, SpoolLimit: s.config.SpoolBytes,
		DiskReserve: s.disk.Reserve, Database: s.db.Stats(),
	}
	stats.Accepted = c.accepted.Load()
	for kind := range c.refused {
		stats.Refused[errs.Kind(kind)] = c.refused[kind].Load()
	}
	var err error
	stats.DiskFree, stats.DiskSize, err = disk.Space(s.config.Dir)
	return stats, err
}

// TicketCounts are the tickets of all accounts by state, each at most MaxCounted.
type TicketCounts struct {
	Open    int64 // wait for an upload
	Refused int64 // invalid after too many refusals
	Expired int64 // not deleted yet
}

// MaxCounted limits the counting of tickets, which each scrape of the metrics repeats.
const MaxCounted = 100_000

// TicketCounts returns the present numbers of tickets. The error has no Kind.
func (s *Service) TicketCounts(ctx context.Context) (TicketCounts, error) {
	var c TicketCounts
	now := sqldb.Micros(s.now())
	err := s.db.QueryRow(ctx, `SELECT COUNT(*),
		COALESCE(SUM(CASE WHEN refusals >= ?3 THEN 1 ELSE 0 END), 0)
		FROM (SELECT refusals FROM images WHERE draft = 1 AND open IN (0, 1) AND expires >= ?1
			AND used < uses LIMIT ?2) AS alive`,
		now, MaxCounted, maxRefusals).Scan(&c.Open, &c.Refused)
	if err != nil {
		return c, fmt.Errorf("counting tickets: %w", err)
	}
	c.Open -= c.Refused
	err = s.db.QueryRow(ctx, `SELECT COUNT(*)
		FROM (SELECT key FROM images WHERE draft = 1 AND open IN (0, 1) AND expires < ?1 LIMIT ?2) AS gone`,
		now, MaxCounted).Scan(&c.Expired)
	if err != nil {
		return c, fmt.Errorf("counting expired tickets: %w", err)
	}
	return c, nil
}
