package vips

import (
	"bytes"
	"fmt"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"calotype/internal/render"
)

func TestProbe(t *testing.T) {
	dir := os.Getenv("PROBE")
	if dir == "" {
		t.Skip()
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	for _, f := range files {
		if filepath.Ext(f) == ".py" {
			continue
		}
		in, err := os.Open(f)
		if err != nil {
			t.Fatal(err)
		}
		info, _ := in.Stat()
		h, err := render.ReadHeader(in, info.Size())
		if err != nil {
			fmt.Println(filepath.Base(f), "HEADER", err)
			continue
		}
		if err := render.DefaultLimits.Check(h); err != nil {
			fmt.Println(filepath.Base(f), "LIMIT", err)
			continue
		}
		facts, err := newEngine(t).Examine(in, h)
		fmt.Println(filepath.Base(f), h.Width, h.Height, h.Frames, facts.Alpha, err)
		out, _ := os.Create(filepath.Join(t.TempDir(), "out"))
		_, err = newEngine(t).Render(in, out, render.Job{Header: h, Format: render.PNG})
		if err != nil {
			fmt.Println("   RENDER", err)
			continue
		}
		data, _ := os.ReadFile(out.Name())
		m, err := png.Decode(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		for i := range 8 {
			x := m.Bounds().Dx() * (2*i + 1) / 16
			c := color.NRGBAModel.Convert(m.At(x, m.Bounds().Dy()/2)).(color.NRGBA)
			fmt.Print("  ", c.R, ",", c.G, ",", c.B, ",", c.A)
		}
		fmt.Println()
	}
}
