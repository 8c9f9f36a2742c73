package importer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"calotype/internal/errs"
	"calotype/internal/imagefile"
	"calotype/internal/images"
)

// planSample is the number of files that a plan reads completely to measure the time of an import.
const planSample = 32

// A filePlanner makes a Plan of an import of files.
type filePlanner struct {
	fileRun
	mu     sync.Mutex
	plan   Plan
	sample []listedFile // chosen at random from the files that would be imported
}

// PlanFiles lists the files, reads the first bytes of those that would be imported, and has workers decode a sample of
// them, from which it calculates the time. It stores nothing.
func PlanFiles(ctx context.Context, c FilesConfig) (Plan, error) {
	p := &filePlanner{fileRun: fileRun{FilesConfig: c, began: c.Core.Now()}}
	p.report = newReport(c.Tree.String(), "", c.Account)
	p.report.begin(1)
	if err := p.each(ctx, p.page); err != nil {
		return Plan{}, err
	}
	took, err := p.measure(ctx)
	if err != nil {
		return Plan{}, err
	}
	if n := len(p.sample); n > 0 {
		p.plan.Seconds = int64(took.Seconds() * float64(p.plan.Images.Import) / float64(n))
		p.report.note(fmt.Sprintf("the time is that of %d files chosen at random, with %d files at once: "+
			"a server that works at the same time makes it longer", n, max(c.Parallel, 1)))
	}
	wouldExceed(c.Account, p.plan.Images.Import, p.plan.Images.Bytes, p.report)
	p.finishFiles()
	plan := p.plan.finish(p.report)
	plan.Images.Listed = plan.Images.Import + plan.Images.Exists + plan.Images.Refused + plan.Images.Differ
	return plan, nil
}

// page examines the files of a page.
func (p *filePlanner) page(ctx context.Context, page []listedFile, here map[string]images.Image) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(max(p.Parallel, 1))
	for _, f := range page {
		img, found := here[f.image.ID]
		group.Go(func() error {
			defer p.Progress.Add(1, f.Size)
			if !found || img.Draft {
				return p.wouldImport(ctx, f)
			}
			p.mu.Lock()
			defer p.mu.Unlock()
			if img.Original.Size != f.Size && !stripped(img) {
				p.report.set(f.image.ID, Differs, "a different picture has this id here: delete one of them")
			} else {
				p.plan.Images.Exists++
			}
			return nil
		})
	}
	return group.Wait()
}

// wouldImport reads the first bytes of a file.
func (p *filePlanner) wouldImport(ctx context.Context, f listedFile) error {
	known := false
	err := retry(ctx, p.Backoff, shouldRetry, func() (err error) {
		known, err = p.mayBePicture(ctx, f.File)
		return err
	})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		p.report.set(f.image.ID, Failed, err.Error())
		return nil
	case !known:
		p.report.set(f.image.ID, Refused, images.NoPicture)
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.plan.Images.Import++
	p.plan.Images.Bytes += f.Size
	if len(p.sample) < planSample {
		p.sample = append(p.sample, f)
	} else if at := rand.IntN(p.plan.Images.Import); at < planSample {
		p.sample[at] = f
	}
	return nil
}

func (p *filePlanner) mayBePicture(ctx context.Context, f File) (known bool, err error) {
	r, err := p.Tree.Open(ctx, f, imagefile.SniffBytes)
	if err != nil {
		return false, err
	}
	head := make([]byte, imagefile.SniffBytes)
	n, err := io.ReadFull(reader{r}, head)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		err = nil // a short file
	}
	return imagefile.MayBePicture(head[:n]), errors.Join(err, r.Close())
}

// measure reads the sample and has workers decode it, as an import does. It returns the time.
func (p *filePlanner) measure(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(max(p.Parallel, 1))
	for _, f := range p.sample {
		group.Go(func() error {
			err := retry(ctx, p.Backoff, shouldRetry, func() error { return p.try(ctx, f) })
			refusal := new(errs.Error)
			if errors.As(err, &refusal) && refusal.Kind != errs.Busy && refusal.Kind != errs.NoSpace {
				p.report.set(f.image.ID, Refused, refusal.Msg)
				p.mu.Lock()
				defer p.mu.Unlock()
				p.plan.Images.Import--
				p.plan.Images.Bytes -= f.Size
				return nil
			}
			return err
		})
	}
	err := group.Wait()
	if err != nil {
		err = fmt.Errorf("reading a sample of the files: %w", err)
	}
	return time.Since(began), err
}

func (p *filePlanner) try(ctx context.Context, f listedFile) error {
	u, err := p.Core.BeginImage(p.Account.ID, f.Size)
	if err != nil {
		return err
	}
	defer u.Close()
	if _, err := p.read(ctx, f.File, u); err != nil {
		return err
	}
	return u.Try(ctx)
}
