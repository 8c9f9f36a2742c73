package pages

import "testing"

func TestLanguageOf(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]string{
		"": "en", "*": "en", "nl": "en", "de": "de", "DE-ch": "de", "nl,fr;q=0.8,de;q=0.9": "de",
		"en;q=0.5, ar;q=0.6": "ar", "es;q=0": "en", "es;q=2": "en", "es;q=NaN, fr;q=0.1": "fr",
		"de;q=1, fr;q=1": "de", " fr-CA ; q = 0.7 ": "fr", "de;;q=0.5, fr;q=0.4": "de",
	} {
		if got := languageOf([]string{header}); got != want {
			t.Errorf("%q: %s, want %s", header, got, want)
		}
	}
}

// FuzzLanguageOf: any header gives a language that exists.
func FuzzLanguageOf(f *testing.F) {
	for _, seed := range []string{"", "de-DE,de;q=0.9,en;q=0.8", "ar;q=1e-9", ";q=", "fr;q=-1", ",,,"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		if words[languageOf([]string{header})] == nil {
			t.Errorf("%q: %q", header, languageOf([]string{header}))
		}
	})
}
