package vips

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"calotype/internal/imagefile"
	"calotype/internal/render"
)

// This file compares renditions with those of ImageMagick.

// findMagick returns ImageMagick's program. Debian's also has a second name, because others named convert may come before
// it. Without one the test is skipped, but not in continuous integration.
func findMagick(t testing.TB) string {
	t.Helper()
	for _, name := range []string{"magick", "convert-im6.q16", "convert"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("CI") != "" {
		t.Fatal("ImageMagick is not installed: scripts/setup test installs it")
	}
	t.Skip("ImageMagick is not installed: scripts/setup test installs it")
	return ""
}

// convert runs ImageMagick in a folder.
func convert(t testing.TB, folder string, arguments ...string) {
	t.Helper()
	cmd := exec.Command(findMagick(t), arguments...)
	cmd.Dir = folder
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v: %s", cmd.Args, err, out)
	}
}

// magick runs ImageMagick on a picture and returns the result, a PNG.
func magick(t testing.TB, in []byte, arguments ...string) []byte {
	t.Helper()
	return magickTo(t, in, "PNG32:", arguments...)
}

// magickTo is magick with another format, such as "jpeg:".
func magickTo(t testing.TB, in []byte, format string, arguments ...string) []byte {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "in"), in, 0o600); err != nil {
		t.Fatal(err)
	}
	convert(t, dir, append(append([]string{"in"}, arguments...), format+"out")...)
	out, err := os.ReadFile(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// geometryCases are options, and the arguments between input and output of ImageMagick for a picture of 1081 x 721.
var geometryCases = map[string]string{
	"fit=scale-down,width=500,height=500":                    "-filter Lanczos -resize 500x333!",
	"fit=scale-down,width=333":                               "-filter Lanczos -resize 333x222!",
	"fit=scale-up,width=1500,height=1500":                    "-filter Catrom -resize 1500x1000!",
	"fit=contain,width=501,height=501":                       "-filter Lanczos -resize 501x334!",
	"fit=contain,width=1500,height=1500":                     "-filter Catrom -resize 1500x1000!",
	"fit=pad,width=501,height=401":                           "-filter Lanczos -resize 501x334! -background white -extent 501x401-0-33",
	"fit=pad,width=333,height=401,gravity=top":               "-filter Lanczos -resize 333x222! -background white -extent 333x401-0-0",
	"fit=cover,width=301,height=417":                         "-filter Lanczos -resize 625x417! -crop 301x417+162+0 +repage",
	"fit=cover,width=777,height=123":                         "-filter Lanczos -resize 777x518! -crop 777x123+0+197 +repage",
	"fit=cover,width=301,height=417,gravity=right":           "-filter Lanczos -resize 625x417! -crop 301x417+324+0 +repage",
	"fit=cover,width=777,height=123,gravity=0.5x0.25":        "-filter Lanczos -resize 777x518! -crop 777x123+0+98 +repage",
	"fit=crop,width=301,height=417":                          "-filter Lanczos -resize 625x417! -crop 301x417+162+0 +repage",
	"fit=crop,width=2000,height=55":                          "-crop 1081x55+0+333 +repage",
	"fit=aspect-crop,width=2000,height=100":                  "-crop 1081x54+0+333 +repage",
	"fit=aspect-crop,width=301,height=417":                   "-filter Lanczos -resize 625x417! -crop 301x417+162+0 +repage",
	"fit=squeeze,width=301,height=417":                       "-filter Lanczos -resize 301x417!",
	"fit=squeeze,width=301,height=1501":                      "-filter Lanczos -resize 301x721! -filter Catrom -resize 301x1501!",
	"fit=cover,width=1301,height=1417":                       "-filter Catrom -resize 2125x1417! -crop 1301x1417+412+0 +repage",
	"rotate=90,width=301":                                    "-rotate 90 -filter Lanczos -resize 301x451!",
	"rotate=270,flip=h,width=301":                            "-flop -rotate 270 -filter Lanczos -resize 301x451!",
	"flip=v,width=501":                                       "-flip -filter Lanczos -resize 501x334!",
	"trim=11;20;30;41,width=501":                             "-crop 1020x680+41+11 +repage -filter Lanczos -resize 501x334!",
	"trim=11;20;30;41,rotate=90,width=301":                   "-crop 1020x680+41+11 +repage -rotate 90 -filter Lanczos -resize 301x452!",
	"border=%231eb41e;7,width=501":                           "-filter Lanczos -resize 501x334! -bordercolor #1eb41e -border 7",
	"dpr=1.5,width=334,border=%231eb41e;7,trim=10;20;30;40":  "-crop 991x661+60+15 +repage -filter Lanczos -resize 501x334! -bordercolor #1eb41e -border 11",
	"fit=cover,width=301,height=417,gravity=left,rotate=180": "-rotate 180 -filter Lanczos -resize 625x417! -crop 301x417+0+0 +repage",
}

// TestLikeImageMagick compares with ImageMagick at 38 dB: a shift of half a pixel is below that.
func TestLikeImageMagick(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: compares with ImageMagick")
	}
	folder := t.TempDir()
	convert(t, folder, strings.Fields("-size 1081x721 -seed 7 plasma:fractal -depth 8 -define png:color-type=2 in.png")...)
	sources := map[string]string{"plasma": filepath.Join(folder, "in.png")}
	if corpus := os.Getenv("CALOTYPE_CORPUS"); corpus != "" {
		convert(t, folder, strings.Fields(filepath.Join(corpus, "bench/transformimgs__big-jpeg.jpg")+
			" -strip -resize 1081x721! -depth 8 -define png:color-type=2 photo.png")...)
		sources["photo"] = filepath.Join(folder, "photo.png")
	}
	for name, source := range sources {
		data, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		in, h := fileOf(t, data)
		for text, arguments := range geometryCases {
			o, err := render.ParseOptions(text)
			if err != nil {
				t.Fatal(err)
			}
			convert(t, folder, strings.Fields(source+" "+arguments+" -depth 8 -define png:color-type=2 out.png")...)
			reference, err := os.ReadFile(filepath.Join(folder, "out.png"))
			if err != nil {
				t.Fatal(err)
			}
			got := eightBits(t, made(t, in, render.Job{Header: h, Options: o, Format: imagefile.PNG}))
			db := psnr(t, got, eightBits(t, reference))
			t.Logf("%s %s: %.1f dB", name, text, db)
			if db < 38 {
				t.Errorf("%s %s: %.1f dB from ImageMagick's, less than 38", name, text, db)
			}
		}
	}
}
