// Package listing lists the images of an account: in pages by time or by name, with filters on metadata and
// continuation tokens, or in numbered pages. It reads the tables of images and writes none.
package listing

import (
	"context"
	"fmt"

	"calotype/internal/errs"
	"calotype/internal/fields"
	"calotype/internal/images"
	"calotype/internal/sqldb"
)

// A Lister lists images of a database.
type Lister struct {
	db      *sqldb.DB
	scanned int // rows that are scanned for a page
	read    int // rows that are read at once
}

// New returns a Lister of the images in a database.
func New(db *sqldb.DB) *Lister { return &Lister{db: db, scanned: maxScanned, read: maxRead} }

// A Query selects a page of images.
type Query struct {
	Limit     int    // 1 to 10,000
	Token     string // continuation token; "" is the beginning
	Ascending bool
	Drafts    bool     // drafts instead of images
	Creator   *string  // "" is "without creator"
	Meta      []Filter // all must hold; 5 at most; none for drafts
	Prefix    string   // of the id; the list is then in the order of ids
	Filename  string   // beginning of the file name; likewise, unless a Prefix is given
	SHA256    string   // of the stored bytes or of the bytes as they came, hex
	Near      *Near    // perceptual hash
	// Fits is called for each image in order. The page ends before the first one that does not fit, but
	// has at least one image. nil: all fit.
	Fits func(images.Image) bool
}

// A Page is a page of images; Next is "" on the last one. If not all fit, and with filters, a page
// that is not the last may be short; with filters it may be empty.
type Page struct {
	Images []images.Image
	Next   string
}

const (
	// MaxLimit bounds a page.
	MaxLimit = 10_000
	// maxScanned limits the rows that are scanned for a page.
	maxScanned = 20_000
	// maxRead limits the rows that are read at once, so that few rows that do not fit are read.
	maxRead = 500
)

// Images returns a page of images by time of upload, or of drafts by the time of their
// creation; with a Prefix or a Filename by these, in byte order.
//
// A page begins after the last position that the previous page has scanned. A position is the time of an
// image's upload, or its name, and its key. Time and key never change. So an image that exists during a whole
// listing is listed once, whatever is inserted, finished or deleted concurrently. An image that is inserted
// during the listing may be committed before or after the cursor, and is listed once or not at all. In a list by
// names the same holds for an image whose id or file name changes during the listing, but it may also be listed
// twice, by the old and the new name.
func (l *Lister) Images(ctx context.Context, account string, q Query) (Page, error) {
	if q.Limit < 1 || q.Limit > MaxLimit {
		return Page{}, errs.Errorf(errs.Invalid, "per_page must be between 1 and %d", MaxLimit)
	}
	if len(q.Meta) > maxFilters {
		return Page{}, errs.Errorf(errs.Invalid, "More than %d filters on metadata are given: each "+
			"operator counts", maxFilters)
	}
	if q.Drafts && len(q.Meta) > 0 {
		return Page{}, errs.Errorf(errs.Invalid, "Filters on metadata (meta.*) find images only: leave out "+
			"draft=true or the filters")
	}
	if q.Creator != nil {
		if err := fields.CheckCreator(*q.Creator); err != nil {
			return Page{}, err
		}
	}
	if err := q.checkNames(); err != nil {
		return Page{}, err
	}
	if err := q.checkLooks(); err != nil {
		return Page{}, err
	}
	q.Meta = sortedFilters(q.Meta)
	from, err := q.begin(account)
	if err != nil {
		return Page{}, err
	}
	w := newScanPlan(account, q)
	page, err := l.walk(ctx, w, from, q)
	if err != nil {
		return Page{}, fmt.Errorf("listing images: %w", err)
	}
	list := Page{Images: page.images}
	if page.next != nil {
		list.Next = q.token(account, *page.next)
	}
	return list, nil
}

// A walkedPage is the result of a scan; next is nil at its end.
type walkedPage struct {
	images []images.Image
	next   *position
}

// walk scans rows after a position until it has found a page of images. It scans in ranges, because no engine
// can stop after a number of rows that do not match: one query reads the end of a range, the next one reads
// all matching images up to it. A row that exists during both queries is found, whatever else is inserted or
// deleted in between.
func (l *Lister) walk(
	ctx context.Context, w scanPlan, from *position, q Query,
) (page walkedPage, err error) {
	first := q.Limit + 1
	if w.bands != nil {
		first = l.scanned // most rows of a band are of other hashes
	}
	for scanned, stretch := 0, first; ; stretch *= 4 {
		var to *position
		if len(w.residual) > 0 {
			stretch = min(stretch, l.scanned-scanned)
			if to, err = l.endOfStretch(ctx, w, from, stretch); err != nil {
				return page, err
			}
			scanned += stretch
		}
		full, err := l.fill(ctx, w, from, to, q, &page)
		if err != nil || full {
			return page, err
		}
		if to == nil || scanned >= l.scanned {
			page.next = to
			return page, nil
		}
		from = to
	}
}

// fill adds the images after from, up to to, to a page, until it is full: then it sets next.
func (l *Lister) fill(
	ctx context.Context, w scanPlan, from, to *position, q Query, page *walkedPage,
) (full bool, err error) {
	for {
		rows := min(q.Limit-len(page.images)+1, l.read) // one more shows that there is a next page
		query, args := w.page(from, to, rows)
		found, err := l.readImages(ctx, query, args)
		if err != nil {
			return false, err
		}
		for _, img := range found {
			if n := len(page.images); n == q.Limit || !fits(q.Fits, img) && n > 0 {
				last := q.position(page.images[n-1])
				page.next = &last
				return true, nil
			}
			page.images = append(page.images, img)
		}
		if len(found) < rows {
			return false, nil
		}
		last := q.position(found[len(found)-1])
		from = &last
	}
}

// fits reports whether one more item fits a page; all fit if ask is nil.
func fits[T any](ask func(T) bool, one T) bool { return ask == nil || ask(one) }

func (l *Lister) readImages(ctx context.Context, query string, args []any) ([]images.Image, error) {
	return sqldb.Select(l.db.Reader(ctx), images.ScanImage, query, args...)
}

// endOfStretch returns the position of the last of a number of rows, nil if there are fewer.
func (l *Lister) endOfStretch(
	ctx context.Context, w scanPlan, from *position, rows int,
) (*position, error) {
	if w.bands != nil {
		return l.endOfBands(ctx, w, from, rows)
	}
	query, args := w.end(from, rows)
	all, err := sqldb.Select(l.db.Reader(ctx), func(r sqldb.Row) (p position, err error) {
		if w.named {
			err = r.Scan(&p.name, &p.key)
		} else {
			err = r.Scan(&p.uploaded, &p.key)
		}
		return p, err
	}, query, args...)
	if err != nil {
		return nil, fmt.Errorf("finding the end of a stretch: %w", err)
	}
	if len(all) == 0 {
		return nil, nil
	}
	return &all[0], nil
}

// A PageQuery selects a numbered page of images.
type PageQuery struct {
	Page, Limit int     // from 1
	Creator     *string // "" is "without creator"
	// Fits is called for each image in order. Images of the page after the first one that does not fit
	// are not read. nil: all fit.
	Fits func(images.Image) bool
}

// A NumberedPage is a page of images, as far as they fit, and the total number of images.
type NumberedPage struct {
	Images []images.Image
	Total  int
}

// Numbered returns a numbered page of images, newest first, never drafts. Insertions and
// deletions between two pages shift the second one; Images does not have this problem.
func (l *Lister) Numbered(
	ctx context.Context, account string, q PageQuery,
) (page NumberedPage, err error) {
	switch {
	case q.Page < 1 || q.Limit < 1 || q.Limit > MaxLimit:
		return page, errs.Errorf(errs.Invalid, "page must be at least 1, and per_page between 1 and %d",
			MaxLimit)
	case q.Page > 1<<31/q.Limit:
		return page, errs.Errorf(errs.Invalid, "page is too large: with this per_page it may be %d at most",
			1<<31/q.Limit)
	}
	if q.Creator != nil {
		if err := fields.CheckCreator(*q.Creator); err != nil {
			return page, err
		}
	}
	w := newScanPlan(account, Query{Creator: q.Creator})
	query, args := w.count()
	if err := l.db.QueryRow(ctx, query, args...).Scan(&page.Total); err != nil {
		return page, fmt.Errorf("counting images: %w", err)
	}
	query, args = w.numbered((q.Page-1)*q.Limit, min(q.Limit, l.read))
	for {
		rows := min(q.Limit-len(page.Images), l.read)
		found, err := l.readImages(ctx, query, args)
		if err != nil {
			return page, fmt.Errorf("listing images: %w", err)
		}
		for _, img := range found {
			if !fits(q.Fits, img) {
				return page, nil
			}
			page.Images = append(page.Images, img)
		}
		if len(found) < rows || len(page.Images) == q.Limit {
			return page, nil
		}
		last := byUpload(found[len(found)-1])
		query, args = w.page(&last, nil, min(q.Limit-len(page.Images), l.read))
	}
}
