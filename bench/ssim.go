package main

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
)

// frames are the pixels of a picture: the luma, 0 to 255, of each frame over white.
type frames struct {
	width, height int
	luma          [][]float64
}

// decode reads the pixels of a picture by sharp, whose libvips decodes both ours and theirs.
func (b *bench) decode(picture []byte) (frames, error) {
	file, err := os.CreateTemp(b.scratch, "pixels-")
	if err != nil {
		return frames{}, err
	}
	_, err = file.Write(picture)
	if err := errors.Join(err, file.Close()); err != nil {
		return frames{}, err
	}
	cmd := exec.Command("node", "bench/peers/sharp/pixels.mjs", file.Name())
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return frames{}, fmt.Errorf("decoding a picture: %w", err)
	}
	return parsePixels(out)
}

// parsePixels reads what pixels.mjs prints.
func parsePixels(out []byte) (f frames, err error) {
	var n int
	head, pixels, _ := bytes.Cut(out, []byte("\n"))
	if _, err := fmt.Sscan(string(head), &f.width, &f.height, &n); err != nil {
		return f, fmt.Errorf("reading the size of a picture: %w", err)
	}
	one := f.width * f.height
	if len(pixels) != 4*one*n {
		return f, fmt.Errorf("%d bytes of pixels for %d frames of %d x %d", len(pixels), n, f.width, f.height)
	}
	for i := range n {
		plane := make([]float64, one)
		for at := range plane {
			p := pixels[4*(i*one+at):]
			opacity := float64(p[3]) / 255
			y := 0.299*float64(p[0]) + 0.587*float64(p[1]) + 0.114*float64(p[2])
			plane[at] = y*opacity + 255*(1-opacity)
		}
		f.luma = append(f.luma, plane)
	}
	return f, nil
}

// shrunkTo returns the frames in a smaller size, by the filter Lanczos 3 with all of its taps: no decoder and no box
// filter shrinks before it. Like both programs it mixes values, not light.
func (f frames) shrunkTo(width, height int) frames {
	out := frames{width: width, height: height}
	for _, plane := range f.luma {
		wide := resample(plane, f.width, f.height, width)
		out.luma = append(out.luma, resample(wide, f.height, width, height))
	}
	return out
}

// resample scales the rows of a plane of width x height to a new width, and returns the plane transposed.
func resample(plane []float64, width, height, to int) []float64 {
	out := make([]float64, to*height)
	ratio := float64(width) / float64(to)
	for x := range to {
		center := (float64(x)+0.5)*ratio - 0.5
		first, last := int(math.Ceil(center-3*ratio)), int(math.Floor(center+3*ratio))
		taps, sum := make([]float64, last-first+1), 0.0
		for i := range taps {
			taps[i] = lanczos3((float64(first+i) - center) / ratio)
			sum += taps[i]
		}
		for y := range height {
			row, value := plane[y*width:(y+1)*width], 0.0
			for i, tap := range taps {
				value += tap * row[min(max(first+i, 0), width-1)]
			}
			out[x*height+y] = min(max(value/sum, 0), 255)
		}
	}
	return out
}

func lanczos3(x float64) float64 {
	switch {
	case x == 0:
		return 1
	case x <= -3 || x >= 3:
		return 0
	}
	x *= math.Pi
	return 3 * math.Sin(x) * math.Sin(x/3) / (x * x)
}

// ssim returns the structural similarity of two pictures of the same size, averaged over all frames: 1 for equal
// ones. It is that of Wang et al. (2004), with Gaussian windows of 11 x 11 pixels.
func ssim(a, b frames) (float64, error) {
	if a.width != b.width || a.height != b.height || len(a.luma) != len(b.luma) {
		return 0, fmt.Errorf("%d frames of %d x %d differ from %d of %d x %d",
			len(a.luma), a.width, a.height, len(b.luma), b.width, b.height)
	}
	sum := 0.0
	for i := range a.luma {
		sum += ssimPlane(a.luma[i], b.luma[i], a.width, a.height)
	}
	return sum / float64(len(a.luma)), nil
}

func ssimPlane(a, b []float64, width, height int) float64 {
	const c1, c2 = (0.01 * 255) * (0.01 * 255), (0.03 * 255) * (0.03 * 255)
	mean := func(p, q []float64) []float64 {
		product := make([]float64, len(a))
		for i := range product {
			product[i] = p[i] * q[i]
		}
		return blur(product, width, height)
	}
	meanA, meanB := blur(a, width, height), blur(b, width, height)
	squareA, squareB, both := mean(a, a), mean(b, b), mean(a, b)
	sum := 0.0
	for i := range meanA {
		ab := meanA[i] * meanB[i]
		squares := meanA[i]*meanA[i] + meanB[i]*meanB[i]
		varA, varB, cov := squareA[i]-meanA[i]*meanA[i], squareB[i]-meanB[i]*meanB[i], both[i]-ab
		sum += (2*ab + c1) * (2*cov + c2) / ((squares + c1) * (varA + varB + c2))
	}
	return sum / float64(len(meanA))
}

// blur returns the Gaussian means of all windows of 11 x 11 pixels that lie within a plane.
func blur(plane []float64, width, height int) []float64 {
	return blurRows(blurRows(plane, width, height), height, width-len(window)+1)
}

// window is a Gaussian of sigma 1.5.
var window = func() (w [11]float64) {
	sum := 0.0
	for i := range w {
		d := float64(i - len(w)/2)
		w[i] = math.Exp(-d * d / (2 * 1.5 * 1.5))
		sum += w[i]
	}
	for i := range w {
		w[i] /= sum
	}
	return w
}()

// blurRows blurs the rows of a plane and returns the plane transposed.
func blurRows(plane []float64, width, height int) []float64 {
	n := width - len(window) + 1
	out := make([]float64, n*height)
	for y := range height {
		row := plane[y*width : (y+1)*width]
		for x := range n {
			value := 0.0
			for i, weight := range window {
				value += weight * row[x+i]
			}
			out[x*height+y] = value
		}
	}
	return out
}
