package delivery

import (
	"net/http"
	"slices"
	"strings"
)

// ignoredHeader is the header with the names of the options that were left out for an account with lenient options.
const ignoredHeader = "Calotype-Ignored-Options"

// unavailable are the options that are not available here, and the value for which one is not; "" for all values.
var unavailable = map[string]string{
	"draw": "", "face-zoom": "", "origin-auth": "", "segment": "", "upscale": "generate", "zoom": "",
}

// leaveOut returns the options of a URL without those that are not available here, and the names of these, each once.
func leaveOut(text string) (rest string, ignored []string) {
	var kept []string
	for pair := range strings.SplitSeq(text, ",") {
		key, value, _ := strings.Cut(pair, "=")
		name, _, _ := strings.Cut(key, ".")
		if only, found := unavailable[name]; !found || only != "" && only != value {
			kept = append(kept, pair)
		} else if !slices.Contains(ignored, name) {
			ignored = append(ignored, name)
		}
	}
	return strings.Join(kept, ","), ignored
}

// setIgnored sets the header of the ignored options.
func setIgnored(h http.Header, ignored []string) {
	if len(ignored) > 0 {
		h.Set(ignoredHeader, strings.Join(ignored, ", "))
	}
}
