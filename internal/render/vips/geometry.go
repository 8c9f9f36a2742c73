package vips

// #include "shim.h"
import "C"
import "calotype/internal/imagefile"

// cut crops a picture to its middle before the resize if most of it would be cropped after the resize.
func (r *rendering) cut() error {
	w, h := r.plan.CutW, r.plan.CutH
	if w == 0 || h == 0 {
		return nil
	}
	if r.job.Header.Orientation >= 5 {
		w, h = h, w
	}
	return r.im.crop((r.im.width()-w)/2, (r.im.height()-h)/2, w, h)
}

// premultiply weighs colours by their opacity before they are mixed by a resize.
func (r *rendering) premultiply() error {
	r.multiplied = false
	if !r.im.alpha() || r.fits() {
		return nil
	}
	r.straight, r.multiplied = r.im.format(), true
	return r.im.premultiply()
}

// fits reports whether the image already has the right size.
func (r *rendering) fits() bool {
	w, h := r.target()
	return r.im.width() == w && r.im.height() == h
}

func (r *rendering) resize() error {
	if r.fits() {
		return nil
	}
	r.changed = true
	w, h := r.target()
	return r.im.resize(float64(w)/float64(r.im.width()), float64(h)/float64(r.im.height()))
}

func (r *rendering) unpremultiply() error {
	if !r.multiplied {
		return nil
	}
	return r.im.unpremultiply(r.straight)
}

// turn rotates the picture by the header's orientation, not by the decoder's, because decoders read it
// in different places. HEIC and AVIF are decoded upright and have orientation 1.
func (r *rendering) turn() error {
	o := r.job.Header.Orientation
	if o > 2 && r.rows == nil {
		// Rows are decoded from the top; turning needs them in another order.
		if err := r.im.copyToMemory(); err != nil {
			return err
		}
	}
	var err error
	switch o {
	case 3:
		err = r.im.rotate(C.VIPS_ANGLE_D180)
	case 4:
		err = r.im.flip(C.VIPS_DIRECTION_VERTICAL)
	case 5, 6:
		err = r.im.rotate(C.VIPS_ANGLE_D90)
	case 7, 8:
		err = r.im.rotate(C.VIPS_ANGLE_D270)
	}
	if err == nil && (o == 2 || o == 5 || o == 7) {
		err = r.im.flip(C.VIPS_DIRECTION_HORIZONTAL)
	}
	return err
}

// crop is before turn, which needs its input in memory.
func (r *rendering) crop() error {
	p := r.plan
	if p.CropX == 0 && p.CropY == 0 && p.CropW == p.ScaleW && p.CropH == p.ScaleH {
		return nil
	}
	x, y, w, h := p.CropX, p.CropY, p.CropW, p.CropH
	right, bottom := p.ScaleW-x-w, p.ScaleH-y-h
	// The position of the upright crop in the stored picture.
	switch r.job.Header.Orientation {
	case 2:
		x = right
	case 3:
		x, y = right, bottom
	case 4:
		y = bottom
	case 5:
		x, y = y, x
	case 6:
		x, y = y, right
	case 7:
		x, y = bottom, right
	case 8:
		x, y = bottom, x
	}
	if r.job.Header.Orientation >= 5 {
		w, h = h, w
	}
	r.changed = true
	return r.im.crop(x, y, w, h)
}

func (r *rendering) pad() error {
	p := r.plan
	if p.CanvasW == r.im.width() && p.CanvasH == r.im.height() {
		return nil
	}
	r.changed = true
	if r.im.alpha() && r.job.Options.Background == "" && r.job.Format != imagefile.JPEG {
		return r.im.embed(p.PadX, p.PadY, p.CanvasW, p.CanvasH, make([]float64, r.im.bands()))
	}
	fill, err := r.background()
	if err != nil {
		return err
	}
	if r.im.alpha() {
		fill = append(fill, 255)
	}
	return r.im.embed(p.PadX, p.PadY, p.CanvasW, p.CanvasH, fill)
}
