package delivery

import (
	"errors"
	"os"
	"strings"
	"testing"

	"calotype/internal/render"
)

// split returns the canonical string of a transform without its format, and the format.
func split(r transform) (string, render.OutputFormat) {
	format := r.options.Format
	r.options.Format = render.FormatAuto
	return r.options.String(), format
}

func TestParseTransform(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct {
		options string
		format  render.OutputFormat
	}{
		"w=400,fit=cover":         {"fit=cover,width=400", ""},
		"width=400,height=300":    {"height=300,width=400", ""},
		"w=1,h=2,q=3,f=webp":      {"height=2,quality=3,width=1", render.FormatWebP},
		"format=auto,w=5":         {"width=5", ""},
		"format=avif":             {"", render.FormatAVIF},
		"f=jpg":                   {"", render.FormatJPEG},
		"f=png,anim=false":        {"anim=false", render.FormatPNG},
		"w=auto,scq=low,f=json":   {"slow-connection-quality=35,width=auto", render.FormatJSON},
		"fit=pad,background=#FFF": {"background=%23ffffff,fit=pad", ""},
		"background=%2310aB20":    {"background=%2310ab20", ""}, // escaped twice
		"metadata=none":           {"metadata=none", ""},
		"blur=5,w=9":              {"blur=5,width=9", ""},
		"sharpen=0,brightness=1":  {"", ""},
		"saturation=0,gamma=0":    {"saturation=0", ""},

		"background=rgb(1,2,3),w=9,contrast=1.50": {"background=%23010203,contrast=1.5,width=9", ""},
		"w=9,background=rgba(1,2,3,0.5),h=8":      {"background=%2301020380,height=8,width=9", ""},
		"background=hsl(120deg 100% 50% / 1)":     {"background=%2300ff00", ""},
		"background=ffffff,fit=pad":               {"background=%23ffffff,fit=pad", ""},
		"background=transparent":                  {"background=%2300000000", ""},
		"q=high":                                  {"quality=90", ""},
		"quality=medium-low":                      {"quality=50", ""},
		"g=center,w=5":                            {"width=5", ""},
		"gravity=0.5x0.5":                         {"", ""},
		"w=100,h=33,dpr=1.5":                      {"height=50,width=150", ""},
		"dpr=2,w=100":                             {"width=200", ""},
		"dpr=2,w=12000":                           {"width=12000", ""},
		"dpr=0.001,w=10":                          {"width=1", ""},
	} {
		got, err := parseTransform(text, false)
		if pixels, format := split(got); err != nil || pixels != want.options || format != want.format {
			t.Errorf("%s: got %q as %q, %v", text, pixels, format, err)
		}
	}
	for text, want := range map[string]string{
		"w=0": "width must be", "w=-1": "width must be", "w=": "width must be",
		"w=1,x": "name=value", "=": "there is no option",
		"w=1,width=2": "width is given twice", "dpr=1,dpr=1": "dpr is given twice",
		"f=auto,format=auto": "format is given twice",
		"W=1":                "there is no option", "hacker=1": `no option "hacker"`,
		"dpr=3.01": "dpr must be", "dpr=0": "dpr must be", "dpr=NaN": "dpr must be",
		"dpr=0x1": "dpr must be", "dpr=1e0": "dpr must be", "dpr=.": "dpr must be",
		"f=svg": "format must be auto or one of", "f=": "format must be auto or one of",
		"g=middle": "gravity must be", "gravity=0x2": "gravity must be", "g=auto,gravity=top": "gravity is given twice",
		"fit=stretch": "fit must be one of", "fit=": "fit must be one of",
		"q=best":             "quality must be",
		"background=reddish": "background must be", "blur=251": "blur must be a number from 0 to 250",
		"background=rgb(1,2,w=9": "background must be", "background=rgb(1,2),w=9": "background must be",
		"background=rgb(1,2,3),3": "name=value", "sharpen=-1": "sharpen must be a number from 0 to 10",
		"blur=1,blur=0": "blur is given twice", "gamma=1e1": "gamma must be a number from 0 to 255",
		"rotate=45": "rotate must be", "trim=1;2;3": "trim must be", "onerror=ignore": "onerror must be redirect",
		strings.Repeat("w=1,", 200):       "longer than",
		"metadata=all":                    "metadata must be one of",
		"w=1\x00":                         "width must be",
		"w=\xff,h=1":                      "width must be",
		"compression=slow":                "compression must be fast",
		"scq=1,slow-connection-quality=5": "slow-connection-quality is given twice",
	} {
		if got, err := parseTransform(text, false); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80s: got %+v, %v; want %q", text, got, err, want)
		}
	}
}

// TestParseLeniently: a lenient parser leaves out what is not available here, names it, and refuses mistakes as the
// other one does.
func TestParseLeniently(t *testing.T) {
	t.Parallel()
	r, err := parseTransform("w=40,zoom=0.5,segment=foreground,g=face,upscale=generate,draw.a=b,draw.b=c,onerror=redirect", true)
	if err != nil || r.options.String() != "gravity=face,width=40" ||
		strings.Join(r.leftOut, " ") != "segment upscale draw zoom" {
		t.Errorf("got %+v, %v", r, err)
	}
	for _, text := range []string{"segment=x,w=1", "w=x", "hacker=1", "zoom=7"} {
		if r, err := parseTransform(text, true); err == nil {
			t.Errorf("%s: %+v", text, r)
		}
	}
	var unavailable *render.UnavailableOptionError
	if _, err := parseTransform("g=face,zoom=1", false); !errors.As(err, &unavailable) || unavailable.Option != "zoom" {
		t.Errorf("zoom: %v", err)
	}
}

// TestTransforms holds what the options in testdata/transforms.tsv are read as: their canonical string and the
// format that is asked for, or "refused" and the sentence. Pages hold such URLs, and caches the canonical
// strings: those never change.
func TestTransforms(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/transforms.tsv")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		given, want, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		r, err := parseTransform(given, false)
		pixels, format := split(r)
		got := pixels + "\t" + string(format)
		if err != nil {
			got = "refused\t" + err.Error()
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", given, got, want)
		}
	}
}

// FuzzTransform: what is accepted is a valid transform; what is refused is refused in a plain sentence.
func FuzzTransform(f *testing.F) {
	for _, text := range []string{
		"w=400,fit=cover", "w=1,h=2,q=3,f=webp", "dpr=1.5,w=3", "background=%23fff,fit=pad", "=", ",",
		"g=center", "anim=false,metadata=keep,quality=low", "w=1,w=1", "dpr=1e9", "\xff=\x00", "f=avif",
		"background=rgb(1,2,3),blur=1.5", "saturation=0,background=hsl(9 9% 9% / 9%)",
		"trim=1;2;3;4,rotate=90,flip=hv", "trim=border,border=%23fff;1;2;3;4", "g=0.25x0.7,fit=squeeze", "zoom=0.5,g=face",
		"trim.border.color=#fff,trim.border.keep=3,dpr=2.5", "border.color=#000,border.left=9", "upscale=generate",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := parseTransform(text, false)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\x00\n\r\t") || len(err.Error()) > 500 {
				t.Errorf("%q: the refusal is %q", text, err)
			}
			return
		}
		again, err := render.ParseOptions(r.options.String())
		if err != nil || again.String() != r.options.String() {
			t.Errorf("%q: %q does not read as itself: %v", text, r.options, err)
		}
	})
}

func BenchmarkParseTransform(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parseTransform("w=400,h=300,fit=cover,q=75,f=auto,dpr=2", false); err != nil {
			b.Fatal(err)
		}
	}
}
