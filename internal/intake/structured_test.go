package intake

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
)

func TestIntHeader(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		"0": 0, "7": 7, "007": 7, " 42 ": 42, "999999999999999": 999_999_999_999_999, "5;a": 5, "5;a=1;b=?0": 5,
		`5; name="x;y\"\\"`: 5, "5;d=-1.5": 5, "5;t=token/x:y*": 5, "5;b=:aGk=:": 5, "5;at=@1659578233": 5,
		`5;s=%"f%c3%bc"`: 5, "5;*k_-.*9": 5,
		"": -1, "-0": -1, "-5": -1, "+5": -1, "5.0": -1, "1000000000000000": -1, "five": -1, "?1": -1, `"5"`: -1,
		"5, 6": -1, "5 6": -1, "5;": -1, "5;A": -1, "5;a=": -1, "5;a=1.": -1, "5;a=1.2345": -1, "5;a=?2": -1,
		`5;a="x`: -1, `5;a="\x"`: -1, "5;a=:x": -1, "5;a=@1.5": -1, "5;a=%x": -1, "5;a=1234567890123.1": -1, "5 ;a": -1,
		"5\t": -1, "0x5": -1, "٥": -1, "5;a=\"\x7f\"": -1,
	} {
		n, ok := intHeader(http.Header{"X": {text}}, "X")
		if !ok {
			n = -1
		}
		if n != want {
			t.Errorf("%q is %d, want %d", text, n, want)
		}
	}
	for _, values := range [][]string{nil, {}, {"5", "5"}, {"", "5"}} {
		if n, ok := intHeader(http.Header{"X": values}, "X"); ok {
			t.Errorf("%q is %d", values, n)
		}
	}
}

func TestBoolHeader(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"?1": "true", "?0": "false", " ?1": "true", "?1;a=b": "true",
		"": "none", "1": "none", "true": "none", "?2": "none", "?": "none", "?10": "none", "?1, ?0": "none", "? 1": "none",
		"?T": "none", "?1;": "none",
	} {
		value, ok := boolHeader(http.Header{"X": {text}}, "X")
		got := "none"
		if ok {
			got = strconv.FormatBool(value)
		}
		if got != want {
			t.Errorf("%q is %s, want %s", text, got, want)
		}
	}
}

func TestDictionary(t *testing.T) {
	t.Parallel()
	got := dictionary(member{"max-size", 10 << 20}, member{"lost", -1}, member{"lost", maxInteger + 1}, member{"max-age", 0})
	if want := "max-size=10485760, max-age=0"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// FuzzStructured: what is accepted is within the bounds of an Integer, is one item, and stays the same value when
// its parameters are removed.
func FuzzStructured(f *testing.F) {
	for _, seed := range []string{"5", "?1", "?0;a", "5;a=1.5;b=\"x\"", "5;b=:aGk=:;c=@1;d=%\"x\"", "5,6", "-1", ";", "5;*=*"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		h := http.Header{"X": {text}}
		bare, _, _ := strings.Cut(strings.Trim(text, " "), ";")
		if n, ok := intHeader(h, "X"); ok {
			if n < 0 || n > maxInteger {
				t.Errorf("%q is %d", text, n)
			}
			if again, ok := intHeader(http.Header{"X": {strconv.FormatInt(n, 10)}}, "X"); !ok || again != n {
				t.Errorf("%q is %d, and then %d", text, n, again)
			}
			if bare == "" || strings.Trim(bare, "0123456789") != "" {
				t.Errorf("%q is an Integer", text)
			}
		}
		if value, ok := boolHeader(h, "X"); ok && bare != map[bool]string{true: "?1", false: "?0"}[value] {
			t.Errorf("%q is %v", text, value)
		}
		if length := bareItemLength(text); length < 0 || length > len(text) {
			t.Errorf("%q has an item of %d bytes", text, length)
		}
		if validParams(text) && strings.ContainsAny(text, "\x00\r\n\x7f") {
			t.Errorf("%q has parameters with control characters", text)
		}
	})
}
