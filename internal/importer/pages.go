package importer

import (
	"errors"
	"fmt"
	"time"
)

const (
	maxPages      = 200_000 // of a list
	maxEmptyPages = 100     // in a row
)

// pages checks that the list of a source ends. Sources may list the newest or the oldest image first, but
// the order must not change.
type pages struct {
	seen  *known // continuation tokens
	empty int    // pages in a row

	first         time.Time // of the last page with a time
	forward, back bool      // the directions in which first has moved so far
}

func newPages() *pages { return &pages{seen: newKnown()} }

// next returns the token of the page after p, "" if p is the last page.
func (w *pages) next(p page) (token string, err error) {
	if err := w.see(p.Images); err != nil {
		return "", err
	}
	if p.Next == nil || *p.Next == "" {
		return "", nil
	}
	if w.seen.has(*p.Next) {
		return "", errors.New("the list of the source does not end: it repeats a continuation token")
	}
	w.seen.add(*p.Next)
	if len(w.seen.hashes) >= maxPages {
		return "", fmt.Errorf("the list of the source does not end: it has more than %d pages", maxPages)
	}
	return *p.Next, nil
}

// see checks the order of a page.
func (w *pages) see(listed []sourceImage) error {
	if len(listed) == 0 {
		if w.empty++; w.empty > maxEmptyPages {
			return fmt.Errorf("the list of the source does not end: it has %d consecutive pages without "+
				"an image", w.empty)
		}
		return nil
	}
	w.empty = 0
	first := listed[0].imported().Uploaded
	if first.IsZero() {
		return nil // this image will be refused
	}
	if !w.first.IsZero() {
		w.forward = w.forward || first.After(w.first)
		w.back = w.back || first.Before(w.first)
	}
	if w.forward && w.back {
		return fmt.Errorf("the list of the source does not end: a page begins with an image of %s, the "+
			"page before with one of %s, and others the other way round",
			first.UTC().Format(time.RFC3339), w.first.UTC().Format(time.RFC3339))
	}
	w.first = first
	return nil
}
