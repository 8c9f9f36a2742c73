package render

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestOptionsString(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		options Options
		want    string
	}{
		{Options{Fit: ScaleDown, Metadata: MetadataCopyright}, ""},
		{Options{Width: 300, Height: 200, Fit: Cover, Metadata: MetadataCopyright},
			"fit=cover,height=200,width=300"},
		{Options{Width: 1366, Height: 768, Fit: ScaleDown, Metadata: MetadataNone},
			"height=768,metadata=none,width=1366"},
		{Options{Width: 1, Height: 2, Fit: Pad, Metadata: MetadataKeep, Background: "#ff8800",
			Quality: 100, Still: true},
			"anim=false,background=%23ff8800,fit=pad,height=2,metadata=keep,quality=100,width=1"},
		{Options{Fit: ScaleDown, Metadata: MetadataCopyright, Background: "#ff880080", Blur: 250_000, Brightness: -500,
			Contrast: 254_000, Gamma: 1_200, Saturation: -1000, Sharpen: 1},
			"background=%23ff880080,blur=250,brightness=0.5,contrast=255,gamma=2.2,saturation=0,sharpen=0.001"},
	} {
		if got := c.options.String(); got != c.want {
			t.Errorf("%+v: got %q, want %q", c.options, got, c.want)
		}
		if err := c.options.Validate(); err != nil {
			t.Errorf("%q: %v", c.want, err)
		}
		if got, err := ParseOptions(c.want); err != nil || got != c.options {
			t.Errorf("%q: got %+v, %v; want %+v", c.want, got, err, c.options)
		}
	}
}

// TestOptionsIdentity: spellings of the same options have one canonical string.
func TestOptionsIdentity(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ given, want string }{
		{"width=5,height=4", "height=4,width=5"},
		{"fit=scale-down,metadata=copyright,anim=true", ""},
		{"background=#AABBCC", "background=%23aabbcc"},
	} {
		o, err := ParseOptions(c.given)
		if err != nil || o.String() != c.want {
			t.Errorf("%q: got %q, %v; want %q", c.given, o.String(), err, c.want)
		}
	}
	if got := (Options{Width: 5}).String(); got != "width=5" {
		t.Errorf("an empty fit is the default: got %q", got)
	}
	if got := (Options{Background: "#ABCDEF"}).String(); got != "background=%23abcdef" {
		t.Errorf("colours differ by case: got %q", got)
	}
}

func TestParseOptionsRefuses(t *testing.T) {
	t.Parallel()
	const side, quality = "must be a whole number from 1 to 12000", "quality must be a number"
	const format = "format must be auto or one of avif, webp, jpeg, baseline-jpeg, png or json"
	for given, want := range map[string]string{
		"width=0":                        "width " + side,
		"width=12001":                    "width " + side,
		"width=-1":                       "width " + side,
		"width=+1":                       "width " + side,
		"width=007":                      "width " + side,
		"width=1e3":                      "width " + side,
		"width= 1":                       "width " + side,
		"width=":                         "width " + side,
		"height=99999999999":             "height " + side,
		"quality=best":                   quality,
		"quality=1e1":                    quality,
		"quality=":                       quality,
		"fit=stretch":                    "fit must be one of scale-down, scale-up, contain, cover, crop, aspect-crop, pad or",
		"fit=":                           "fit must be one of",
		"metadata=all":                   "metadata must be one of none, copyright or keep",
		"background=reddish":             "background must be a CSS colour: a name, transparent, #rgb",
		"background=%23gggggg":           "background must be a CSS colour",
		"background=":                    "background must be a CSS colour",
		"background=rgb(1,2,3":           "background must be a CSS colour",
		"background=rgb(1,2,3,w=4)":      "background must be a CSS colour",
		"border=#11223344;5":             "border must be an opaque colour",
		"trim=border;rgba(1,2,3,.5);0;0": "trim must be",
		"anim=no":                        "anim must be true or false",
		"format=":                        format,
		"format=AVIF":                    format,
		"format=svg":                     format,
		"width=autos":                    "width " + side + ", or auto",
		"height=auto":                    "height " + side,
		"compression=none":               "compression must be fast",
		"compression=":                   "compression must be fast",
		"slow-connection-quality=x":      "slow-connection-quality must be a number",
		"scq=5":                          "there is no option",
		"dpr=4":                          "dpr must be a number above 0, at most 3",
		"Width=2":                        "there is no option",
		"width":                          "name=value",
		"width=1,":                       "name=value",
		",":                              "name=value",
		"width=1,width=1":                "width is given twice",
		strings.Repeat("width", 200):     "longer than",
	} {
		o, err := ParseOptions(given)
		if err == nil || !strings.Contains(err.Error(), want) || o != (Options{}) {
			t.Errorf("%q: got %+v, %v; want %q", given, o, err, want)
		}
	}
}

func TestOptionsValidate(t *testing.T) {
	t.Parallel()
	good := Options{Fit: Cover, Metadata: MetadataNone}
	for name, change := range map[string]func(*Options){
		"width":                   func(o *Options) { o.Width = 12_001 },
		"height":                  func(o *Options) { o.Height = -1 },
		"fit":                     func(o *Options) { o.Fit = "" },
		"metadata":                func(o *Options) { o.Metadata = "exif" },
		"quality":                 func(o *Options) { o.Quality = 101 },
		"background":              func(o *Options) { o.Background = "#fff" },
		"blur":                    func(o *Options) { o.Blur = 250_001 },
		"brightness":              func(o *Options) { o.Brightness = -1000 },
		"contrast":                func(o *Options) { o.Contrast = 254_001 },
		"gamma":                   func(o *Options) { o.Gamma = -1001 },
		"saturation":              func(o *Options) { o.Saturation = -1001 },
		"sharpen":                 func(o *Options) { o.Sharpen = -1 },
		"format":                  func(o *Options) { o.Format = "auto" },
		"slow-connection-quality": func(o *Options) { o.SlowQuality = -1 },
	} {
		o := good
		if err := o.Validate(); err != nil {
			t.Fatal(err)
		}
		change(&o)
		if err := o.Validate(); err == nil || !strings.HasPrefix(err.Error(), name+" must be") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// FuzzOptions wants what ParseOptions takes to be valid and to come back from its canonical
// string, which is sorted and never longer than what was given in the same words.
func FuzzOptions(f *testing.F) {
	for _, s := range []string{
		"", "width=300", "fit=cover,height=200,width=300", "background=%23AABBCC,fit=pad",
		"anim=false,metadata=keep,quality=85", "width=1,width=2", "fit=,", "quality=101",
		"background=hsl(9,9%,9%),blur=1.50", "saturation=0,gamma=0,sharpen=.0001", "background=rgb(1 2 3 / 4%)",
		"trim=1;2;3;4;5;6,dpr=2.5", "trim=border;%23ffffff;5;3,flip=vh", "border=%23000000;1;0;0;2,gravity=0.3333x1",
		"gravity.x=0.2,gravity.y=1,rotate=360", "border.color=#fff,border.width=0",
		"format=avif,width=auto", "compression=fast,format=auto", "slow-connection-quality=low,format=png-force",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		o, err := ParseOptions(s)
		if err != nil {
			if o != (Options{}) {
				t.Fatalf("%q: an error and %+v", s, o)
			}
			return
		}
		if err := o.Validate(); err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		canonical := o.String()
		again, err := ParseOptions(canonical)
		if err != nil || again != o || again.String() != canonical {
			t.Fatalf("%q became %q became %+v, %v; want %+v", s, canonical, again, err, o)
		}
	})
}

// FuzzOptionsOfJSON wants valid options to come back from the JSON that shows them.
func FuzzOptionsOfJSON(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"width":300,"fit":"cover"}`, `{"width":"3e2","anim":false,"background":"#abc"}`,
		`{"width":"auto","format":"jpg","compression":"fast","slow-connection-quality":"low"}`,
		`{"quality":"high","metadata":null}`, `{"height":[1]}`, `{"blur":1}`, `{"width":1e400}`,
		`{"blur":"2.5","saturation":0,"gamma":0.001}`, `{"sharpen":1e-3,"background":"rgba(1,2,3,.5)"}`,
		`{"trim":{"left":1,"border":{"color":"#fff","keep":2}},"dpr":1.5}`, `{"border":{"color":"#000","top":3}}`,
		`{"gravity":{"x":0.25,"y":0},"rotate":90,"flip":"vh","zoom":0.1}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, given []byte) {
		var fields map[string]json.RawMessage
		if json.Unmarshal(given, &fields) != nil {
			return
		}
		o, err := OptionsOfJSON(fields)
		if err != nil {
			if o != (Options{}) {
				t.Fatalf("%q: an error and %+v", given, o)
			}
			return
		}
		if o.Validate() != nil {
			return
		}
		shown := map[string]json.RawMessage{}
		for name, value := range o.Fields() {
			if shown[name], err = json.Marshal(value); err != nil {
				t.Fatal(err)
			}
		}
		again, err := OptionsOfJSON(shown)
		if err != nil || again != o {
			t.Fatalf("%q is shown as %s and read as %+v, %v; want %+v", given, shown, again, err, o)
		}
	})
}

// BenchmarkOptions reads the options of a variant and writes their canonical string, as each delivery
// may.
func BenchmarkOptions(b *testing.B) {
	const text = "fit=cover,height=200,metadata=none,width=300"
	o, err := ParseOptions(text)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("parse", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := ParseOptions(text); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("string", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if o.String() != text {
				b.Fatal(o)
			}
		}
	})
}
