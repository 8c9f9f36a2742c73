package images

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"calotype/internal/errs"
	"calotype/internal/sqldb"
)

const (
	// MaxWait limits the wait of WaitImage.
	MaxWait = time.Minute

	waitPoll     = time.Second
	waitPollTime = 10 * time.Second // limit of one poll
)

// WaitImage returns an image as soon as the draft has become one. After a time, or at the end of the server,
// it returns the draft. Errors: ImageNotFound, also if it is deleted during the wait; Busy if too many calls
// wait; Aborted if ctx ends.
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
	if done == nil { // the server is shutting down
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
	// By its key: an edit may have given it another id.
	img, err = s.imageOfKey(ctx, img.Key)
	if errors.Is(err, sql.ErrNoRows) {
		err = errs.Errorf(errs.ImageNotFound, "Image not found")
	}
	return img, err
}

// waits holds the calls that wait for drafts. While there are any, one goroutine reads the drafts from
// the database once a second.
type waits struct {
	mu      sync.Mutex
	closed  bool
	polling bool
	polls   int                // so far
	of      map[string]*waited // by the image's key
}

type waited struct {
	done   chan struct{} // closed when it is no longer a draft, or the server shuts down
	askers int
}

// enter adds a call that waits for a draft. The caller must call leave with the result, which is nil when
// ended: no upload waits for the ticket.
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
	// Otherwise the wait has ended, and later calls may wait for the same key.
	if at := w.of[key]; at != nil && at.done == done {
		if at.askers--; at.askers == 0 {
			delete(w.of, key)
		}
	}
}

// close ends all waits, and refuses new ones.
func (w *waits) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for key := range w.of {
		w.end(key)
	}
}

// end ends the waits for a draft. The caller has locked mu.
func (w *waits) end(key string) {
	close(w.of[key].done)
	delete(w.of, key)
}

// poll reads the drafts until no call waits.
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
			// The waiting calls get the error themselves if it lasts.
			s.log.Warn("reading the awaited drafts failed", "err", err)
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

// keys returns the awaited keys. Without any, it ends the polling.
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

// stillDrafts returns the keys that are still drafts.
func (s *Service) stillDrafts(keys []string) (map[string]bool, error) {
	ctx, cancel := context.WithTimeout(s.closing, waitPollTime)
	defer cancel()
	args, marks := make([]any, len(keys)), make([]string, len(keys))
	for i, key := range keys {
		args[i], marks[i] = key, "?"+strconv.Itoa(i+1)
	}
	rows, err := s.db.Query(ctx, `SELECT key FROM images
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
