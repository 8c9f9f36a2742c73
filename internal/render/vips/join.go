package vips

// inMemory limits the pixels of a still rendition that is completely in memory, in bytes. A larger one
// is encoded while it is decoded, so it is not always known which of the two failed.
const inMemory = 64 << 20

// collect adds a finished frame of an animation.
func (r *rendering) collect() error {
	if r.rows == nil {
		return nil
	}
	size := r.im.width() * r.im.height() * r.im.bands()
	if r.frame == 0 {
		r.joined = newPixels(size * r.frames)
		r.bands = r.im.bands()
	}
	return r.im.writeTo(r.joined, size*r.frame)
}

// join joins the finished frames to one image, with their times. It also computes a still.
func (r *rendering) join() error {
	if r.rows == nil {
		if r.im.width()*r.im.height()*r.im.bands() > inMemory {
			return nil
		}
		err := r.im.copyToMemory()
		r.ready = err == nil
		return err
	}
	im, err := r.joined.image(r.plan.CanvasW, r.plan.CanvasH*r.frames, r.bands)
	if err != nil {
		return err
	}
	im.setInt("page-height", r.plan.CanvasH)
	im.setInt("n-pages", r.frames)
	im.setInts("delay", r.loaded.getInts("delay", r.frames))
	for _, name := range []string{"loop", "gif-palette"} {
		im.copyField(r.loaded, name)
	}
	r.im.close()
	r.im, r.ready = im, true
	return nil
}
