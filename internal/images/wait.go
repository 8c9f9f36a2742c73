package images

import (
	"calotype/internal/errs"
	"calotype/internal/sqldb"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// MaxWait bounds how long WaitImage waits.
	MaxWait = time.Minute

	waitPoll     = time.Second
	waitPollTime = 10 * time.Second // for one poll to be answered
)

// WaitImage returns an image as soon as it is a draft no more, or as the draft that it still is
// after a time, or when the server ends. ImageNotFound when there is none, or no more; Busy when
// too many wait; Aborted when ctx ends.
func (s *Service) WaitImage(
	ctx context.Context, account, id string, atMost time.Duration,
) (Image, error) {
	img, err := s.Image(ctx, account, id)
	if err != nil || !img.Draft {
		return img, err
	}
	lease, err := s.shares.waits.TryAcquire(1, account)
	if err != nil {
		return Image{}, errs.AtCapacity("Too many requests wait for uploads", err)
	}
	defer lease.Release()
	done := s.waits.enter(s, img.Key)
	if done == nil { // the server ends
		return img, nil
	}
	defer s.waits.leave(img.Key, done)
	timeout := time.NewTimer(atMost)
	defer timeout.Stop()
	select {
	case <-done:
	case <-timeout.C:
	case <-ctx.Done():
		return Image{}, errs.Errorf(errs.Aborted, "The request was aborted by the client")
	}
	// By its key: an edit may have given it another id meanwhile.
	img, err = s.imageOfKey(ctx, img.Key)
	if errors.Is(err, sql.ErrNoRows) {
		err = errs.Errorf(errs.ImageNotFound, "Image not found")
	}
	return img, err
}

// waits are those who wait for drafts. While there are any, one goroutine asks the database once a
// second about all of them.
type waits struct {
	mu      sync.Mutex
	closed  bool
	polling bool
	polls   int                // so far
	of      map[string]*waited // by the image's key
}

type waited struct {
	done   chan struct{} // closed when it is a draft no more, or the server ends
	askers int
}

// enter joins those who wait for a draft. The caller must leave with what it got, which is nil when
// nobody waits any more.
func (w *waits) enter(s *Service, key string) (done chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil
	}
	if w.of == nil {
		w.of = map[string]*waited{}
	}
	if w.of[key] == nil {
		w.of[key] = &waited{done: make(chan struct{})}
	}
	w.of[key].askers++
	if !w.polling {
		w.polling = true
		s.work.Go(func() { w.poll(s) })
	}
	return w.of[key].done
}

func (w *waits) leave(key string, done chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	// Else it is done with, and others may wait under the same key again.
	if at := w.of[key]; at != nil && at.done == done {
		if at.askers--; at.askers == 0 {
			delete(w.of, key)
		}
	}
}

// close sends all who wait away, and lets nobody in any more.
func (w *waits) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for key := range w.of {
		w.end(key)
	}
}

// end wakes those who wait for a draft. The caller holds the lock.
func (w *waits) end(key string) {
	close(w.of[key].done)
	delete(w.of, key)
}

// poll asks until nobody waits any more.
func (w *waits) poll(s *Service) {
	tick := time.NewTicker(waitPoll)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-s.closing.Done():
		}
		keys := w.keys()
		if keys == nil {
			return
		}
		drafts, err := s.stillDrafts(keys)
		if err != nil {
			// Those who wait will meet it themselves, if it lasts.
			s.Log.Warn("asking for drafts that are waited for", "err", err)
			continue
		}
		w.mu.Lock()
		for _, key := range keys {
			if w.of[key] != nil && !drafts[key] {
				w.end(key)
			}
		}
		w.mu.Unlock()
	}
}

// keys returns what is waited for. When that is nothing, polling is over.
func (w *waits) keys() (keys []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for key := range w.of {
		keys = append(keys, key)
	}
	w.polling = keys != nil
	if w.polling {
		w.polls++
	}
	return keys
}

// stillDrafts returns which of the keys are drafts.
func (s *Service) stillDrafts(keys []string) (map[string]bool, error) {
	ctx, cancel := context.WithTimeout(s.closing, waitPollTime)
	defer cancel()
	args, marks := make([]any, len(keys)), make([]string, len(keys))
	for i, key := range keys {
		args[i], marks[i] = key, "?"+strconv.Itoa(i+1)
	}
	rows, err := s.DB.Query(ctx, `SELECT key FROM images
		WHERE draft = 1 AND key IN (`+strings.Join(marks, ",")+`)`, args...)
	if err != nil {
		return nil, fmt.Errorf("asking which images are drafts: %w", err)
	}
	found, err := sqldb.Collect(rows, sqldb.ScanText)
	drafts := make(map[string]bool, len(found))
	for _, key := range found {
		drafts[key] = true
	}
	return drafts, err
}
