package vips

import (
	"fmt"
	"os"
	"unsafe"

	"calotype/internal/render"
)

// look sets the options of a job that depend on the pixels, so that the Plan is known: the lengths of a trim of a
// border, and a point for a gravity of auto. Each decodes the first frame, before the rendition does so.
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

// findBorder returns the pixels to cut off so that the edges of one colour are gone. A picture of one colour has no
// edges. The colour is that of the first pixel of the picture as it is shown; if that is in the last row of the file
// and other than the first pixel there, the file is decoded twice.
func findBorder(in *os.File, j render.Job) (render.Trim, error) {
	found, err := findInside(in, j, nil)
	if err == nil && j.Options.Trim.Color == "" && found.corner != found.reference {
		found, err = findInside(in, j, found.corner[:])
	}
	if err != nil || found.part.W == 0 {
		return render.Trim{Border: true}, err
	}
	part := found.part.Turn(j.Header.Orientation, j.Header.Width, j.Header.Height)
	w, h := j.Header.Shown()
	keep := j.Options.Trim.Keep
	return render.Trim{
		Border: true, Top: max(part.Y-keep, 0), Right: max(w-part.X-part.W-keep, 0),
		Bottom: max(h-part.Y-part.H-keep, 0), Left: max(part.X-keep, 0),
	}, nil
}

// findInside reads the stored picture row after row, with a few rows in memory. The reference is a colour; without
// one, the colour of the options; without that, the first pixel.
func findInside(in *os.File, j render.Job, colour []float64) (inside, error) {
	wanted := j.Options.Trim
	r, err := firstFrame(in, j, render.Options{})
	if err != nil {
		return inside{}, err
	}
	defer r.close()
	for _, s := range []step{{"canvas", each, (*rendering).canvas}, {"colour", each, (*rendering).colour}} {
		if err := s.run(r); err != nil {
			return inside{}, r.blame(s, err)
		}
	}
	if wanted.Color != "" {
		if colour, _, err = r.fill(wanted.Color); err != nil {
			return inside{}, err
		}
		if r.im.alpha() {
			colour = append(colour, 255)
		}
	}
	tolerance := wanted.Tolerance
	if tolerance == 0 {
		tolerance = render.DefaultTolerance
	}
	// The pixel of the stored picture that is shown at the top left.
	w, h := j.Header.Shown()
	corner := render.Rect{W: 1, H: 1}.TurnBack(j.Header.Orientation, w, h)
	found, err := r.im.findInside(colour, tolerance, corner.X > 0, corner.Y > 0)
	if err != nil {
		return inside{}, r.blame(step{name: "trim"}, err)
	}
	return found, nil
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
