package e2e

import (
	"os"
	"testing"
)

// TestGallery writes a picture of each state of the upload page, of calotype-upload and of the front page to the folder
// in CALOTYPE_SCREENSHOTS: on a phone and on a desk, in light and dark, and from right to left. axe reads each state.
func TestGallery(t *testing.T) {
	if os.Getenv("CALOTYPE_SCREENSHOTS") == "" {
		t.Skip("CALOTYPE_SCREENSHOTS names no folder")
	}
	t.Parallel()
	g := newPageGround(t)
	large := g.file(t, "Übung am See mit einem sehr langen Namen, der nicht in eine Zeile passt.jpg", photo(t, 1600, 1200, 44))
	text := g.file(t, "notes.txt", []byte("no picture"))
	half := photo(t, 900, 700, 42)
	broken := g.file(t, "half.jpg", half[:len(half)/2])
	used := g.createUploadURL()
	post(t, used.UploadURL, "a.jpg", photo(t, 64, 64, 43))
	expired := g.createUploadURL("policy", `{"test":"expired"}`).UploadURL
	elsewhere := g.createUploadURL("policy", `{"origins":["https://app.example.com"]}`).UploadURL
	fresh := func(fields ...string) string { return g.createUploadURL(fields...).UploadURL }
	var steps []uploadStep
	for _, view := range []uploadStep{
		{Name: "light-360", Width: 360, Height: 780}, {Name: "light-1280"},
		{Name: "dark-360", Width: 360, Height: 780, Scheme: "dark"}, {Name: "dark-1280", Scheme: "dark"},
		{Name: "ar-360", Width: 360, Height: 780, Locale: "ar"},
	} {
		add := func(name, do string, more uploadStep) {
			more.Name, more.Do, more.Scheme, more.Locale = "all-"+view.Name+"-"+name, do, view.Scheme, view.Locale
			more.Width, more.Height = view.Width, view.Height
			steps = append(steps, more)
		}
		add("page", "states", uploadStep{URL: fresh(), Page: fresh(), File: large, Files: []string{text, broken}})
		add("many", "unscripted", uploadStep{URL: fresh("policy", `{"uses":3,"minWidth":300}`)})
		for name, url := range map[string]string{
			"used": used.UploadURL, "expired": expired, "unknown": g.tunnel.URL + "/upload/x/y?ticket=z",
			"elsewhere": elsewhere, "thanks": used.UploadURL + "&page=done", "front": g.tunnel.URL + "/",
		} {
			add(name, "closed", uploadStep{URL: url})
		}
		page := g.elementPage(g.createUploadURL())
		if view.Locale == "ar" {
			page += "&dir=rtl"
		}
		add("element", "elementStates", uploadStep{Page: page, File: large, Right: text})
	}
	g.play(t, steps...)
}
