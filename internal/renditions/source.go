package renditions

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/clientaddr"
	"calotype/internal/diskcache"
	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/outbound"
	"calotype/internal/render"
	"calotype/internal/text"
	"calotype/internal/trace"
)

// SourceVia is the name in a Via header by which a transformation recognizes its own request for a source.
const SourceVia = "image-resizing"

// sourcesAccount stands for an account in the shares of remote sources. No account has this id.
const sourcesAccount = "remote sources"

const (
	sourceTime     = 30 * time.Second // of a request for a source
	sourcesStored  = 10_000           // descriptions of sources in memory
	maxSourceETag  = 200              // bytes; of a longer one nothing is used
	maxTimeHeader  = 100              // bytes
	sourceAttempts = 3                // the cache may evict a source at once
)

// A source is a picture of another server, which a client has named by a URL. Its bytes are a file of the rendition
// cache, under a key of the URL and of the bytes, and its description is in memory: after a restart sources are
// fetched again. No request header of a client reaches the other server, so that all clients may share the answer.
type source struct {
	key      string // of the bytes in the cache
	original *images.Original
	etag     string // of the other server, with its quotes; "" for none
	modified string // its Last-Modified
	caching  outbound.Caching
	until    time.Time // needs no revalidation until then
}

// sources are the descriptions of sources by the hash of their URL.
type sources struct {
	mu sync.Mutex
	of map[string]*source
}

func (m *sources) get(id string) *source {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.of[id]
}

// put sets the description of a source; nil deletes it.
func (m *sources) put(id string, one *source) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.of == nil || len(m.of) >= sourcesStored {
		m.of = map[string]*source{}
	}
	if m.of[id] = one; one == nil {
		delete(m.of, id)
	}
}

// PermitsSource reports whether a URL is in the places of Config.Sources.
func (s *Service) PermitsSource(address string) bool {
	u, err := url.Parse(address)
	return err == nil && s.config.Sources.Permit(u)
}

// ResolveSource returns the picture at a URL of another server as an image without a variant, and the time for which
// caches may store its renditions, negative if they may not. It requests the URL unless the content is
// cached, once for all concurrent callers. Errors: *outbound.Error, which never quotes the URL; TooLarge, Unsupported,
// Undecodable, OverLimits; RateLimited, Busy, NoSpace, Aborted.
func (s *Service) ResolveSource(ctx context.Context, address string) (Resolved, time.Duration, error) {
	id := text.Hash("source\n" + address)
	for range sourceAttempts {
		one := s.sources.get(id)
		if one == nil || !s.now().Before(one.until) || !s.hasSource(one) {
			err := s.fetchOnce(ctx, id, address)
			if err != nil && !s.usableAfter(one, err) {
				return Resolved{}, 0, err
			}
			if err == nil {
				one = s.sources.get(id)
			}
			if one == nil {
				continue
			}
		}
		ttl := max(one.until.Sub(s.now()), 0)
		if one.caching.Private {
			ttl = -1
		}
		return Resolved{
			Account: accounts.Account{ID: sourcesAccount},
			Image:   images.Image{Key: "source:" + id, Account: sourcesAccount, Original: one.original},
			source:  one,
		}, ttl, nil
	}
	return Resolved{}, 0, errs.AtCapacity("The rendition cache is full", nil)
}

// usableAfter reports whether a source may be used although it could not be revalidated. Then an answer with it needs a
// revalidation itself.
func (s *Service) usableAfter(one *source, err error) bool {
	return one != nil && one.caching.UsableAfter(err, s.now().Sub(one.until)) && s.hasSource(one)
}

// hasSource reports whether the cache has the bytes of a source.
func (s *Service) hasSource(one *source) bool {
	found, err := s.cache.Open(one.key, diskcache.Flexible)
	if err != nil || found.Content == nil {
		return false
	}
	return found.Content.Close() == nil
}

// fetchOnce requests a source once for all concurrent callers.
func (s *Service) fetchOnce(ctx context.Context, id, address string) error {
	ctx, span := trace.Start(ctx, "source")
	err := s.once(ctx, "source:"+id, sourcesAccount, func(ctx context.Context, who render.Requester) error {
		return s.fetchSource(clientaddr.With(ctx, clientaddr.Peer{Key: who.Client}), id, address)
	})
	span.End(err)
	return err
}

// fetchSource requests a source, has a worker examine it as an upload, and stores it.
func (s *Service) fetchSource(ctx context.Context, id, address string) (err error) {
	lease, err := s.sourcePool.TryAcquire(1, outbound.Destination(address))
	if err != nil {
		return errs.AtCapacity("Too many pictures of this host are being fetched at once", err)
	}
	defer lease.Release()
	before := s.sources.get(id)
	if before != nil && !s.hasSource(before) {
		before = nil
	}
	b, err := s.core.BeginImage(sourcesAccount, -1)
	if err != nil {
		return err
	}
	defer b.Close()
	answer, err := s.config.Outbound.Fetch(ctx, address, outbound.Request{
		Most: s.core.MaxUploadBytes(), Time: sourceTime, Permit: s.config.Sources.Permit,
		Header: before.validators(),
	})
	if err != nil {
		if outbound.Refuses(err) { // a later failure must not show what is gone
			s.sources.put(id, nil)
		}
		return s.sourceError(err)
	}
	defer answer.Body.Close()
	caching := outbound.CachingOf(answer.Header, s.now())
	if answer.NotModified {
		renewed := *before
		renewed.caching, renewed.until = caching, s.now().Add(caching.TTL)
		s.sources.put(id, &renewed)
		return nil
	}
	if _, err := io.Copy(b, answer.Body); err != nil {
		return s.sourceError(err)
	}
	original, err := b.Examine(ctx)
	if err != nil {
		return err
	}
	one := &source{original: original, caching: caching, until: s.now().Add(caching.TTL),
		etag: sourceETag(answer.Header.Get("ETag")), modified: answer.Header.Get("Last-Modified")}
	if len(one.modified) > maxTimeHeader {
		one.modified = ""
	}
	original.Blob = "source/" + id + "/" + original.SHA256 // the key of its renditions, not of a blob
	one.key = images.RenditionPrefix("source/"+id) + original.SHA256[:24]
	if err := s.storeSource(b, one.key); err != nil {
		return err
	}
	s.sources.put(id, one) // the cache evicts the bytes of before, which a rendering may still need
	return nil
}

// storeSource copies a complete body to the cache.
func (s *Service) storeSource(b *images.Body, key string) (err error) {
	if err := s.core.Disk().MakeSpace(b.Size()); err != nil {
		return err
	}
	out, err := s.cache.Create()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Discard()) }()
	if _, err := b.WriteTo(out); err != nil {
		return fmt.Errorf("storing a source: %w", err)
	}
	return out.Insert(key, diskcache.Owner{
		Account: text.Hash(sourcesAccount)[:diskcache.OwnerLength], Kind: diskcache.Flexible})
}

// sourceError converts an error of package outbound.
func (s *Service) sourceError(err error) error {
	if errors.Is(err, outbound.ErrTooLarge) {
		return images.FileTooLarge(s.core.MaxUploadBytes())
	}
	return err
}

// validators returns the headers of a request for a source that this node has, or nil. They include the one by which a
// transformation recognizes that it leads back to itself.
func (one *source) validators() http.Header {
	h := http.Header{"Via": {"1.1 " + SourceVia}}
	switch {
	case one == nil:
	case one.etag != "":
		h.Set("If-None-Match", one.etag)
	case one.modified != "":
		h.Set("If-Modified-Since", one.modified)
	}
	return h
}

// sourceETag returns an entity tag of another server if it has the form of one and is short, else "".
func sourceETag(tag string) string {
	opaque := strings.TrimPrefix(tag, "W/")
	if len(tag) > maxSourceETag || len(opaque) < 2 || opaque[0] != '"' || opaque[len(opaque)-1] != '"' ||
		strings.ContainsFunc(opaque[1:len(opaque)-1], func(c rune) bool { return c <= ' ' || c == '"' || c >= 0x7f }) {
		return ""
	}
	return tag
}

// plainETag returns the characters of an entity tag that may stand in every other one.
func plainETag(tag string) string {
	return strings.Map(func(c rune) rune {
		if c == '"' || c == ',' || c == '\\' {
			return -1
		}
		return c
	}, strings.TrimPrefix(tag, "W/"))
}

// openSource copies the bytes of a source to the spool, because a worker needs a separate file.
func (s *Service) openSource(r Resolved) (originalFile, error) {
	found, err := s.cache.Open(r.source.key, diskcache.Flexible)
	if err != nil {
		return originalFile{}, err
	}
	if found.Content == nil {
		return originalFile{}, errs.AtCapacity("The rendition cache is full", nil)
	}
	return s.copyToSpool(found.Content, r.Image.Original.Size, r.Image.Account)
}
