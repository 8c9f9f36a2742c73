package vips

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"calotype/internal/imagefile"
	"calotype/internal/phash"
	"calotype/internal/render"
)

// thumbSide is the longer side of the thumbnail that is hashed, in pixels.
const thumbSide = 100

// Examine decodes a whole original strictly and returns its Properties.
//
// libvips refuses a picture at every warning of libjpeg and libpng. If no pixel of such a picture is missing or
// damaged, Examine accepts it.
func (e *engine) Examine(in *os.File, h imagefile.Header) (render.Properties, error) {
	properties, err := e.examine(in, h, true)
	if !errors.Is(err, render.ErrUndecodable) {
		return properties, err
	}
	var whole error
	switch h.Format {
	case imagefile.JPEG:
		whole = wholeJPEG(in)
	case imagefile.PNG:
		whole = wholePNG(in)
	default:
		return properties, err
	}
	if whole != nil {
		return render.Properties{}, fmt.Errorf("%w (%w)", err, whole)
	}
	return e.examine(in, h, false)
}

func wholePNG(in *os.File) error {
	info, err := in.Stat()
	if err != nil {
		return fmt.Errorf("measuring the input: %w", err)
	}
	return imagefile.WholePNG(in, info.Size())
}

func (e *engine) examine(in *os.File, h imagefile.Header, strict bool) (render.Properties, error) {
	runtime.LockOSThread() // as in Render
	defer runtime.UnlockOSThread()
	r, err := start(in, nil, render.Job{Header: h}, thumbPlan(h), strict)
	if err != nil {
		return render.Properties{}, err
	}
	defer r.close()
	if err := r.do(before); err != nil {
		return render.Properties{}, err
	}
	properties := render.Properties{Frames: r.frames}
	properties.Width, properties.Height = h.Shown()
	for r.frame = 0; r.frame < r.frames; r.frame++ {
		if err := r.next(); err != nil {
			return render.Properties{}, err
		}
		if r.frame > 0 {
			continue // read, and so decoded
		}
		if err := r.do(each); err != nil {
			return render.Properties{}, err
		}
		if properties.Thumbhash, properties.Phash, err = r.hashes(); err != nil {
			return render.Properties{}, err
		}
	}
	properties.Alpha = r.alpha
	return properties, nil
}

// thumbPlan scales a picture down to its thumbnail.
func thumbPlan(h imagefile.Header) render.Plan {
	w, hh := h.Shown()
	if longest := max(w, hh); longest > thumbSide {
		w, hh = max(1, w*thumbSide/longest), max(1, hh*thumbSide/longest)
	}
	return render.Plan{ScaleW: w, ScaleH: hh, CropW: w, CropH: hh, CanvasW: w, CanvasH: hh}
}

// hashes computes the pixels of the thumbnail, and returns their thumbhash and their perceptual hash, "" for none.
func (r *rendering) hashes() (thumb []byte, perceptual string, err error) {
	bands := r.im.bands()
	p := newPixels(r.im.width() * r.im.height() * bands)
	defer p.free()
	if err := r.im.writeTo(p, 0); err != nil {
		return nil, "", r.blame(step{name: "thumbnail"}, err)
	}
	raw := unsafe.Slice((*byte)(p.data), p.size)
	rgba, err := toRGBA(raw, bands)
	if err != nil {
		return nil, "", fmt.Errorf("%w: %w", render.ErrUndecodable, err)
	}
	if hash, ok := phash.Of(r.im.width(), r.im.height(), rgba); ok {
		perceptual = hash.String()
	}
	return thumbhash(spread(r.im.width(), r.im.height(), rgba)), perceptual, nil
}

// minThumbSide is the shorter side from which the waves of a thumbhash are distinguishable.
const minThumbSide = 16

// spread repeats the pixels of a picture with a short side, so that its hash shows it.
func spread(w, h int, rgba []byte) (int, int, []byte) {
	fx, fy := (minThumbSide+w-1)/w, (minThumbSide+h-1)/h
	if fx == 1 && fy == 1 {
		return w, h, rgba
	}
	out := make([]byte, 0, len(rgba)*fx*fy)
	for y := range h * fy {
		for x := range w * fx {
			i := 4 * (y/fy*w + x/fx)
			out = append(out, rgba[i:i+4]...)
		}
	}
	return w * fx, h * fy, out
}

// toRGBA spreads grey and adds opacity: 1 to 4 bands in, 4 out.
func toRGBA(raw []byte, bands int) ([]byte, error) {
	if bands < 1 || bands > 4 || len(raw)%bands != 0 {
		return nil, errors.New("pixels are not grey or RGB")
	}
	out := make([]byte, 0, len(raw)/bands*4)
	for i := 0; i < len(raw); i += bands {
		p := raw[i : i+bands]
		switch bands {
		case 1:
			out = append(out, p[0], p[0], p[0], 255)
		case 2:
			out = append(out, p[0], p[0], p[0], p[1])
		case 3:
			out = append(out, p[0], p[1], p[2], 255)
		default:
			out = append(out, p...)
		}
	}
	return out, nil
}
