package images

import (
	"context"
	"errors"
	"fmt"

	"calotype/internal/blob"
)

// firstFew is the number of images that a report of the sweep names; it counts all of them.
const firstFew = 10

// A missingScan compares all rows with a listing of the blob store, and finds the rows whose original is missing or
// truncated. It has one page of rows and one page of the listing in memory.
//
// Rows and listing are ordered by key, so a row is usually in the same page as its original. Another row is only
// suspected: the row may be newer than the listing, and PostgreSQL may order keys by the rules of a language.
// confirm checks a suspected row in the store, and then in the database, because a deletion deletes the row first.
type missingScan struct {
	s         *Service
	rows      []OriginalRow // read and not yet compared
	last      string        // key of the last row read
	done      bool          // no row is left to be read
	suspected []OriginalRow
}

// compare compares a page of the listing with the rows up to next, the first key of the next page. next is "" for
// the last page: then compare reads all remaining rows.
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

// confirm counts the suspected rows whose original is missing or truncated and whose row still exists.
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
