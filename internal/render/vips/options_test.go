package vips

import (
	"bytes"
	"image/color"
	"slices"
	"testing"

	"calotype/internal/render"
)

// TestEachOptionHasAStep wants each row of the table of options to change the bytes of a rendition: a
// row without a step does nothing.
func TestEachOptionHasAStep(t *testing.T) {
	photo := exifJPEG(encodeJPEG(t, quarters(80, 60, [4]color.NRGBA{red, green, blue, grey})), 1)
	large := encodeJPEG(t, quarters(400, 300, [4]color.NRGBA{red, green, blue, grey})) // progressive
	examples := map[string]struct {
		original      []byte
		without, with string
	}{
		"fit":         {photo, "height=20,width=20", "fit=cover,height=20,width=20"},
		"width":       {photo, "", "width=20"},
		"height":      {photo, "", "height=20"},
		"metadata":    {photo, "", "metadata=keep"},
		"background":  {photo, "fit=pad,height=20,width=20", "background=#ff0000,fit=pad,height=20,width=20"},
		"quality":     {photo, "", "quality=10"}, // auto: TestAutoQuality
		"anim":        {animation(t), "", "anim=false"},
		"gravity":     {photo, "fit=cover,height=20,width=20", "fit=cover,gravity=left,height=20,width=20"},
		"flip":        {photo, "", "flip=h"},
		"rotate":      {photo, "", "rotate=90"},
		"trim":        {photo, "", "trim=1;2;3;4"},
		"border":      {photo, "", "border=%23ff0000;5"},
		"dpr":         {photo, "width=20", "dpr=2,width=20"},
		"blur":        {photo, "", "blur=1"},
		"brightness":  {photo, "", "brightness=0.9"},
		"contrast":    {photo, "", "contrast=1.1"},
		"gamma":       {photo, "", "gamma=1.1"},
		"saturation":  {photo, "", "saturation=0"},
		"sharpen":     {photo, "", "sharpen=1"},
		"format":      {large, "", "format=baseline-jpeg"},
		"compression": {large, "", "compression=fast"},
	}
	// Those that a surface resolves before a job.
	resolved := []string{"slow-connection-quality"}
	for _, row := range render.AllOptions() {
		if slices.Contains(resolved, row.Name) {
			continue
		}
		example, ok := examples[row.Name]
		if !ok {
			t.Errorf("this test has no example of the option %s", row.Name)
			continue
		}
		in, h := fileOf(t, example.original)
		rendition := func(text string) []byte {
			o, err := render.ParseOptions(text)
			if err != nil {
				t.Fatal(err)
			}
			return made(t, in, render.Job{Header: h, Options: o, Format: h.Format})
		}
		if bytes.Equal(rendition(example.without), rendition(example.with)) {
			t.Errorf("the option %s changes nothing: no step of the pipeline reads its field", row.Name)
		}
	}
}
