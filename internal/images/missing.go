package images

import (
	"context"
	"errors"
	"fmt"

	"calotype/internal/blob"
)

// firstFew is the number of images that a report of the sweep names; it counts all of them.
const firstFew = 10

// A missingScan goes through all rows beside a listing of the blob store and finds those whose
// original is not there, or is there in part. It holds a page of each.
//
// Both go by key, so a row mostly meets its original in the page at hand. A row that does not is
// only suspected: it may be younger than the listing, and PostgreSQL may order keys by the rules of
// a language. The store itself is asked about it, and then the database again, since a deleted
// image loses its row first.
type missingScan struct {
	s         *Service
	rows      []OriginalRow // read and not yet compared
	last      string        // key of the last row read
	done      bool          // no row is left to be read
	suspected []OriginalRow
}

// compare compares the rows up to next, which begins the listing's next page, with a page; at the
// end of the listing, where next is "", all that are left.
func (w *missingScan) compare(
	ctx context.Context, page []blob.Info, next string, report *SweepReport,
) error {
	for {
		if len(w.rows) == 0 {
			if err := w.read(ctx); err != nil {
				return err
			}
		}
		if len(w.rows) == 0 || next != "" && w.rows[0].Blob > next {
			return w.confirm(ctx, report)
		}
		o := w.rows[0]
		w.rows = w.rows[1:]
		for len(page) > 0 && page[0].Key < o.Blob {
			page = page[1:]
		}
		if len(page) == 0 || page[0].Key != o.Blob || page[0].Size != o.Size {
			w.suspected = append(w.suspected, o)
		}
		if len(w.suspected) == originalsPage {
			if err := w.confirm(ctx, report); err != nil {
				return err
			}
		}
	}
}

// read reads the next page of rows, if there is one.
func (w *missingScan) read(ctx context.Context) (err error) {
	if w.done {
		return nil
	}
	if w.rows, err = w.s.originalsAfter(ctx, w.last); err != nil {
		return err
	}
	if w.done = len(w.rows) < originalsPage; len(w.rows) > 0 {
		w.last = w.rows[len(w.rows)-1].Blob
	}
	return nil
}

// confirm counts those suspects whose original is missing and whose row is there all the same.
func (w *missingScan) confirm(ctx context.Context, report *SweepReport) error {
	var lacking []string
	for _, o := range w.suspected {
		info, err := w.s.blobs.Stat(ctx, o.Blob)
		switch {
		case errors.Is(err, blob.ErrNotExist), err == nil && info.Size != o.Size:
			lacking = append(lacking, o.Blob)
		case err != nil:
			return fmt.Errorf("looking for an original: %w", err)
		}
	}
	named, err := w.s.namedBlobs(ctx, lacking)
	if err != nil {
		return err
	}
	for _, o := range w.suspected {
		if !named[o.Blob] {
			continue
		}
		if report.Missing++; len(report.FirstMissing) < firstFew {
			report.FirstMissing = append(report.FirstMissing, fmt.Sprintf("%v: %s", o, o.Blob))
		}
	}
	w.suspected = w.suspected[:0]
	return nil
}
