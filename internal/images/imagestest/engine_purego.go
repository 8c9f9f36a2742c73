//go:build !cgo

package imagestest

import (
	"errors"
	"image"
	"io"
	"os"

	"calotype/internal/imagefile"
	"calotype/internal/render"
)

// newEngine returns an engine for the tests that run without cgo, and so without libvips: it examines pictures by the
// decoders of the standard library, and renders nothing.
func newEngine() (render.Engine, error) { return engine{}, nil }

type engine struct{}

func (engine) Version() string                              { return "without libvips" }
func (engine) Missing() map[imagefile.Format]string         { return nil }
func (engine) MissingEncoders() map[imagefile.Format]string { return nil }
func (engine) Libraries() map[imagefile.Format]string       { return nil }
func (engine) Render(_, _ *os.File, _ render.Job) (render.Output, error) {
	return render.Output{}, errors.New("this build renders nothing")
}

func (engine) Examine(in *os.File, h imagefile.Header) (render.Properties, error) {
	_, _, err := image.Decode(io.NewSectionReader(in, 0, 1<<40))
	w, height := h.Shown()
	return render.Properties{Width: w, Height: height, Frames: h.Frames, Thumbhash: make([]byte, 25)}, err
}
