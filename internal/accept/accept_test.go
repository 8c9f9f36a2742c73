package accept

import (
	"fmt"
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	t.Parallel()
	for accept, want := range map[string]bool{
		"image/webp": true,
		"image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8": true,
		"image/avif, image/webp;q=0.5":                                     true,
		"IMAGE/WebP":                                                       true,
		"image/webp ; Q=1.0":                                               true,
		"image/webp;q=0.001":                                               true,
		"\timage/webp\t":                                                   true,
		"image/webp;level=1;q=0.3":                                         true,
		`image/webp;x="a;q=0"`:                                             true,
		`text/x;a="\"," , image/webp`:                                      true,
		"image/webp;q=0, image/webp":                                       true,
		"":                                                                 false,
		"*/*":                                                              false,
		"image/*":                                                          false,
		"image/png,image/*;q=0.8,*/*;q=0.5":                                false,
		"image/webp;q=0":                                                   false,
		"image/webp;q=0.000":                                               false,
		"image/webp; q=0":                                                  false,
		"image/webp;q=":                                                    false,
		"image/webp;q=x":                                                   false,
		"image/webp;q=-1":                                                  false,
		"image/webp;q=1e3":                                                 false,
		"image/webp;q=NaN":                                                 false,
		"image/webp;q=inf":                                                 false,
		"image/webp;q=1.0.0":                                               false,
		"image/webp;q=1.001":                                               false,
		"image/webp;q=.":                                                   false,
		"image/webpx":                                                      false,
		"ximage/webp":                                                      false,
		"image/webp/2":                                                     false,
		`text/x;a="b,image/webp,c"`:                                        false,
		`text/x;a="b,image/webp`:                                           false,
		strings.Repeat("a/b,", 1024) + "image/webp":                        false,
	} {
		if got := Names([]string{accept}, "image/webp"); got != want {
			t.Errorf("%.60q: got %v", accept, got)
		}
	}
	if !Names([]string{"image/png", "image/webp"}, "image/webp") {
		t.Error("the second line of a header was not read")
	}
	if Names(nil, "image/webp") {
		t.Error("no header names a type")
	}
}

// FuzzAccept: no header makes us serve a kind that it does not spell out, and what surrounds an
// element does not change what it says.
func FuzzAccept(f *testing.F) {
	for _, accept := range []string{
		"image/avif,image/webp;q=0.8,*/*", `a/b;c="d,\"e`, ";;q=,=", "image/webp;q=0.0",
	} {
		f.Add(accept)
	}
	f.Fuzz(func(t *testing.T, accept string) {
		named := Names([]string{accept}, "image/webp")
		if named && !strings.Contains(strings.ToLower(accept), "image/webp") {
			t.Errorf("%q names image/webp?", accept)
		}
		if len(accept) > maxBytes/2 {
			return
		}
		if !Names([]string{"image/webp", accept}, "image/webp") {
			t.Errorf("image/webp is not found before %q", accept)
		}
		if !strings.ContainsAny(accept, `"`) &&
			Names([]string{accept, "a/b;q=1"}, "image/webp") != named {
			t.Errorf("%q says another thing before a/b", accept)
		}
	})
}

// TestItems: the items of all lines in their order, with the weights that the grammar permits.
func TestItems(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		lines []string
		want  string
	}{
		{nil, "=1 "},
		{[]string{"de-CH, en;q=0.7,*;q=0"}, "de-CH=1 en=0.7 *=0 "},
		{[]string{"fr ; q=0.5", "ar;Q=.5, es;q=1.5;x"}, "fr=0.5 ar=0 es=0 "},
		{[]string{`a;x="q=0,b;q=0";q=0.25,b`}, "a=0.25 b=1 "},
		{[]string{"a;q=0.5;q=1"}, "a=0.5 "},
		{[]string{strings.Repeat("a", maxBytes)}, strings.Repeat("a", maxBytes) + "=1 "},
		{[]string{strings.Repeat("a", maxBytes+1)}, ""},
		{[]string{strings.Repeat("a", maxBytes/2), strings.Repeat("a", maxBytes/2)}, ""},
	} {
		got := ""
		for item, weight := range Items(c.lines) {
			got += fmt.Sprintf("%s=%v ", item, weight)
		}
		if got != c.want {
			t.Errorf("%.60q: %.60q, want %.60q", c.lines, got, c.want)
		}
	}
}
