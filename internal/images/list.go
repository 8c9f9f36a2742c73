package images

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// ListQuery asks for a page of images.
type ListQuery struct {
	Limit     int    // 1 to 10,000
	Token     string // continuation token; "" is the beginning
	Ascending bool
	Creator   *string      // "" is "without creator"
	Meta      []MetaFilter // all must hold; 5 at most
}

// ListPage is a page of images; Next is "" on the last one. With filters a page may be short, or
// empty, and not be the last.
type ListPage struct {
	Images []Image
	Next   string
}

const (
	// MaxListLimit bounds a page.
	MaxListLimit = 10_000
	// maxLooked bounds the rows that are looked at for a page, in which filters find what they may.
	maxLooked = 20_000
)

// ListImages returns a page of images by time of upload, never drafts.
//
// A page begins behind the last position that the page before looked at: a position is when an
// image was uploaded, and its key, which both never change. So an image that is there during a
// whole walk is listed once, whatever is inserted, finished or deleted meanwhile. What is inserted
// during the walk may be committed on either side of the cursor, and is listed once or not at all.
func (s *Service) ListImages(ctx context.Context, account string, q ListQuery) (ListPage, error) {
	if q.Limit < 1 || q.Limit > MaxListLimit {
		return ListPage{}, Errorf(Invalid, "per_page must be between 1 and %d", MaxListLimit)
	}
	if len(q.Meta) > maxMetaFilters {
		return ListPage{}, Errorf(Invalid, "More than %d filters on metadata are given: each "+
			"operator counts", maxMetaFilters)
	}
	if q.Creator != nil {
		if err := checkCreator(*q.Creator); err != nil {
			return ListPage{}, err
		}
	}
	q.Meta = sortedFilters(q.Meta)
	from, err := q.begin(account)
	if err != nil {
		return ListPage{}, err
	}
	w := newListWalk(account, q)
	page, err := s.walk(ctx, w, from, q.Limit)
	if err != nil {
		return ListPage{}, fmt.Errorf("listing images: %w", err)
	}
	list := ListPage{Images: page.images}
	if page.next != nil {
		list.Next = q.token(account, *page.next)
	}
	return list, nil
}

// A walkedPage is what a walk found; next is nil at its end.
type walkedPage struct {
	images []Image
	next   *position
}

// walk looks at rows behind a position until it has found a page of images. What it looks at is
// cut into stretches, since no engine can be asked to stop after some rows that do not match: first
// the end of a stretch is found, then all images up to there that match. A row that is there during
// both is seen, whatever else comes or goes in between.
func (s *Service) walk(
	ctx context.Context, w listWalk, from *position, limit int,
) (page walkedPage, err error) {
	for looked, stretch := 0, limit+1; ; stretch *= 4 {
		var to *position
		if len(w.residual) > 0 {
			stretch = min(stretch, s.maxLooked-looked)
			if to, err = s.endOfStretch(ctx, w, from, stretch); err != nil {
				return page, err
			}
			looked += stretch
		}
		wanted := limit - len(page.images)
		query, args := w.page(from, to, wanted+1)
		rows, err := s.DB.Query(ctx, query, args...)
		if err != nil {
			return page, err
		}
		found, err := collect(rows, scanImage)
		if err != nil {
			return page, err
		}
		if len(found) > wanted {
			page.images = append(page.images, found[:wanted]...)
			last := positionOf(page.images[limit-1])
			page.next = &last
			return page, nil
		}
		page.images = append(page.images, found...)
		if to == nil || looked >= s.maxLooked {
			page.next = to
			return page, nil
		}
		from = to
	}
}

// endOfStretch returns the position of the last of so many rows, nil when there are less.
func (s *Service) endOfStretch(
	ctx context.Context, w listWalk, from *position, rows int,
) (*position, error) {
	query, args := w.end(from, rows)
	found, err := s.DB.Query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("finding the end of a stretch: %w", err)
	}
	all, err := collect(found, func(r row) (p position, err error) {
		err = r.Scan(&p.uploaded, &p.key)
		return p, err
	})
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return &all[0], nil
}

// PageQuery asks for a numbered page of images.
type PageQuery struct {
	Page, Limit int     // from 1
	Creator     *string // "" is "without creator"
}

// NumberedPage is a page of images and how many there are in all.
type NumberedPage struct {
	Images []Image
	Total  int
}

// ListPage returns a numbered page of images, newest first, never drafts. What is inserted or
// deleted between two pages shifts the second: ListImages does not have this fault.
func (s *Service) ListPage(
	ctx context.Context, account string, q PageQuery,
) (page NumberedPage, err error) {
	if q.Page < 1 || q.Limit < 1 || q.Limit > MaxListLimit || q.Page > 1<<31/q.Limit {
		return page, Errorf(Invalid, "page must be at least 1, and per_page between 1 and %d",
			MaxListLimit)
	}
	if q.Creator != nil {
		if err := checkCreator(*q.Creator); err != nil {
			return page, err
		}
	}
	w := newListWalk(account, ListQuery{Creator: q.Creator})
	query, args := w.count()
	if err := s.DB.QueryRow(ctx, query, args...).Scan(&page.Total); err != nil {
		return page, fmt.Errorf("counting images: %w", err)
	}
	query, args = w.numbered((q.Page-1)*q.Limit, q.Limit)
	rows, err := s.DB.Query(ctx, query, args...)
	if err != nil {
		return page, fmt.Errorf("listing images: %w", err)
	}
	page.Images, err = collect(rows, scanImage)
	return page, err
}

// A statement is SQL that is being put together, with its arguments.
type statement struct {
	strings.Builder
	args []any
}

// arg adds an argument and returns its placeholder.
func (s *statement) arg(value any) string {
	s.args = append(s.args, value)
	return "?" + strconv.Itoa(len(s.args))
}
