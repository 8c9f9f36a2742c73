package vips

// #include "shim.h"
import "C"

import "fmt"

// iccField holds the colour profile of a file.
const iccField = "icc-profile-data"

// colour converts to 8-bit sRGB or grey. It comes after resize, when there are few pixels left. A
// profile that cannot be used is ignored, as browsers do; without one, the other colour
// information of the file is used.
func (r *rendering) colour() error {
	cmyk := r.im.space() == C.SPACE_CMYK
	profile := r.im.has(iccField)
	if profile && (r.described.Coded || !r.im.profileFits()) {
		if err := r.dropProfile(); err != nil {
			return err
		}
		profile = false
	}
	described := r.described.Narrow || !profile && !cmyk && !likeSRGB(r.described)
	if !cmyk && !profile && !described {
		return r.toEightBits()
	}
	alpha, err := r.im.takeAlpha() // conversions of 16 bits to 8 would clip it
	if err != nil {
		return err
	}
	if r.described.Narrow {
		err = r.widen()
	}
	switch {
	case err != nil:
	case cmyk || profile:
		err = r.byProfile(cmyk)
	case !likeSRGB(r.described):
		err = r.byDescription()
	}
	if err == nil {
		err = r.toEightBits()
	}
	if err != nil {
		alpha.close()
		return err
	}
	return r.im.putAlpha(alpha)
}

func (r *rendering) dropProfile() error {
	if err := r.im.own(); err != nil {
		return err
	}
	r.im.remove(iccField)
	return nil
}

// byProfile converts by the profile of the file, or for a CMYK picture without one by libvips' CMYK
// profile, with black-point compensation, as ImageMagick and browsers do.
func (r *rendering) byProfile(cmyk bool) error {
	fallback := "srgb"
	if cmyk {
		fallback = "cmyk"
	}
	err := r.im.iccToSRGB(fallback, cmyk)
	if err == nil {
		return nil
	}
	if err := r.dropProfile(); err != nil || !cmyk {
		return err
	}
	return r.im.iccToSRGB(fallback, cmyk)
}

// profileFits reports whether the profile of an image is a device profile for the image's colour space.
// ICC.1, 7.2: its class is at 12, its space at 16, its connection space at 20.
func (im *vipsImage) profileFits() bool {
	const head = 24
	b := im.blob(iccField, head)
	if len(b) < head {
		return false
	}
	switch string(b[12:16]) {
	case "scnr", "mntr", "prtr", "spac":
	default:
		return false
	}
	if pcs := string(b[20:24]); pcs != "XYZ " && pcs != "Lab " {
		return false
	}
	want := "RGB "
	switch {
	case im.space() == C.SPACE_CMYK:
		want = "CMYK"
	case im.bands() < 3:
		want = "GRAY"
	}
	return string(b[16:20]) == want
}

// values returns the number of values of a band: 256 or 65,536.
func (r *rendering) values() (int, error) {
	switch r.im.format() {
	case C.FORMAT_UCHAR:
		return 1 << 8, nil
	case C.FORMAT_USHORT:
		return 1 << 16, nil
	}
	return 0, fmt.Errorf("colours of band format %d", r.im.format())
}

// widen maps values from 16 to 235 to values from 0 to 255; values with more bits were shifted up to 16 bits.
func (r *rendering) widen() error {
	n, err := r.values()
	if err != nil {
		return err
	}
	table := make([]uint16, n)
	for i := range table {
		wide := (i - 16*n/256) * (n - 1) / (219 * n / 256)
		table[i] = uint16(min(max(wide, 0), n-1))
	}
	if n > 1<<8 {
		return mapValues(r.im, table, C.FORMAT_USHORT)
	}
	narrow := make([]byte, n)
	for i, v := range table {
		narrow[i] = byte(v)
	}
	return mapValues(r.im, narrow, C.FORMAT_UCHAR)
}

// byDescription converts by the file's colour information other than a profile.
func (r *rendering) byDescription() error {
	n, err := r.values()
	if err != nil {
		return err
	}
	table := make([]float32, n)
	for i := range table {
		table[i] = float32(light(r.described, float64(i)/float64(n-1)))
	}
	m, ok := toLinearSRGB(r.described)
	if !ok || samePrimaries(r.described) {
		m = matrix{1, 0, 0, 0, 1, 0, 0, 0, 1}
	}
	if !bright(r.described) && (r.im.bands() < 3 || m[0] == 1) {
		return mapValues(r.im, srgbBytes(table), C.FORMAT_UCHAR)
	}
	if err := mapValues(r.im, table, C.FORMAT_FLOAT); err != nil {
		return err
	}
	if bright(r.described) {
		if err := r.im.tone(); err != nil {
			return err
		}
	}
	if r.im.bands() < 3 { // grey of high dynamic range is rare, so it is converted to colours
		if err := r.im.spread(); err != nil {
			return err
		}
	}
	return r.im.linearToSRGB(m)
}

func (r *rendering) toEightBits() error {
	space := C.int(C.SPACE_SRGB)
	if r.im.bands() < 3 {
		space = C.SPACE_GREY
	}
	if r.im.space() == space && r.im.format() == C.FORMAT_UCHAR {
		return nil
	}
	return r.im.toSpace(space)
}
