package delivery_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/png"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"calotype/internal/imagefile"
	"calotype/internal/images/imagestest"
)

const (
	slowVary  = "Downlink, Ect, Rtt, Save-Data"
	widthVary = "Sec-Ch-Dpr, Sec-Ch-Ua-Mobile, Sec-Ch-Ua-Platform, Sec-Ch-Viewport-Width, Sec-Ch-Width, User-Agent"
	both      = "image/avif,image/webp,image/apng,*/*;q=0.8"
)

// originals are an opaque photograph, a PNG with transparency and an animation, by name.
func originals(t *testing.T, h *host) map[string]string {
	t.Helper()
	clear := encode(t, func(w io.Writer) error {
		m := image.NewNRGBA(image.Rect(0, 0, 50, 40))
		m.SetNRGBA(3, 3, color.NRGBA{200, 10, 10, 128})
		return png.Encode(w, m)
	})
	moving := encode(t, func(w io.Writer) error {
		frame := func(shade uint8) *image.Paletted {
			return image.NewPaletted(image.Rect(0, 0, 40, 30), color.Palette{color.Gray{Y: shade}})
		}
		return gif.EncodeAll(w, &gif.GIF{Image: []*image.Paletted{frame(10), frame(200)}, Delay: []int{5, 5}})
	})
	paths := map[string]string{}
	for name, data := range map[string][]byte{"photo": imagestest.JPEG(t, 1), "clear": clear, "moving": moving} {
		paths[name] = "/" + h.hash + "/" + h.upload(data, "", false).ID + "/"
	}
	return paths
}

// TestFormats has the format and Vary of each original, option and Accept.
func TestFormats(t *testing.T) {
	t.Parallel()
	h := newHost(t, imagestest.New(t), true)
	h.configure(true, time.Hour)
	path := originals(t, h)
	for _, c := range []struct {
		of, options, accept string
		want                imagefile.Format
		vary                string
	}{
		{"photo", "w=30", both, imagefile.AVIF, "Accept"},
		{"photo", "w=30", "image/webp,image/avif", imagefile.AVIF, "Accept"},
		{"photo", "w=30", `a/b;c="image/webp",image/avif;q=0.1`, imagefile.AVIF, "Accept"},
		{"photo", "w=30", "image/avif;q=0,image/webp", imagefile.WebP, "Accept"},
		{"photo", "w=30", `a/b;c="image/avif",image/webp;q=0.001`, imagefile.WebP, "Accept"},
		{"photo", "w=30", "image/*,*/*", imagefile.JPEG, "Accept"},
		{"photo", "w=30", "", imagefile.JPEG, "Accept"},
		{"photo", "w=30,f=auto", "image/avif", imagefile.AVIF, "Accept"},
		{"photo", "f=avif", "", imagefile.AVIF, ""},
		{"photo", "f=webp", both, imagefile.WebP, ""},
		{"photo", "f=webp,q=100", "", imagefile.WebP, ""},
		{"photo", "f=jpeg", both, imagefile.JPEG, ""},
		{"photo", "f=jpg", both, imagefile.JPEG, ""},
		{"photo", "f=baseline-jpeg", both, imagefile.JPEG, ""},
		{"photo", "f=png", both, imagefile.PNG, ""},
		{"photo", "f=png-force", both, imagefile.PNG, ""},
		{"photo", "compression=fast", both, imagefile.JPEG, ""},
		{"photo", "compression=fast,f=avif", both, imagefile.JPEG, ""},
		{"photo", "compression=fast,f=png", both, imagefile.PNG, ""},
		{"photo", "scq=20", both, imagefile.AVIF, "Accept, " + slowVary},
		{"photo", "scq=20,f=jpeg", both, imagefile.JPEG, slowVary},
		{"photo", "w=auto", both, imagefile.AVIF, "Accept, " + widthVary},
		{"photo", "w=auto,f=png", both, imagefile.PNG, widthVary},
		{"photo", "w=auto,scq=5", "", imagefile.JPEG, "Accept, " + widthVary + ", " + slowVary},
		{"clear", "w=30", both, imagefile.AVIF, "Accept"},
		{"clear", "w=30", "", imagefile.PNG, "Accept"},
		{"clear", "compression=fast", both, imagefile.WebP, "Accept"},
		{"clear", "compression=fast", "image/avif", imagefile.PNG, "Accept"},
		{"clear", "compression=fast,f=avif", "", imagefile.WebP, ""},
		{"moving", "w=30", both, imagefile.WebP, "Accept"},
		{"moving", "w=30", "image/avif", imagefile.GIF, "Accept"},
		{"moving", "w=30,anim=false", both, imagefile.AVIF, "Accept"},
		{"moving", "w=30,anim=false,f=avif", "", imagefile.AVIF, ""},
		{"moving", "w=30,f=avif", "", imagefile.WebP, ""},
		{"moving", "w=30,compression=fast", both, imagefile.WebP, "Accept"},
		{"moving", "w=30,compression=fast", "", imagefile.GIF, "Accept"},
		{"moving", "w=30,anim=false,compression=fast", both, imagefile.JPEG, ""},
	} {
		r := h.served(path[c.of]+c.options, c.want, "Accept", c.accept)
		if got := r.Header.Get("Vary"); got != c.vary {
			t.Errorf("%s, %s, %q: Vary is %q, want %q", c.of, c.options, c.accept, got, c.vary)
		}
		again := h.ask("GET", path[c.of]+c.options, "Accept", c.accept, "If-None-Match", r.Header.Get("ETag"))
		if again.StatusCode != 304 || again.Header.Get("Vary") != c.vary {
			t.Errorf("%s, %s: 304 is %d, Vary %q", c.of, c.options, again.StatusCode, again.Header.Get("Vary"))
		}
	}
}

// TestLargeAVIF: a rendition over 2.6 megapixels is no AVIF. Nothing is rendered: the client has it.
func TestLargeAVIF(t *testing.T) {
	t.Parallel()
	h := newHost(t, imagestest.New(t), true)
	h.configure(true, time.Hour)
	path := originals(t, h)["photo"]
	tag := func(options, accept string) string {
		t.Helper()
		r := h.ask("GET", path+options, "Accept", accept, "If-None-Match", "*")
		if r.StatusCode != 304 {
			t.Fatalf("%s: got %d", options, r.StatusCode)
		}
		return r.Header.Get("ETag")
	}
	const small, large = "w=1861,fit=contain", "w=1862,fit=contain" // of 64 x 48: 2,598,000 and 2,600,000 pixels
	webp, jpeg := tag(large+",f=webp", ""), tag(large+",f=jpeg", "")
	for _, c := range []struct{ options, accept, want string }{
		{small, both, tag(small+",f=avif", "")}, {large, both, webp}, {large, "image/avif", jpeg},
		{large + ",f=avif", "", webp},
	} {
		if got := tag(c.options, c.accept); got != c.want {
			t.Errorf("%s, %s: got %s, want %s", c.options, c.accept, got, c.want)
		}
	}
	if tag(small, both) == tag(small+",f=webp", "") || h.renditions() != 0 {
		t.Error("a smaller one is no AVIF, or was rendered")
	}
}

// TestEqualChoices: clients with the same result share a rendition, and those with another do not.
func TestEqualChoices(t *testing.T) {
	t.Parallel()
	h := newHost(t, imagestest.New(t), true)
	h.configure(true, time.Hour)
	path := originals(t, h)["photo"]
	tag := func(options string, headers ...string) string {
		t.Helper()
		r := h.ask("HEAD", path+options, headers...)
		if r.StatusCode != 200 {
			t.Fatalf("%s: got %d", options, r.StatusCode)
		}
		return r.Header.Get("ETag")
	}
	for _, c := range []struct {
		a, b  string
		equal bool
	}{
		{tag("w=20"), tag("w=20,f=jpeg"), true},
		{tag("w=20,f=webp"), tag("w=20", "Accept", "image/webp"), true},
		{tag("w=20,f=avif"), tag("w=20", "Accept", both), true},
		{tag("w=20,f=webp,q=100"), tag("w=20,q=100", "Accept", "image/webp"), false}, // lossless
		{tag("w=20,f=baseline-jpeg"), tag("w=20"), false},
		{tag("w=20,compression=fast"), tag("w=20"), false},
		{tag("q=30"), tag("q=80,scq=30", "ECT", "2g"), true},
		{tag("q=80"), tag("q=80,scq=30", "ECT", "4g"), true},
		{tag("q=80,scq=30", "RTT", "999"), tag("q=80,scq=30", "Save-Data", "on"), true},
		{tag("q=80,scq=30", "RTT", "999"), tag("q=80,scq=30", "RTT", "99"), false},
		{tag("w=320"), tag("w=auto", "Sec-CH-Viewport-Width", "200"), true},
		{tag("w=auto", "Sec-CH-UA-Mobile", "?1"), tag("w=auto", "Sec-CH-Viewport-Width", "200"), true},
		{tag("w=auto", "Sec-CH-Viewport-Width", "321"), tag("w=auto", "Sec-CH-Viewport-Width", "200"), false},
	} {
		if (c.a == c.b) != c.equal {
			t.Errorf("%s and %s: equal is %v", c.a, c.b, !c.equal)
		}
	}
}

// TestNoNegotiation: without negotiation no header of the client matters, but a format by name does.
func TestNoNegotiation(t *testing.T) {
	t.Parallel()
	h := newHost(t, imagestest.New(t), false)
	h.configure(true, time.Hour)
	path := originals(t, h)["photo"]
	for options, want := range map[string]imagefile.Format{
		"w=auto,scq=20": imagefile.JPEG, "f=avif,w=auto": imagefile.AVIF, "f=webp": imagefile.WebP,
	} {
		plain := h.served(path+options, want)
		other := h.served(path+options, want, "Accept", both, "ECT", "2g", "Sec-CH-UA-Mobile", "?1")
		if plain.Header.Get("Vary") != "" || plain.Header.Get("ETag") != other.Header.Get("ETag") {
			t.Errorf("%s: varies by %q", options, plain.Header.Get("Vary"))
		}
	}
}

// TestFormatOfAVariant: a named variant has a format, and hints.
func TestFormatOfAVariant(t *testing.T) {
	t.Parallel()
	h := newHost(t, imagestest.New(t), true)
	path := originals(t, h)["photo"]
	h.variant("avif", "format=avif,width=30", false)
	h.variant("base", "format=baseline-jpeg,width=30", false)
	h.variant("auto", "width=auto", false)
	h.served(path+"avif", imagefile.AVIF)
	h.served(path+"base", imagefile.JPEG, "Accept", both)
	if r := h.served(path+"auto", imagefile.JPEG); r.Header.Get("Vary") != "Accept, "+widthVary {
		t.Errorf("Vary is %q", r.Header.Get("Vary"))
	}
}

// described is the answer to format=json.
type described struct {
	Width, Height int
	Original      struct {
		FileSize      int64 `json:"file_size"`
		Width, Height int
		Format        string
	}
}

// TestDescription compares format=json with the real picture, for 200 random options.
func TestDescription(t *testing.T) {
	t.Parallel()
	h := newHost(t, imagestest.New(t), true)
	h.configure(true, time.Hour)
	data := imagestest.JPEG(t, 7)
	path := "/" + h.hash + "/" + h.upload(data, "", false).ID + "/"
	random := rand.New(rand.NewPCG(1, 2))
	fits := []string{"scale-down", "contain", "cover", "crop", "pad"}
	for range 200 {
		options := "fit=" + fits[random.IntN(len(fits))]
		for _, side := range []string{",w=", ",h="} {
			if random.IntN(4) > 0 {
				options += side + fmt.Sprint(1+random.IntN(150))
			}
		}
		if random.IntN(3) == 0 {
			options += fmt.Sprintf(",dpr=%.1f", 0.1+1.9*random.Float64())
		}
		r := h.ask("GET", path+options+",f=json", "Accept", both)
		var d described
		if err := json.Unmarshal(r.body, &d); err != nil || r.StatusCode != 200 ||
			r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Vary") != "" {
			t.Fatalf("%s: got %d, %v, %q", options, r.StatusCode, r.Header, r.body)
		}
		made := h.served(path+options, imagefile.JPEG)
		if got := fmt.Sprintf("%dx%d", d.Width, d.Height); got != size(t, made.body) {
			t.Errorf("%s: described as %s, is %s", options, got, size(t, made.body))
		}
		o := d.Original
		if o.FileSize != int64(len(data)) || o.Width != 64 || o.Height != 48 || o.Format != "image/jpeg" {
			t.Errorf("%s: the original is %+v", options, o)
		}
		if a, b := r.Header.Get("Cache-Control"), made.Header.Get("Cache-Control"); a != b {
			t.Errorf("%s: cached by %q, the picture by %q", options, a, b)
		}
	}
}

// TestDescriptionIsNoRendition: a description renders nothing, can be confirmed, and is private if the picture is.
func TestDescriptionIsNoRendition(t *testing.T) {
	t.Parallel()
	h := newHost(t, imagestest.New(t), true)
	h.configure(true, time.Hour)
	h.variant("info", "format=json,width=10", false)
	path := "/" + h.hash + "/" + h.upload(imagestest.JPEG(t, 1), "", false).ID + "/"
	r := h.ask("GET", path+"info")
	const want = `{"width":10,"height":8,"original":{"file_size":`
	if r.StatusCode != 200 || !strings.HasPrefix(string(r.body), want) {
		t.Fatalf("got %d %q", r.StatusCode, r.body)
	}
	if again := h.ask("GET", path+"info", "If-None-Match", r.Header.Get("ETag")); again.StatusCode != 304 {
		t.Errorf("got %d", again.StatusCode)
	}
	head := h.ask("HEAD", path+"info")
	if head.StatusCode != 200 || head.ContentLength != int64(len(r.body)) || len(head.body) != 0 {
		t.Errorf("HEAD: got %d, %d bytes", head.StatusCode, head.ContentLength)
	}
	other := h.ask("GET", path+"w=11,f=json")
	if bytes.Equal(other.body, r.body) || other.Header.Get("ETag") == r.Header.Get("ETag") {
		t.Error("two descriptions are one")
	}
	if n := h.renditions(); n != 0 {
		t.Errorf("%d renditions were made", n)
	}
	private := "/" + h.hash + "/" + h.upload(imagestest.JPEG(t, 2), "", true).ID + "/"
	refused := h.refused(private+"info", 403, 9425)
	if bytes.Contains(refused.body, []byte("file_size")) {
		t.Errorf("got %q", refused.body)
	}
	h.refused(private+"f=json", 403, 9425)
	signed := h.ask("GET", private+"info"+h.sign(private+"info", "?exp=1800000060"))
	if signed.StatusCode != 200 || signed.Header.Get("Cache-Control") != "private, max-age=60" {
		t.Errorf("signed: got %d, %q", signed.StatusCode, signed.Header.Get("Cache-Control"))
	}
}
