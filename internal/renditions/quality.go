package renditions

import (
	"context"
	"sync"

	"calotype/internal/imagefile"
	"calotype/internal/qualities"
	"calotype/internal/render"
)

// This file settles quality=auto before the key and the entity tag of a rendition are known: a number replaces it. So
// equal tags mean equal bytes, whatever the nodes know of the quality. The number is searched once for an original, a
// format and a class of renditions. The first one that is recorded in the database is used by all nodes.

// qualitiesStored bounds the qualities in memory.
const qualitiesStored = 100_000

// A qualityKey names the renditions that have one quality.
type qualityKey struct {
	original string // the key of its blob
	format   imagefile.Format
	class    string
}

// foundQualities are qualities in memory. A recorded quality never changes, so they are valid until the node ends.
type foundQualities struct {
	mu sync.Mutex
	of map[qualityKey]int
}

func (q *foundQualities) get(key qualityKey) (quality int, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	quality, ok = q.of[key]
	return quality, ok
}

func (q *foundQualities) put(key qualityKey, quality int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.of == nil || len(q.of) >= qualitiesStored {
		q.of = map[qualityKey]int{}
	}
	q.of[key] = quality
}

// Settle returns r with the quality of its rendition in a format: a number, or 0 for the default of the format. It
// searches the quality if the options, or the account for options without a quality, say so, and the original has none
// in the class of the options. Errors: those of Rendition.
func (s *Service) Settle(ctx context.Context, r Resolved, f imagefile.Format) (Resolved, error) {
	if r.settled {
		return r, nil
	}
	o := &r.Variant.Options
	wanted := o.Quality == render.AutoQuality || o.Quality == 0 && r.Account.Settings.AutoQuality
	o.Quality, r.settled = max(o.Quality, 0), true
	if !wanted || r.Vector() || r.onlyStripped(f) {
		return r, nil
	}
	search := s.job(r, f)
	search.Options.Quality = render.AutoQuality
	if !search.Searches() {
		return r, nil
	}
	key := qualityKey{r.Image.Original.Blob, f, search.QualityClass()}
	quality, found := s.qualities.get(key)
	var err error
	if !found {
		quality, err = s.findQuality(ctx, &r, key, search)
	}
	o.Quality = quality
	return r, err
}

// findQuality reads the quality of a key from the database, or searches it, once for all concurrent callers. If the
// search fails, the quality is the default one: the rendition then shows whether the picture can be rendered.
func (s *Service) findQuality(ctx context.Context, r *Resolved, key qualityKey, search render.Job) (int, error) {
	if r.source == nil {
		all, full, err := s.core.Qualities.Of(ctx, r.Image.Key)
		if err != nil {
			return 0, err
		}
		quality, exact := closest(all, key)
		if exact || full {
			if !exact {
				quality = 0
			}
			s.qualities.put(key, quality)
			return quality, nil
		}
		search.FirstQuality = quality
	}
	if !s.config.Render.Makes(search, r.Image.Original.Size) {
		s.qualities.put(key, 0) // a search needs more memory than a rendition
		return 0, nil
	}
	name := "quality:" + key.original + "/" + string(key.format) + "/" + key.class
	of := *r // the search may outlive the caller, which changes its own
	work := func(ctx context.Context) error { return s.search(ctx, of, key, search) }
	var err error
	if r.eager {
		err = s.onceEagerly(ctx, name, r.Image.Account, work)
		r.searched = err == nil
	} else {
		err = s.once(ctx, name, r.Image.Account, func(ctx context.Context, _ render.Requester) error {
			return work(ctx)
		})
	}
	if err != nil && isLasting(err) {
		return 0, nil
	}
	quality, _ := s.qualities.get(key)
	return quality, err
}

// closest returns the quality of a key, and whether it is that of its class. Otherwise it is that of another class in
// the format, from which a search begins, or 0.
func closest(all []qualities.Quality, key qualityKey) (quality int, exact bool) {
	for _, q := range all {
		switch {
		case q.Format != string(key.format):
		case q.Class == key.class:
			return q.Quality, true
		default:
			quality = q.Quality
		}
	}
	return quality, false
}

// search searches the quality of a key, records it, and inserts the rendition into the cache if its quality is the
// recorded one.
func (s *Service) search(ctx context.Context, r Resolved, key qualityKey, search render.Job) error {
	if _, found := s.qualities.get(key); found { // by a caller before
		return nil
	}
	return s.renderAs(ctx, r, key.format, search, func(found int) string {
		recorded := s.record(ctx, r, key, found)
		s.qualities.put(key, recorded)
		if recorded != found {
			return ""
		}
		r.Variant.Options.Quality = found
		return s.renditionKey(r, key.format)
	})
}

// record records a quality, and returns the one that is to be used. A database that cannot be written, as on a full
// disk, does not stop a delivery: this node uses its own quality then.
func (s *Service) record(ctx context.Context, r Resolved, key qualityKey, found int) int {
	if r.source != nil {
		return found
	}
	err := s.core.CheckSpace()
	recorded := 0
	if err == nil {
		recorded, err = s.core.Qualities.Record(ctx, r.Image.Key,
			qualities.Quality{Format: string(key.format), Class: key.class, Quality: found})
	}
	if err != nil {
		s.config.Log.Warn("the quality of a rendition is not recorded", "image", r.Image.Key, "err", err)
		return found
	}
	return recorded
}
