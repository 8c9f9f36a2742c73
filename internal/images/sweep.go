package images

import (
	"context"
	"fmt"
	"strings"
	"time"

	"calotype/internal/blob"
	"calotype/internal/sqldb"
	"calotype/internal/text"
)

// The sweep's guard: more orphans than these indicate a mistake, not crashes.
const (
	sweepMaxOrphans = 1000
	sweepMaxPercent = 1
	orphanAge       = 24 * time.Hour
)

// SweepReport is the result of a sweep.
type SweepReport struct {
	Objects int // originals, and parts of resumable uploads, in the blob store
	Foreign int // objects with foreign keys; never deleted
	Orphans int // originals and parts that no row names, one to two days old or older

	OrphanBytes int64
	Time        time.Duration // expected for the deletion of the orphans; 0 unless it was a dry run

	Deleted int
	Held    bool // too many orphans: nothing was deleted

	Missing      int      // images whose original is missing or truncated; never deleted
	FirstMissing []string // the first few of them, each with its original's key
}

// SweepOptions are the options of a sweep.
type SweepOptions struct {
	Confirm bool // delete any number of orphans
	DryRun  bool // delete nothing
}

func (s *Service) sweepUnconfirmed(ctx context.Context) error {
	report, err := s.Sweep(ctx, SweepOptions{})
	if err != nil {
		return err
	}
	if report.Missing > 0 {
		s.log.Error("originals of images are missing or damaged: restore them from a backup, or delete the images",
			"images", report.Missing, "first", report.FirstMissing)
	}
	if report.Held {
		s.log.Warn("the sweep deleted nothing: this number of originals without a row indicates a "+
			"database that is not this store's newest. If they may go, run: calotype sweep --confirm",
			"orphans", report.Orphans, "objects", report.Objects)
	} else if report.Deleted > 0 {
		s.log.Info("swept orphaned originals", "deleted", report.Deleted, "objects", report.Objects)
	}
	return nil
}

// Sweep deletes originals without a row. An upload stores its original before its row, so Sweep skips
// originals younger than a day; the key holds the day. Above the guard's limits it deletes nothing
// unless confirmed. It also counts the images whose original is missing.
func (s *Service) Sweep(ctx context.Context, o SweepOptions) (SweepReport, error) {
	var report SweepReport
	// The store may have changed since the start.
	if _, err := s.Installation(ctx); err != nil {
		return report, err
	}
	orphans, err := s.compareStore(ctx, o, &report)
	if err != nil {
		return report, err
	}
	report.Held = !o.Confirm && (report.Orphans > sweepMaxOrphans ||
		report.Orphans*100 > report.Objects*sweepMaxPercent)
	if o.DryRun {
		report.Time, err = s.storeTime(ctx, orphans[:min(len(orphans), planSample)], report.Orphans)
		// A sweep deletes one after another.
		report.Time *= blob.DeletesAtOnce
		return report, err
	}
	if report.Held {
		return report, nil
	}
	for _, key := range orphans {
		deleted, err := s.deleteOrphan(ctx, key)
		if err != nil {
			return report, err
		}
		if deleted {
			report.Deleted++
		}
	}
	return report, nil
}

// compareStore compares the whole store with the rows, in both directions, and returns the orphans:
// at most a page more than the guard allows, which is enough, unless the sweep deletes all of them.
func (s *Service) compareStore(
	ctx context.Context, o SweepOptions, report *SweepReport,
) (orphans []string, err error) {
	missing := missingScan{s: s}
	for cursor := ""; ; {
		page, next, err := s.blobs.List(ctx, "", cursor)
		if err != nil {
			return nil, fmt.Errorf("listing the blob store: %w", err)
		}
		found, err := s.orphansIn(ctx, page, report)
		if err != nil {
			return nil, err
		}
		if err := missing.compare(ctx, page, next, report); err != nil {
			return nil, err
		}
		if o.Confirm || len(orphans) <= sweepMaxOrphans {
			orphans = append(orphans, found...)
		}
		if cursor = next; next == "" {
			return orphans, nil
		}
	}
}

// orphansIn returns the keys of a page that are old enough and have no row.
func (s *Service) orphansIn(
	ctx context.Context, page []blob.Info, report *SweepReport,
) ([]string, error) {
	var old []string
	sizes := map[string]int64{}
	for _, info := range page {
		if info.Key == blob.MarkKey {
			continue
		}
		born, ok := blobDayOf(info.Key)
		if !ok {
			report.Foreign++
			continue
		}
		report.Objects++
		// The key holds the day only: count from its end.
		if s.now().Sub(born.Add(24*time.Hour)) > orphanAge {
			old = append(old, info.Key)
			sizes[info.Key] = info.Size
		}
	}
	orphans, err := s.Orphans(ctx, old)
	report.Orphans += len(orphans)
	for _, key := range orphans {
		report.OrphanBytes += sizes[key]
	}
	return orphans, err
}

// Orphans returns those of the keys that have the form of an original's key and that no row names.
func (s *Service) Orphans(ctx context.Context, keys []string) (orphans []string, err error) {
	named, err := s.namedBlobs(ctx, keys)
	for _, key := range keys {
		if _, ours := blobDayOf(key); err == nil && ours && !named[key] {
			orphans = append(orphans, key)
		}
	}
	return orphans, err
}

// blobDayOf returns the day of an original's key; false if the key does not have our form.
func blobDayOf(key string) (time.Time, bool) {
	day, name, _ := strings.Cut(key, "/")
	born, err := time.Parse(blobDay, day)
	return born, err == nil && text.IsKey(name)
}

// namedBlobs returns the keys that rows name.
func (s *Service) namedBlobs(ctx context.Context, keys []string) (map[string]bool, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	these := sqldb.Placeholders(1, len(keys))
	named, err := sqldb.SelectMap[string, bool](s.db.Reader(ctx), `SELECT blob, TRUE FROM images
		WHERE blob IN (`+these+`) UNION ALL SELECT blob, TRUE FROM parts WHERE blob IN (`+these+`)`,
		sqldb.Args(keys)...)
	if err != nil {
		return nil, fmt.Errorf("looking up originals: %w", err)
	}
	return named, nil
}

// deleteOrphan checks for a row again before it deletes.
func (s *Service) deleteOrphan(ctx context.Context, key string) (bool, error) {
	orphans, err := s.Orphans(ctx, []string{key})
	if err != nil || len(orphans) == 0 {
		return false, err
	}
	if err := s.blobs.Delete(ctx, key); err != nil {
		return false, fmt.Errorf("deleting an orphan: %w", err)
	}
	return true, nil
}
