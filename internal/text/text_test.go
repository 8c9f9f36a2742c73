package text

import "testing"

func TestWholeNumber(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"100": "100", "1e2": "100", "100.0": "100", "-3.0": "-3", "-0": "0", "1e15": "1000000000000000",
		"": "", "x": "x", "1.5": "1.5", "1e16": "1e16", "NaN": "NaN", "Inf": "Inf", "-Inf": "-Inf",
	} {
		if got := WholeNumber(given); got != want {
			t.Errorf("%q: got %q, want %q", given, got, want)
		}
	}
}
