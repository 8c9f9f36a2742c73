package images

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"calotype/internal/errs"
	"calotype/internal/sqldb"
)

const (
	// followedFile in the folder of a Service holds the time up to which its node has applied deletions.
	followedFile = "deletions-followed"
	// followWindow is the time before the followed time that is read in each run, because of long transactions,
	// renditions in progress and different clocks.
	followWindow = 10 * time.Minute
	followedKept = 100_000 // stored keys of the window
)

// A follower applies the deletions of other nodes to this node's renditions and uploads.
type follower struct {
	upTo    time.Time
	written time.Time        // the time in the file
	done    map[string]int64 // by the image's key: when it was deleted, in the window
}

// beginToFollow reads the time up to which this node has applied deletions. If later tombstones may be deleted
// already, it empties the rendition cache, which may hold renditions of deleted images.
func (s *Service) beginToFollow() error {
	path := filepath.Join(s.config.Dir, followedFile)
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reading up to when deletions were followed: %w", err)
	}
	us, _ := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	now := s.now()
	s.follower = follower{upTo: sqldb.FromMicros(us), written: sqldb.FromMicros(us), done: map[string]int64{}}
	if now.Sub(s.follower.upTo) > deletionsKept-followWindow-time.Hour {
		if dropped := s.cache.Shrink(math.MaxInt64); dropped > 0 {
			s.log.Info("emptied the rendition cache: the deletions since its last use are not known",
				"bytes", dropped)
		}
		s.follower.upTo = now
	}
	return s.writeFollowed()
}

// writeFollowed writes the file. After a power loss, or on a full disk, it may be too old or empty; then some
// deletions are applied again.
func (s *Service) writeFollowed() error {
	path := filepath.Join(s.config.Dir, followedFile)
	text := strconv.FormatInt(sqldb.Micros(s.follower.upTo), 10) + "\n"
	err := os.WriteFile(path+".new", []byte(text), 0o600)
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if errs.IsNoSpace(err) {
		s.log.Warn("the time of the last applied deletion could not be written", "err", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("writing up to when deletions were followed: %w", err)
	}
	s.follower.written = s.follower.upTo
	return nil
}

// followDeletions deletes the renditions of images that any node has deleted, and ends uploads on this node for
// deleted drafts.
func (s *Service) followDeletions(ctx context.Context) error {
	began, f := s.now(), &s.follower
	from := sqldb.Micros(f.upTo.Add(-followWindow))
	for key, deleted := range f.done {
		if deleted < from {
			delete(f.done, key)
		}
	}
	for deleted, key := from, ""; ; {
		page, err := s.deletionsAfter(ctx, deleted, key)
		if err != nil {
			return err
		}
		for _, d := range page {
			deleted, key = d.deleted, d.key
			if err := s.follow(d); err != nil {
				return err
			}
		}
		if len(page) < originalsPage {
			break
		}
	}
	f.upTo = began
	if f.upTo.Sub(f.written) < time.Minute {
		return nil
	}
	return s.writeFollowed()
}

func (s *Service) follow(d deletion) error {
	if _, done := s.follower.done[d.key]; done {
		return nil
	}
	s.bodies.Cancel(d.key)
	s.Partials.Cancel(d.key)
	if d.renditions != "" {
		if _, err := s.cache.RemovePrefix(d.renditions); err != nil {
			return err
		}
	}
	if len(s.follower.done) >= followedKept {
		clear(s.follower.done) // some deletions are applied again
	}
	s.follower.done[d.key] = d.deleted
	return nil
}

// A deletion is a tombstone that nodes read.
type deletion struct {
	key, renditions string
	deleted         int64
}

// deletionsAfter returns a page of deletions in the order of their time.
func (s *Service) deletionsAfter(
	ctx context.Context, deleted int64, key string,
) ([]deletion, error) {
	page, err := sqldb.Select(s.db.Reader(ctx), func(r sqldb.Row) (d deletion, err error) {
		err = r.Scan(&d.key, &d.renditions, &d.deleted)
		return d, err
	}, `SELECT key, renditions, deleted FROM tombstones
		WHERE (deleted, key) > (?1, ?2) ORDER BY deleted, key LIMIT ?3`, deleted, key, originalsPage)
	if err != nil {
		return nil, fmt.Errorf("reading deletions: %w", err)
	}
	return page, nil
}
