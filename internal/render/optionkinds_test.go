package render

import (
	"strings"
	"testing"
)

// FuzzColour: a colour is read from its own text again, and in the text of a URL no other option can be hidden in it.
func FuzzColour(f *testing.F) {
	for _, s := range []string{"red", "#abc", "11223344", "rgb(1,2,3)", "rgba(1 2 3 / 4%)", "hsl(1turn,2%,3%)", "hsl(none 1 1)"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		text, ok := readColour(s)
		if !ok {
			if text != "" {
				t.Fatalf("%q: refused and %s", s, text)
			}
			return
		}
		again, ok := readColour(text)
		if !ok || again != text || len(text) != 7 && len(text) != 9 || !isColour(text) {
			t.Fatalf("%q became %q became %v, %v", s, text, again, ok)
		}
		items := 0
		for range SplitOptions("background=" + s) {
			items++
		}
		if items != 1 {
			t.Fatalf("%q is split into %d options", s, items)
		}
	})
}

func TestSplitOptions(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"": "", "a": "a", "a,b": "a|b", ",": "|", "a,,b,": "a||b|", "a=f(1,2),b": "a=f(1,2)|b", "a=f(1,(2,3),4),b": "a=f(1,(2,3),4)|b",
		"a=(1,2": "a=(1,2", "a),b": "a)|b", "a)),f(,),b": "a))|f(,)|b",
	} {
		var got []string
		for item := range SplitOptions(given) {
			got = append(got, item)
		}
		if strings.Join(got, "|") != want {
			t.Errorf("%q: got %q, want %q", given, got, want)
		}
	}
	for range SplitOptions("a,b") { // a caller may stop
		break
	}
}

func TestNumbersRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ option, must string }{
		{"blur", "a number from 0 to 250"}, {"sharpen", "a number from 0 to 10"},
		{"brightness", "a number from 0 to 255"}, {"contrast", "a number from 0 to 255"},
		{"gamma", "a number from 0 to 255"}, {"saturation", "a number from 0 to 255"},
	} {
		for _, value := range []string{
			"", ".", "1..2", "1.2.3", "-1", "+1", "-0", "1e1", "0x1", "NaN", "Inf", "inf", "1_0", " 1", "1 ", "1,5", "50%",
			"255.0001", "99999999999999999999", strings.Repeat("9", 400),
		} {
			var o Options
			if err := o.set(c.option, value); err == nil || err.Error() != c.option+" must be "+c.must {
				t.Errorf("%s=%s: %v", c.option, value, err)
			}
		}
	}
	for _, pair := range []string{"blur=250.001", "sharpen=10.001", "brightness=255.001"} {
		if o, err := ParseOptions(pair); err == nil {
			t.Errorf("%s: %+v", pair, o)
		}
	}
}
