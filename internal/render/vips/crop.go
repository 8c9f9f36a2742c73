package vips

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
