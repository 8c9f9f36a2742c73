package renditions

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"calotype/internal/blob"
	"calotype/internal/diskcache"
	"calotype/internal/errs"
	"calotype/internal/imagefile"
	"calotype/internal/images"
	"calotype/internal/render"
	"calotype/internal/text"
	"calotype/internal/trace"
)

// sanitiser is the version of changes to bytes outside the pipeline; it is a part of a rendition's key.
const sanitiser = 1

// A Rendition is bytes ready to serve. Besides Content exactly one of Bytes and File is set. Both are
// shared: do not modify Bytes, and read File with ReadAt only, until Content is closed.
type Rendition struct {
	Format  imagefile.Format
	Size    int64 // bytes
	Content io.ReadSeekCloser
	Bytes   []byte
	File    *os.File
}

// format returns the format of a rendition if f is requested: an SVG, and an animation that is too large to
// transform, keep their format, the animation unless only its first frame is requested.
func (r Resolved) format(f imagefile.Format) imagefile.Format {
	if r.Vector() || r.onlyStripped(f) {
		return r.Image.Original.Header.Format
	}
	return f
}

// onlyStripped reports whether all frames of an animation that is too large to transform are requested.
func (r Resolved) onlyStripped(f imagefile.Format) bool {
	moves := (f == imagefile.GIF || f == imagefile.WebP) && !r.Variant.Options.Still
	return moves && r.TooLargeToTransform()
}

// TooLargeToTransform reports whether options do not apply to all frames of an animation, because of its size.
func (r Resolved) TooLargeToTransform() bool {
	h := r.Image.Original.Header
	return h.Frames > 1 && h.Pixels() > imagefile.MaxTransformPixels &&
		(h.Format == imagefile.GIF || h.Format == imagefile.WebP)
}

// Size returns the size of the rendition in a format, in pixels. Only a trim of edges of one colour needs the rendition
// itself. Errors: those of Rendition.
func (s *Service) Size(ctx context.Context, r Resolved, f imagefile.Format) (width, height int, err error) {
	width, height = r.Image.Original.Header.Shown()
	switch {
	case r.Vector() || r.onlyStripped(f):
		return width, height, nil
	case !r.Variant.Options.Trim.Border:
		plan := r.Variant.Options.Plan(width, height)
		return plan.CanvasW, plan.CanvasH, nil
	}
	made, err := s.Rendition(ctx, r, f)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, made.Content.Close()) }()
	var content io.ReaderAt = made.File
	if made.File == nil {
		content = bytes.NewReader(made.Bytes)
	}
	header, err := imagefile.ReadHeader(content, made.Size)
	if err != nil {
		return 0, 0, fmt.Errorf("reading the size of a rendition: %w", err)
	}
	width, height = header.Shown()
	return width, height, nil
}

// renditionKey returns the identity of a rendition's bytes, from everything that determines them: the
// original and the options.
func (s *Service) renditionKey(r Resolved, f imagefile.Format) string {
	if r.Vector() {
		return images.RenditionPrefix(r.Image.Original.Blob) + text.Hash(imagefile.SanitiserVersion)[:24]
	}
	recipe := r.Variant.Options.String() + "|" + string(r.format(f)) + "|" +
		s.config.Render.Version() + "|" + strconv.Itoa(sanitiser)
	if s.job(r, f).KeepsGainMap() {
		recipe += "|hdr" // all others are the same with and without it
	}
	return images.RenditionPrefix(r.Image.Original.Blob) + text.Hash(recipe)[:24]
}

// ETag returns the strong entity tag, quoted, of a rendition, which need not exist yet. Settle has returned r.
//
// Of a remote source it has the form that Cloudflare documents, with the source's entity tag at the end.
func (s *Service) ETag(r Resolved, f imagefile.Format) string {
	if r.source != nil {
		return `"cf-` + s.renditionKey(r, f) + `:` + plainETag(r.source.etag) + `"`
	}
	return `"` + s.renditionKey(r, f) + `"`
}

// Rendition returns the image in the variant as format f, from the cache or newly rendered. An
// animation that is too large to transform, and an SVG, has its original format: see Rendition.Format. The caller
// closes Content. It settles the quality. Errors: Undecodable, RenditionFailed, Busy, ImageNotFound if it was deleted
// concurrently, RateLimited if the client in ctx (see package clientaddr) has requested too many new
// renditions.
func (s *Service) Rendition(ctx context.Context, r Resolved, f imagefile.Format) (Rendition, error) {
	r, err := s.Settle(ctx, r, f)
	if err != nil {
		return Rendition{}, err
	}
	key, kind := s.renditionKey(r, f), r.variantKind()
	for attempt := range 3 { // a full cache may evict a new rendition at once
		found, err := s.cache.Open(key, kind)
		if err != nil {
			return Rendition{}, err
		}
		if attempt == 0 {
			s.count(found.Content != nil)
		}
		if found.Content != nil {
			return Rendition{Format: r.format(f), Size: found.Size, Content: found.Content,
				Bytes: found.Bytes, File: found.File}, nil
		}
		if err := s.renderOnce(ctx, key, r, f); err != nil {
			return Rendition{}, err
		}
	}
	return Rendition{}, errs.AtCapacity("The rendition cache is full", nil)
}

// count counts a look-up in the cache.
func (s *Service) count(hit bool) {
	if hit {
		s.hits.Add(1)
	} else {
		s.missed.Add(1)
	}
}

// render renders one rendition and inserts it into the cache.
func (s *Service) render(ctx context.Context, key string, r Resolved, f imagefile.Format) error {
	return s.renderAs(ctx, r, f, s.job(r, f), func(int) string { return key })
}

// renderAs renders a job for r and inserts the rendition into the cache, under the key that keyOf returns for the
// quality that the job has found; "" for none, if the rendition is of no use.
func (s *Service) renderAs(
	ctx context.Context, r Resolved, f imagefile.Format, j render.Job, keyOf func(quality int) string,
) (err error) {
	original := r.Image.Original
	began := time.Now()
	in, err := s.input(ctx, r)
	s.config.Timer.Since(r.lane(), StageFetch, began)
	trace.Record(ctx, StageFetch, began, err)
	if errors.Is(err, blob.ErrNotExist) {
		// The image may have been deleted since it was resolved.
		if _, gone := s.core.ImageByKey(ctx, r.Image.Key); errors.Is(gone, images.ErrNoImage) {
			return gone
		}
	}
	if err != nil {
		return fmt.Errorf("opening the original of image %s: %w", r.Image.Key, err)
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	if err := s.diskSpace(r); err != nil {
		return err
	}
	out, err := s.cache.Create()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Discard()) }()
	var made render.Output
	switch {
	case r.Vector():
		err = s.core.SanitiseSVG(ctx, r.Image.Account, out.File, in, original.Size)
	case r.onlyStripped(f):
		err = imagefile.Strip(out.File, in, original.Size, original.Header.Format)
	default:
		made, err = s.config.Render.Render(ctx, in.File, out.File, j)
	}
	if err != nil {
		return images.RenderError("rendering image "+r.Image.Key, err)
	}
	key := keyOf(made.Quality)
	if key == "" {
		return nil
	}
	began = time.Now()
	err = out.Insert(key, r.owner())
	s.config.Timer.Since(r.lane(), StageInsert, began)
	trace.Record(ctx, StageInsert, began, err)
	if err != nil {
		return err
	}
	return s.removeIfDeleted(ctx, r, key)
}

// removeIfDeleted removes a rendition whose image has been deleted: a concurrent deletion has not seen it. The image
// must be looked for also if ctx has ended.
func (s *Service) removeIfDeleted(ctx context.Context, r Resolved, key string) error {
	if r.source != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rereadTime)
	defer cancel()
	if _, err := s.core.ImageByKey(ctx, r.Image.Key); errors.Is(err, images.ErrNoImage) {
		s.cache.Remove(key)
		return err
	}
	return nil
}

// rereadTime bounds the reading of an image's row after the insertion of its rendition.
const rereadTime = 30 * time.Second

// diskSpace evicts other renditions if the disk is full, but not for a rendition that no client has requested. Error:
// NoSpace.
func (s *Service) diskSpace(r Resolved) error {
	if !r.eager {
		return s.core.Disk().MakeSpace(0)
	}
	if !s.core.Disk().HasSpace() {
		return errs.OutOfSpace(nil)
	}
	return nil
}

// lane returns the lane of r's renditions.
func (r Resolved) lane() string {
	if r.eager {
		return render.Eager
	}
	return render.Renditions
}

// owner returns the owner of r's renditions. One that no client has requested counts as one of a flexible variant until
// a client requests it.
func (r Resolved) owner() diskcache.Owner {
	o := diskcache.Owner{Account: text.Hash(r.Account.ID)[:diskcache.OwnerLength], Kind: r.variantKind()}
	if r.eager {
		o.Kind = diskcache.Flexible
	}
	return o
}

// variantKind distinguishes named variants from flexible ones.
func (r Resolved) variantKind() int {
	if r.Variant.ID == "" {
		return diskcache.Flexible
	}
	return diskcache.Named
}

// job returns the job of a rendition. It is no search.
func (s *Service) job(r Resolved, f imagefile.Format) render.Job {
	o := r.Image.Original
	j := render.Job{Header: o.Header, Alpha: o.Alpha, Options: r.Variant.Options, Format: f, HDR: !s.config.SDR}
	j.Options.Quality = max(j.Options.Quality, 0)
	return j
}

// Makes reports whether this server can render a rendition in a format: a large WebP may need too much memory, and
// AVIF too much time. SVGs and stripped animations are not rendered.
func (s *Service) Makes(r Resolved, f imagefile.Format) bool {
	return r.Vector() || r.onlyStripped(f) || s.config.Render.Makes(s.job(r, f), r.Image.Original.Size)
}
