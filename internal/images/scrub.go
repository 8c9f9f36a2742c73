package images

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"calotype/internal/disk"
	"calotype/internal/sqldb"
)

// Scrubbing rids the database's files of what was deleted. Of plain deletions the write-ahead log is
// cut to nothing, within seconds. After erasures the database is rebuilt too, for which all writers
// wait: so it is done once a day, at RebuildAt, for all erasures that have ended before, and only if
// it is estimated to take no longer than rebuildTime. Else it waits for an operator, who calls
// ScrubNow. The receipt of an erasure says when: see rebuildDue.

const (
	// rebuildTime bounds the estimated time of a rebuild: a third of the time that a transaction waits.
	rebuildTime = 10 * time.Second
	// rebuildSpeed is the estimated speed in bytes a second, until this process has rebuilt once.
	rebuildSpeed = 64 << 20
	// rebuildRetry is the time before the retry of a rebuild that failed or had no space.
	rebuildRetry = time.Hour
	// rebuildWarn is the interval of the warning that an operator must rebuild.
	rebuildWarn = 24 * time.Hour
)

// A scrubber is the state of the scrubbing of a Service.
type scrubber struct {
	due      atomic.Bool  // something was deleted since the database was scrubbed
	rebuilds atomic.Int64 // since the start

	mu     sync.Mutex // held by a scrub; guards the rest
	speed  int64      // of the last rebuild, in bytes a second; 0: there was none
	notTil time.Time  // when a rebuild may be tried again
	warned time.Time
}

// rebuildDue returns the first time of day after a time at which the database may be rebuilt for the erasures until
// that time.
func (s *Service) rebuildDue(after time.Time) time.Time {
	day := after.UTC().Truncate(24 * time.Hour)
	due := day.Add(s.config.RebuildAt)
	if !due.After(after) {
		due = due.Add(24 * time.Hour)
	}
	return due
}

// scrub removes deleted rows from the database's files, and rebuilds the database if that is due. If a reader blocks
// the scrub, the next call retries it.
func (s *Service) scrub(ctx context.Context) error {
	s.scrubber.mu.Lock()
	defer s.scrubber.mu.Unlock()
	last := s.rebuildDue(s.now()).Add(-24 * time.Hour)
	// A rebuild that costs nothing needs no wait.
	size, err := s.db.RebuildSize(ctx)
	if err != nil {
		return err
	}
	if size == 0 {
		last = s.now().Add(time.Microsecond)
	}
	rebuild, err := s.erasedBefore(ctx, last)
	if err != nil {
		return err
	}
	if rebuild && size > 0 {
		if rebuild, err = s.mayRebuild(size); err != nil {
			return err
		}
	}
	return s.scrubAll(ctx, rebuild, size)
}

// ScrubNow removes all deleted rows from the database's files, for an operator. Writers wait until it returns. done
// is false if readers have blocked all attempts. Errors have no Kind.
func (s *Service) ScrubNow(ctx context.Context) (done bool, err error) {
	s.scrubber.mu.Lock()
	defer s.scrubber.mu.Unlock()
	size, err := s.db.RebuildSize(ctx)
	if err != nil {
		return false, err
	}
	rebuild, err := s.erasedBefore(ctx, s.now().Add(time.Microsecond))
	if err != nil {
		return false, err
	}
	s.scrubber.due.Store(true)
	for range 10 { // a reader may hold the log back
		if err := s.scrubAll(ctx, rebuild, size); err != nil {
			return false, err
		}
		if !s.scrubber.due.Load() {
			return true, nil
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
	return false, nil
}

// erasedBefore reports whether an erasure that ended before a time is not scrubbed yet.
func (s *Service) erasedBefore(ctx context.Context, before time.Time) (bool, error) {
	erased, err := sqldb.Exists(s.db.Reader(ctx), `erasures WHERE ended < ?1 AND scrubbed = 0`, sqldb.Micros(before))
	if err != nil {
		return false, fmt.Errorf("looking for erasures: %w", err)
	}
	return erased, nil
}

// mayRebuild reports whether a database of size bytes may be rebuilt without an operator's command. The caller
// has locked mu.
func (s *Service) mayRebuild(size int64) (bool, error) {
	b := &s.scrubber
	now := time.Now()
	if now.Before(b.notTil) {
		return false, nil
	}
	wait := func(why string, args ...any) (bool, error) {
		b.notTil = now.Add(rebuildRetry)
		if now.Sub(b.warned) >= rebuildWarn {
			b.warned = now
			s.log.Warn("the database is not rebuilt, so its files hold what was erased: run "+
				"calotype scrub. "+why, args...)
		}
		return false, nil
	}
	estimate := time.Duration(float64(size) / float64(cmp.Or(b.speed, rebuildSpeed)) * float64(time.Second))
	if estimate > rebuildTime {
		return wait("All writers would wait", "estimate", estimate, "bytes", size)
	}
	free, _, err := disk.Space(s.config.Dir)
	if err != nil {
		return false, err
	}
	if free-s.disk.Reserve < 2*size { // a copy, and the write-ahead log
		return wait("There is too little space on the disk", "free", free, "bytes", size)
	}
	return true, nil
}

// scrubAll rebuilds the database if rebuild is true, truncates its log if rows were deleted, and marks the receipts.
// The caller has locked mu.
func (s *Service) scrubAll(ctx context.Context, rebuild bool, size int64) error {
	b := &s.scrubber
	began := s.now()
	if !b.due.Swap(false) && !rebuild {
		return nil
	}
	if rebuild {
		start := time.Now()
		if err := s.db.Rebuild(ctx); err != nil {
			b.due.Store(true)
			b.notTil = start.Add(rebuildRetry)
			return err
		}
		if took := time.Since(start); size > 0 && took > 0 {
			b.rebuilds.Add(1)
			b.speed = max(1, int64(float64(size)/took.Seconds()))
			s.log.Info("rebuilt the database after erasures", "took", took, "bytes", size)
		}
	}
	done, err := s.db.Scrub(ctx)
	if err != nil || !done {
		b.due.Store(true)
		return err
	}
	if rebuild {
		_, err = s.Accounts.ExecInReserve(ctx, `UPDATE erasures SET scrubbed = 1 WHERE ended <= ?1`,
			sqldb.Micros(began))
	}
	return err
}
