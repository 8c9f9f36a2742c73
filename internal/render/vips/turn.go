package vips

// #include "shim.h"
import "C"

// turn flips and rotates the picture by the options, and by the header's orientation, not by the decoder's, because
// decoders read it in different places. HEIC and AVIF are decoded upright and have orientation 1.
func (r *rendering) turn() error {
	o := r.orientation
	if o > 2 && r.rows == nil {
		// Rows are decoded from the top; turning needs them in another order.
		if err := r.im.copyToMemory(); err != nil {
			return err
		}
	}
	var err error
	switch o {
	case 3:
		err = r.im.rotate(C.ANGLE_180)
	case 4:
		err = r.im.flip(C.FLIP_VERTICAL)
	case 5, 6:
		err = r.im.rotate(C.ANGLE_90)
	case 7, 8:
		err = r.im.rotate(C.ANGLE_270)
	}
	if err == nil && (o == 2 || o == 5 || o == 7) {
		err = r.im.flip(C.FLIP_HORIZONTAL)
	}
	return err
}
