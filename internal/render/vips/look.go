package vips

import (
	"fmt"
	"os"
	"unsafe"

	"calotype/internal/render"
)

// look replaces the options of a job that depend on the pixels by figures, so that the Plan is known: a trim of a
// border by a trim of pixels, and a gravity of auto by a point. Each of the two decodes the first frame once, before
// the rendition does so.
func look(in *os.File, j *render.Job) error {
	j.Options = j.Options.Scaled()
	if j.Options.Trim.Border {
		found, err := findBorder(in, *j)
		if err != nil {
			return err
		}
		j.Options.Trim = found
	}
	if j.Options.Gravity != render.GravityAuto {
		return nil
	}
	if !j.Options.Plan(j.Header.Shown()).Crops() {
		j.Options.Gravity = ""
		return nil
	}
	point, err := findFocus(in, *j)
	j.Options.Gravity = point
	return err
}

// firstFrame starts a rendering of the first frame in a Plan, without an output.
func firstFrame(in *os.File, j render.Job, o render.Options) (*rendering, error) {
	j.Header.Frames, j.Options, j.Format = 1, o, ""
	r, err := start(in, nil, j, o.Plan(j.Header.Shown()), false)
	if err != nil {
		return nil, err
	}
	if err = r.do(before); err == nil {
		err = r.next()
	}
	if err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

// findBorder returns the pixels to cut off so that the edges of one colour are gone. It reads the stored picture row
// after row, with a few rows in memory. A picture of one colour has no edges.
func findBorder(in *os.File, j render.Job) (render.Trim, error) {
	wanted := j.Options.Trim
	r, err := firstFrame(in, j, render.Options{})
	if err != nil {
		return render.Trim{}, err
	}
	defer r.close()
	for _, s := range []step{{"canvas", each, (*rendering).canvas}, {"colour", each, (*rendering).colour}} {
		if err := s.run(r); err != nil {
			return render.Trim{}, r.blame(s, err)
		}
	}
	tolerance := wanted.Tolerance
	if tolerance == 0 {
		tolerance = render.DefaultTolerance
	}
	var colour []float64
	if wanted.Color != "" {
		if colour, err = r.fill(wanted.Color); err != nil {
			return render.Trim{}, err
		}
		if r.im.alpha() {
			colour = append(colour, 255)
		}
	}
	part, found, err := r.im.findInside(colour, tolerance)
	if err != nil {
		return render.Trim{}, r.blame(step{name: "trim"}, err)
	}
	if !found {
		return render.Trim{}, nil
	}
	part = part.Turn(j.Header.Orientation, j.Header.Width, j.Header.Height)
	w, h := j.Header.Shown()
	keep := wanted.Keep
	return render.Trim{
		Top: max(part.Y-keep, 0), Right: max(w-part.X-part.W-keep, 0),
		Bottom: max(h-part.Y-part.H-keep, 0), Left: max(part.X-keep, 0),
	}, nil
}

// focusSide is the longer side of the copy in which findFocus looks, in pixels.
const focusSide = 192

// findFocus returns the point that a crop leaves most of what attracts attention around.
func findFocus(in *os.File, j render.Job) (render.Gravity, error) {
	o := j.Options
	r, err := firstFrame(in, j, render.Options{Width: focusSide, Height: focusSide, Fit: render.ScaleDown,
		Trim: o.Trim, Flip: o.Flip, Rotate: o.Rotate})
	if err != nil {
		return "", err
	}
	defer r.close()
	if err := r.do(each); err != nil {
		return "", err
	}
	w, h, bands := r.im.width(), r.im.height(), r.im.bands()
	p := newPixels(w * h * bands)
	defer p.free()
	if err := r.im.writeTo(p, 0); err != nil {
		return "", r.blame(step{name: "focus"}, err)
	}
	rgba, err := toRGBA(unsafe.Slice((*byte)(p.data), p.size), bands)
	if err != nil {
		return "", fmt.Errorf("%w: %w", render.ErrUndecodable, err)
	}
	plan := o.Plan(j.Header.Shown())
	return focus(w, h, rgba, float64(plan.CropW)/float64(plan.ScaleW), float64(plan.CropH)/float64(plan.ScaleH)), nil
}
