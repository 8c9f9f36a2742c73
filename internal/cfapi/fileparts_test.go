package cfapi

import "testing"

// TestIsText: an SVG is a text that is a picture, also in UTF-16.
func TestIsText(t *testing.T) {
	t.Parallel()
	for part, want := range map[string]bool{
		"a.svg": true, "C:\\fakepath\\a.svg": true, "data:image/svg+xml,<svg/>": true, "PHN2Zy8+": true, " \n": true,
		"<svg/>": false, "\ufeff<svg/>": false, "\n <?xml version='1.0'?><svg/>": false, "\xff\xfe<\x00s\x00": false,
		"\xff\xd8\xff": false,
	} {
		if got := isText([]byte(part)); got != want {
			t.Errorf("%q: %v", part, got)
		}
	}
}
