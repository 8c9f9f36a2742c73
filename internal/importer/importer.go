// Package importer imports an account from Cloudflare Images, or from another Calotype. It reads the
// list of the source's API page by page. The core imports each picture like an upload: spool, worker,
// blob store, and one transaction at the end.
//
// The importer stores no progress. It looks up existing images in the database, with one query for a page
// of the list, so a run that was killed can be repeated and does the rest. The list is read again until a
// reading finds nothing to do. So the last reading proves that everything is imported, and concurrent
// uploads and deletions at the source need no special handling.
package importer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"calotype/internal/accounts"
	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/terminal"
)

const (
	rounds = 3
	// failuresInARow is the number of consecutive failures that stops the import.
	failuresInARow = 20
)

// Config configures an import.
type Config struct {
	Core    *images.Service  // started
	Account accounts.Account // the target
	Source  Source
	HTTP    *http.Client // must not follow redirects, which could send the token to another host

	Rate     float64       // requests a second; 0 for no limit
	Parallel int           // pictures fetched at once; at least 1
	Backoff  time.Duration // before a request is repeated; 0 for a second
	Update   bool          // also update existing images that were changed at the source
	NoKeys   bool          // do not import signing keys
	MaxBytes int64         // of one original, for a plan without Core; 0 for 10 MiB

	Progress *terminal.Progress // counts images; nil for none
	Warn     func(line string)  // is called with what an operator must read now
}

// ErrIncomplete says that some images failed, and that another run may import them.
var ErrIncomplete = errors.New("importer: some images failed; run it again")

// ErrNotAllImported says that everything was imported except the problems in the report, and that another
// run changes nothing.
var ErrNotAllImported = errors.New("importer: everything was imported except the problems in the report")

// A run is one import.
type run struct {
	Config
	results
	source *source
	round  int
	began  time.Time // erasures after this time win over the import
	known  *known    // ids of images that are here
}

// results has the results of the images of an import.
type results struct {
	report  *report
	failing atomic.Int32 // images that failed since one succeeded
}

// Run imports variants, configuration, signing keys and images. The report is valid also with an error,
// which is ErrIncomplete, ErrNotAllImported, or the error that has stopped the import.
func Run(ctx context.Context, c Config) (Report, error) {
	c.Backoff = cmp.Or(c.Backoff, time.Second)
	from, err := newSource(c)
	if err != nil {
		return Report{}, err
	}
	r := &run{Config: c, source: from, began: c.Core.Now(), known: newKnown()}
	r.report = newReport(c.Source.API, c.Source.Account, c.Account)
	if err = r.settings(ctx); err == nil {
		err = r.images(ctx)
	}
	return r.end(err)
}

// end returns the report of an import that has ended with err, and its error.
func (r *results) end(err error) (Report, error) {
	done := r.report.finish(err == nil)
	switch {
	case err != nil:
		return done, fmt.Errorf("the import has stopped, run it again: %w", err)
	case done.Images.Failed > 0:
		return done, ErrIncomplete
	case len(done.Problems) > 0:
		return done, ErrNotAllImported
	}
	return done, nil
}

// images reads the list until a reading finds nothing to do.
func (r *run) images(ctx context.Context) error {
	total, err := r.source.count(ctx)
	if err != nil {
		return err
	}
	for r.round = 1; r.round <= rounds; r.round++ {
		r.report.begin(r.round)
		if r.round == 1 {
			r.Progress.Expect(total, 0)
		}
		busy, err := r.walk(ctx)
		if err != nil || !busy {
			return err
		}
	}
	return nil
}

// walk reads the list once and imports missing images. busy says that there was something to do.
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

// page imports the missing images of a page of the list.
func (r *run) page(ctx context.Context, listed []sourceImage) (busy bool, err error) {
	wanted := make([]images.ImportedImage, 0, len(listed))
	ids := make([]string, 0, len(listed))
	for _, l := range listed {
		r.checkHash(l)
		if l.Draft {
			continue // Cloudflare lists none
		}
		i, removed, err := l.imported().Adapted()
		switch {
		case err != nil:
			r.report.set(i.ID, Refused, errs.AsError(err).Msg)
			r.seen()
			continue
		case r.report.refused(i.ID):
			continue // in an earlier round, because of its content
		case len(removed) > 0:
			r.report.set(i.ID, Reduced, strings.Join(removed, "; "))
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
		// For a draft the insertion checks whether it still waits for its upload.
		if found && !img.Draft && r.isDone(i, img) {
			r.known.add(i.ID)
			r.seen()
			continue
		}
		if !found && r.known.has(i.ID) {
			continue // deleted here since this run found it: the import must not undo that
		}
		busy = true
		group.Go(func() error {
			defer r.seen()
			if found && !img.Draft {
				return r.update(ctx, i)
			}
			return r.importImage(ctx, i)
		})
		if ctx.Err() != nil {
			break
		}
	}
	return busy, group.Wait()
}

// seen counts an image of the first reading of the list.
func (r *run) seen() {
	if r.round == 1 {
		r.Progress.Add(1, 0)
	}
}

// isDone reports whether there is nothing to do for an existing image.
func (r *run) isDone(i images.ImportedImage, img images.Image) bool {
	fields, reason := i.Differs(img), ""
	switch {
	case len(fields) == 0:
		r.report.exists(i.ID)
		return true
	case fields[0] == "sha256" || fields[0] == "uploaded":
		reason = "a different picture has this id here: delete one of them"
	case !r.Update:
		reason = "it was changed here or there since its import: -update takes the source's fields"
	default:
		return false
	}
	r.report.set(i.ID, Differs, reason+" ("+strings.Join(fields, ", ")+")")
	return true
}

// checkHash notes once if the account hash of the source is another one.
func (r *run) checkHash(i sourceImage) {
	hash := i.hash()
	if hash == "" || !r.report.isNewHash(hash) || hash == r.Account.Hash {
		return
	}
	note := fmt.Sprintf("delivery URLs of the source begin with the hash %s, here with %s: old "+
		"URLs and signatures will not be valid. For that the server's first start must have "+
		"-account-hash=%s", hash, r.Account.Hash, hash)
	r.report.note(note)
	r.Warn("warning: " + note)
}

// importImage imports one image, and records the result. An error stops the import.
func (r *run) importImage(ctx context.Context, i images.ImportedImage) error {
	var size int64
	err := r.source.retry(ctx, func() (err error) {
		size, err = r.attempt(ctx, i)
		return err
	})
	if err == nil {
		r.failing.Store(0)
		r.known.add(i.ID)
		r.report.imported(i, size)
		return nil
	}
	return r.classifyError(ctx, i.ID, err)
}

// attempt fetches and imports an image once.
func (r *run) attempt(ctx context.Context, i images.ImportedImage) (size int64, err error) {
	most := int64(-1)
	if i.Size > 0 {
		most = i.Size
	}
	if most > r.Core.MaxUploadBytes() {
		return 0, images.FileTooLarge(r.Core.MaxUploadBytes())
	}
	u, err := r.Core.BeginImage(r.Account.ID, most)
	if err != nil {
		return 0, err
	}
	defer u.Close()
	if size, err = r.source.blob(ctx, i.ID, u); err != nil {
		return 0, err
	}
	_, err = u.Import(ctx, i, r.began)
	return size, err
}

// update updates an existing image from the source. An error stops the import.
func (r *run) update(ctx context.Context, i images.ImportedImage) error {
	err := r.Core.UpdateImported(ctx, r.Account.ID, i)
	if err == nil {
		r.report.update(i.ID)
		return nil
	}
	return r.classifyError(ctx, i.ID, err)
}

// classifyError records the error of one image and returns nil, or returns an error that stops the import.
func (r *results) classifyError(ctx context.Context, id string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	answer, refusal := new(statusError), new(errs.Error)
	switch {
	case errors.As(err, &answer):
		if answer.forbids() {
			return err
		}
	case errors.Is(err, errChanged):
		r.report.set(id, Failed, err.Error())
		return nil
	case errors.Is(err, images.ErrErased):
		r.report.set(id, Refused, errs.AsError(err).Msg)
		return nil
	case errors.As(err, &refusal):
		switch refusal.Kind {
		case errs.Unsupported, errs.Undecodable, errs.OverLimits, errs.TooLarge, errs.Blocked,
			errs.Invalid, errs.InvalidID:
			r.failing.Store(0)
			r.report.set(id, Refused, errs.AsError(err).Msg)
			return nil
		case errs.Exists, errs.ImageNotFound: // the image was created or deleted concurrently
			r.report.set(id, Failed, err.Error())
			return nil
		case errs.Busy:
		default:
			return err
		}
	case !errors.As(err, new(brokenError)) && !errors.Is(err, images.ErrIncomplete):
		return err
	}
	r.report.set(id, Failed, err.Error())
	if answer.status == http.StatusNotFound {
		return nil // deleted since it was listed, or the next round finds it
	}
	if r.failing.Add(1) >= failuresInARow {
		return fmt.Errorf("%d images have failed in a row: %w", failuresInARow, err)
	}
	return nil
}

// A known is a set of texts that a run has seen, as hashes, because there may be millions.
type known struct {
	mu     sync.Mutex
	seed   maphash.Seed
	hashes map[uint64]struct{}
}

func newKnown() *known { return &known{seed: maphash.MakeSeed(), hashes: map[uint64]struct{}{}} }

func (k *known) add(text string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.hashes[maphash.String(k.seed, text)] = struct{}{}
}

func (k *known) has(text string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, ok := k.hashes[maphash.String(k.seed, text)]
	return ok
}
