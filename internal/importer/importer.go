// Package importer moves an account in: from Cloudflare Images, or from another Calotype. It reads
// the source's API, a page of its list after the other, and has the core take each picture by the
// way of an upload: spool, worker, blob store, and one transaction at the end.
//
// Nothing is kept of how far it came. What is here already is seen by the rows of this database, a
// page of the list by one query, so a run that was killed is run again and does what is left. The
// list is read anew until a reading has nothing to do: so the last one is the proof that all is
// here, and what was uploaded to or deleted from the source meanwhile is no case of its own.
package importer

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"calotype/internal/errs"
	"calotype/internal/images"
)

const (
	rounds = 3
	// failuresInARow are taken for the end of the source.
	failuresInARow = 20
)

// Config is what an import needs.
type Config struct {
	Core    *images.Service // started
	Account images.Account  // that everything goes to
	Source  Source
	HTTP    *http.Client // must not follow redirects: they could lead the token astray

	Rate     float64       // requests a second; 0 for no bound
	Parallel int           // pictures fetched at once; at least 1
	Backoff  time.Duration // before a request is repeated; 0 for a second
	Update   bool          // bring over what the source has changed of what is here already
	NoKeys   bool          // leave the signing keys at the source

	// Progress is called with a line now and then, never by two goroutines at once.
	Progress func(line string)
	Every    time.Duration // between two lines of progress; 0 for 10 s
}

// ErrIncomplete says that images of the source are missing here which another run may bring.
var ErrIncomplete = errors.New("importer: not all could be brought; run it again")

// ErrNotAllKept says that all was brought but for what the report lists: another run changes nothing.
var ErrNotAllKept = errors.New("importer: all was brought but for what the report lists")

// A run is one import.
type run struct {
	Config
	source  *source
	report  *report
	round   int
	began   time.Time // erasures since then count
	known   *known
	failing atomic.Int32 // images that failed since one succeeded
}

// Run imports variants, configuration, signing keys and images. The report is of use with an error
// too, which is ErrIncomplete, ErrNotAllKept, or what has stopped it.
func Run(ctx context.Context, c Config) (Report, error) {
	if c.Backoff == 0 {
		c.Backoff = time.Second
	}
	if c.Every == 0 {
		c.Every = 10 * time.Second
	}
	from, err := newSource(c)
	if err != nil {
		return Report{}, err
	}
	r := &run{Config: c, source: from, report: newReport(c), began: c.Core.Now(), known: newKnown()}
	ticking, stop := context.WithCancel(ctx)
	ticked := make(chan struct{})
	go func() {
		defer close(ticked)
		r.tick(ticking)
	}()
	err = r.settings(ctx)
	if err == nil {
		err = r.images(ctx)
	}
	stop()
	<-ticked
	done := r.report.finish(err == nil)
	r.Progress(done.String())
	switch {
	case err != nil:
		return done, fmt.Errorf("the import has stopped, run it again: %w", err)
	case done.Images.Failed > 0:
		return done, ErrIncomplete
	case len(done.Problems) > 0:
		return done, ErrNotAllKept
	}
	return done, nil
}

// tick tells the progress until ctx ends.
func (r *run) tick(ctx context.Context) {
	ticker := time.NewTicker(r.Every)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			r.Progress(r.report.snapshot().String())
		case <-ctx.Done():
			return
		}
	}
}

// images reads the list until nothing is left to do.
func (r *run) images(ctx context.Context) error {
	for r.round = 1; r.round <= rounds; r.round++ {
		r.report.begin(r.round)
		busy, err := r.walk(ctx)
		if err != nil || !busy {
			return err
		}
	}
	return nil
}

// walk reads the list once and brings what is missing. busy says that there was something.
func (r *run) walk(ctx context.Context) (busy bool, err error) {
	walk := newPages()
	for token := ""; ; {
		p, err := r.source.list(ctx, token)
		if err != nil {
			return busy, err
		}
		if token, err = walk.next(p); err != nil {
			return busy, err
		}
		worked, err := r.page(ctx, p.Images)
		busy = busy || worked
		if err != nil || token == "" {
			return busy, err
		}
	}
}

// page brings what is missing of a page of the list.
func (r *run) page(ctx context.Context, listed []sourceImage) (busy bool, err error) {
	wanted := make([]images.ImportedImage, 0, len(listed))
	ids := make([]string, 0, len(listed))
	for _, l := range listed {
		r.seeHash(l)
		if l.Draft {
			continue // Cloudflare lists none
		}
		i, lost, err := l.imported().Adapted()
		switch {
		case err != nil:
			r.report.refuse(i.ID, err)
			continue
		case r.report.refused(i.ID):
			continue // in an earlier round, for its content
		case len(lost) > 0:
			r.report.lose(i.ID, lost)
		}
		wanted, ids = append(wanted, i), append(ids, i.ID)
	}
	here, err := r.Core.ImagesNamed(ctx, r.Account.ID, ids)
	if err != nil {
		return false, err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(max(r.Parallel, 1))
	for _, i := range wanted {
		img, found := here[i.ID]
		// Of a draft the insertion knows whether it still waits for its upload.
		if found && !img.Draft && r.isHere(i, img) {
			r.known.add(i.ID)
			continue
		}
		if !found && r.known.has(i.ID) {
			continue // deleted since this run saw it here: that is not to be undone
		}
		busy = true
		group.Go(func() error {
			if found && !img.Draft {
				return r.update(ctx, i)
			}
			return r.bring(ctx, i)
		})
		if ctx.Err() != nil {
			break
		}
	}
	return busy, group.Wait()
}

// isHere reports whether there is nothing to do for an image that is here.
func (r *run) isHere(i images.ImportedImage, img images.Image) bool {
	fields := i.Differs(img)
	switch {
	case len(fields) == 0:
		r.report.have(i.ID)
		return true
	case fields[0] == "sha256" || fields[0] == "uploaded":
		r.report.differ(i.ID, "here is another picture of this id: delete one of them", fields)
		return true
	case !r.Update:
		r.report.differ(i.ID, "it was changed here or there since it was brought: "+
			"-update takes the source's fields", fields)
		return true
	}
	return false
}

// seeHash notes once whether old URLs will lead here.
func (r *run) seeHash(i sourceImage) {
	hash := i.hash()
	if hash == "" || !r.report.sawHash(hash) || hash == r.Account.Hash {
		return
	}
	note := fmt.Sprintf("delivery URLs of the source begin with the hash %s, here with %s: old "+
		"URLs and signatures will not be valid. For that the server's first start must have "+
		"-account-hash=%s", hash, r.Account.Hash, hash)
	r.report.note(note)
	r.Progress("warning: " + note)
}

// bring imports one image. The error is one that stops all.
func (r *run) bring(ctx context.Context, i images.ImportedImage) error {
	var size int64
	err := r.source.retry(ctx, func() (err error) {
		size, err = r.attempt(ctx, i)
		return err
	})
	if err == nil {
		r.failing.Store(0)
		r.known.add(i.ID)
		r.report.bring(i, size)
		return nil
	}
	return r.judge(ctx, i.ID, err)
}

// attempt fetches and imports an image once.
func (r *run) attempt(ctx context.Context, i images.ImportedImage) (size int64, err error) {
	most := int64(-1)
	if i.Size > 0 {
		most = i.Size
	}
	if most > r.Core.MaxUploadBytes {
		return 0, images.FileTooLarge(r.Core.MaxUploadBytes)
	}
	u, err := r.Core.BeginImport(r.Account.ID, most, r.began)
	if err != nil {
		return 0, err
	}
	defer u.Close()
	if size, err = r.source.blob(ctx, i.ID, u); err != nil {
		return 0, err
	}
	_, err = u.Import(ctx, i)
	return size, err
}

// update takes the source's fields.
func (r *run) update(ctx context.Context, i images.ImportedImage) error {
	err := r.Core.UpdateImported(ctx, r.Account.ID, i)
	if err == nil {
		r.report.update(i.ID)
		return nil
	}
	return r.judge(ctx, i.ID, err)
}

// judge says what an error means: for its image, or for all.
func (r *run) judge(ctx context.Context, id string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	answer, refusal := new(statusError), new(errs.Error)
	switch {
	case errors.As(err, &answer):
		if answer.forbids() {
			return err
		}
	case errors.Is(err, images.ErrErased):
		r.report.refuse(id, err)
		return nil
	case errors.As(err, &refusal):
		switch refusal.Kind {
		case errs.Unsupported, errs.Undecodable, errs.OverLimits, errs.TooLarge,
			errs.Invalid, errs.InvalidID:
			r.failing.Store(0)
			r.report.refuse(id, err)
			return nil
		case errs.Exists, errs.ImageNotFound: // it was there or not a moment ago
			r.report.fail(id, err)
			return nil
		case errs.Busy:
		default:
			return err
		}
	case !errors.As(err, new(brokenError)) && !errors.Is(err, images.ErrIncomplete):
		return err
	}
	r.report.fail(id, err)
	if answer.status == http.StatusNotFound {
		return nil // deleted since it was listed, or the next round tells
	}
	if r.failing.Add(1) >= failuresInARow {
		return fmt.Errorf("%d images have failed in a row: %w", failuresInARow, err)
	}
	return nil
}

// known are the ids that a run has seen here, as hashes: there may be millions.
type known struct {
	mu   sync.Mutex
	seed maphash.Seed
	ids  map[uint64]struct{}
}

func newKnown() *known { return &known{seed: maphash.MakeSeed(), ids: map[uint64]struct{}{}} }

func (k *known) add(id string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ids[maphash.String(k.seed, id)] = struct{}{}
}

func (k *known) has(id string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, ok := k.ids[maphash.String(k.seed, id)]
	return ok
}
