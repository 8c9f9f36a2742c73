package renditions

import (
	"cmp"
	"context"
	"sync"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/images"
)

// A Resolved has the rows that a delivery needs, at most one second old.
type Resolved struct {
	Account accounts.Account
	Image   images.Image
	Variant images.Variant
	Keys    []accounts.SigningKey

	eager    bool    // its renditions are rendered before a client has requested them
	source   *source // of another server, instead of an image; else nil
	settled  bool    // the options have the quality of the rendition: see Settle
	searched bool    // Settle has searched the quality, and so rendered it
}

// Vector reports whether the image is an SVG, whose renditions are all the same.
func (r Resolved) Vector() bool { return r.Image.Original.IsVector() }

// Private reports whether a delivery of the image in the variant needs a signature. A private SVG always does,
// because no variant hides a part of it.
func (r Resolved) Private() bool {
	return r.Image.RequireSignedURLs && (!r.Variant.NeverRequireSignedURLs || r.Image.Original.IsVector())
}

// BrowserTTL returns the time for which a client may cache the image in the variant: the variant's, else the
// account's.
func (r Resolved) BrowserTTL() time.Duration {
	return cmp.Or(r.Variant.BrowserTTL, r.Account.Settings.BrowserTTL)
}

// Resolve returns the rows that a delivery URL names. Errors: AccountUnknown, AccountSuspended; ImageNotFound, also
// for a draft; VariantNotFound, with all fields of Resolved except Variant.
func (s *Service) Resolve(ctx context.Context, hash, id, variant string) (Resolved, error) {
	return s.resolveCached(ctx, resolveKey{hash, id, variant})
}

// ResolveImage is Resolve without a variant, for a URL with options. Errors: those of Resolve.
func (s *Service) ResolveImage(ctx context.Context, hash, id string) (Resolved, error) {
	return s.resolveCached(ctx, resolveKey{hash: hash, id: id})
}

func (s *Service) resolveCached(ctx context.Context, asked resolveKey) (Resolved, error) {
	generation, began := s.core.Generation(), time.Now()
	if r, ok := s.resolved.get(asked, generation, began); ok {
		return r, nil
	}
	r, err := s.resolve(ctx, asked)
	if err == nil {
		s.resolved.put(asked, r, generation, began)
	}
	return r, err
}

func (s *Service) resolve(ctx context.Context, asked resolveKey) (r Resolved, err error) {
	if r.Account, err = s.core.Accounts.ByHash(ctx, asked.hash); err != nil {
		return r, err
	}
	if err := r.Account.CheckActive(); err != nil {
		return r, err
	}
	if r.Image, err = s.core.Image(ctx, r.Account.ID, asked.id); err != nil {
		return r, err
	}
	if r.Image.Draft {
		return r, images.ErrNoImage
	}
	if r.Keys, err = s.core.Accounts.SigningKeys(ctx, r.Account.ID); err != nil {
		return r, err
	}
	if asked.variant != "" {
		r.Variant, err = s.core.Variant(ctx, r.Account.ID, asked.variant)
	}
	return r, err
}

const (
	resolveAge  = time.Second // from the start of the read
	resolveSize = 10_000
)

type resolveKey struct{ hash, id, variant string } // variant is "" for none

// resolveCache caches results for a second, so that a change takes effect at other nodes within that time. At this
// node a change takes effect at once: it raises the generation of the core, and results of an older generation are not
// used. Errors are not cached.
type resolveCache struct {
	mu sync.Mutex
	of map[resolveKey]resolvedAt
}

type resolvedAt struct {
	Resolved
	generation int64
	began      time.Time
}

// get returns the result for a key at a time, unless it is too old or of another generation.
func (c *resolveCache) get(key resolveKey, generation int64, at time.Time) (Resolved, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cached, ok := c.of[key]
	if !ok || cached.generation != generation || at.Sub(cached.began) > resolveAge {
		return Resolved{}, false
	}
	return cached.Resolved, true
}

func (c *resolveCache) put(key resolveKey, r Resolved, generation int64, began time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil || len(c.of) >= resolveSize {
		c.of = map[resolveKey]resolvedAt{}
	}
	c.of[key] = resolvedAt{r, generation, began}
}
