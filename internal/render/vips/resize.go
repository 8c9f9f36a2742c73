package vips

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
	return r.im.resize(r.target())
}

func (r *rendering) unpremultiply() error {
	if !r.multiplied {
		return nil
	}
	return r.im.unpremultiply(r.straight)
}
