package csscolour

import (
	"strings"
	"testing"
)

func TestColours(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"white": "#ffffff", "AliceBlue": "#f0f8ff", "grey": "#808080", "darkslategrey": "#2f4f4f",
		"yellowgreen": "#9acd32", " red ": "#ff0000", "transparent": "#00000000", "TRANSPARENT": "#00000000",
		"#abc": "#aabbcc", "abc": "#aabbcc", "#ABCD": "#aabbccdd", "abcf": "#aabbcc", "#a1B2c3": "#a1b2c3",
		"a1b2c3": "#a1b2c3", "#a1b2c3d4": "#a1b2c3d4", "a1b2c3d4": "#a1b2c3d4", "#12345600": "#00000000",
		"000": "#000000", "123": "#112233",

		"rgb(255,136,0)": "#ff8800", "rgb( 255 , 136 , 0 )": "#ff8800", "RGB(255 136 0)": "#ff8800",
		"rgba(255,136,0,.5)": "#ff880080", "rgb(255,136,0,0.5)": "#ff880080", "rgba(255,136,0)": "#ff8800",
		"rgb(255 136 0/.5)": "#ff880080", "rgba(255 136 0 / 50%)": "#ff880080",
		"rgb(100%,50%,0%)": "#ff8000", "rgb(100% 136 none)": "#ff8800", "rgb(1.4,1.5,2.6)": "#010203",
		"rgb(300,-5,0)": "#ff0000", "rgb(1e2 0 +1)": "#640001", "rgba(1,2,3,2)": "#010203", "rgba(1,2,3,-1)": "#00000000",
		"rgb(1 2 3 / none)": "#00000000", "rgb(120%,-1%,0%)": "#ff0000", "rgb(\t1\n2 3)": "#010203",

		"hsl(0,100%,50%)": "#ff0000", "hsl(120, 100%, 25%)": "#008000", "hsl(240deg 100% 50%)": "#0000ff",
		"hsl(-120deg,100%,50%)": "#0000ff", "hsl(480 100 50)": "#00ff00", "hsl(0.5turn 100% 50%)": "#00ffff",
		"hsl(200grad 100% 50%)": "#00ffff", "hsl(3.14159265rad 100% 50%)": "#00ffff",
		"hsla(39,100%,50%,50%)": "#ffa60080", "hsl(39 100% 50% / 1)": "#ffa600", "hsl(none 0% 50%)": "#808080",
		"hsl(0,200%,50%)": "#ff0000", "hsl(0,0%,110%)": "#ffffff", "hsl(210,65%,20%)": "#123354",
	} {
		got, ok := Parse(given)
		if !ok || got != want {
			t.Errorf("%q: got %s, %v; want %s", given, got, ok, want)
		}
	}
	if len(colourNames) != 148 {
		t.Errorf("%d names", len(colourNames))
	}
}

func TestColoursRefused(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"", " ", "#", "##fff", "#ff", "#fffff", "#fffffff", "#fffffffff", "ggg", "#-12", "+12", "0x123", "1_2", "reddish",
		"currentcolor", "inherit", "none", "rgb", "rgb()", "rgb(", "rgb)", "rgb(1,2)", "rgb(1,2,3", "rgb(1,2,3))",
		"rgb(1,2,3,4,5)", "rgb(1 2 3 4)", "rgb(1 2 3, .5)", "rgb(1, 2 3)", "rgb(1,2,3/.5)", "rgb(1 2 / 3)",
		"rgb(1 2 3 / )", "rgb(1 2 3 / 1 / 1)", "rgb(1,,3)", "rgb(1,2%,3)", "rgb(none,0,0)", "rgb(1px,2,3)",
		"rgb(NaN,0,0)", "rgb(inf,0,0)", "rgb(0x1,0,0)", "rgb(1.,2,3)", "rgb(--1,0,0)", "rgb(1e999,0,0)", "rgb(e,0,0)",
		"rgb (1,2,3)", "hsl(0,100,50)", "hsl(0%,100%,50%)", "hsl(0,100%)", "hsl(1foo,1%,1%)", "hsl(0,1deg,1%)",
		"hwb(1 2% 3%)", "url(x)", "rgb(1,2,3);", "white;", "rgb(1,2,3)" + strings.Repeat(" ", 100),
	} {
		if got, ok := Parse(s); ok || got != "" {
			t.Errorf("%q is taken for %s", s, got)
		}
	}
}
