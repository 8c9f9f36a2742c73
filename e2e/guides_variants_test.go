package e2e

import (
	"bytes"
	"fmt"
	"image/jpeg"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// variantsGuide is the guide of thumbnails.
const variantsGuide = "thumbnails-and-variants"

// guideSite is what the guide writes for the server and the account.
const guideSite = "https://images.example.com"

// TestVariantsGuide runs the commands of the guide, and requests every URL of its HTML and its loaders.
func TestVariantsGuide(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	id := s.uploaded(photo(t, 2000, 1500, 5))
	dir := t.TempDir()
	runShell(t, dir, guideScript(t, variantsGuide), s.guideEnviron())
	p, _ := s.image(id)
	names := make([]string, 0, len(p.Variants))
	sizes := map[string]string{"page": "1600x1200", "public": "1024x768", "thumb": "300x300"}
	for _, url := range p.Variants {
		name := filepath.Base(url)
		names = append(names, name)
		wantPicture(t, url, sizes[name])
	}
	if want := []string{"page", "public", "thumb"}; !slices.Equal(names, want) {
		t.Errorf("the image has the variants %v, want %v", names, want)
	}

	here := strings.NewReplacer(guideSite, s.url, "HASH", accountHashOf(accountID), "/ID/", "/"+id+"/")
	var seen []string
	for _, m := range regexp.MustCompile(`https://images\.example\.com/HASH/ID/([^\s"]+)`).
		FindAllStringSubmatch(guideFile(t, variantsGuide, "picture.html"), -1) {
		seen = append(seen, m[1])
		wantPicture(t, here.Replace(m[0]), map[string]string{
			"w=400": "400x300", "w=800": "800x600", "w=1600": "1600x1200", "w=1200": "1200x900",
			"w=100,h=100,fit=cover": "100x100", "w=100,h=100,fit=cover,dpr=2": "200x200", "w=600,h=600,fit=cover": "600x600",
		}[m[1]])
	}
	if len(seen) != 8 {
		t.Errorf("the HTML has the variants %v", seen)
	}
	for accept, want := range map[string]string{"image/avif,image/webp,*/*": "image/avif", "image/webp,*/*": "image/webp",
		"*/*": "image/jpeg"} {
		a := do(t, "GET", s.url+"/"+accountHashOf(accountID)+"/"+id+"/thumb", nil, "Accept", accept)
		if got := a.header.Get("Content-Type"); got != want || a.header.Get("Vary") != "Accept" {
			t.Errorf("Accept: %s gets %s, Vary %q", accept, got, a.header.Get("Vary"))
		}
	}
	wantLoaders(t, s, dir, id, here)
	wantVariantErrors(t, s, id)
}

// wantPicture requests a JPEG of a size.
func wantPicture(t *testing.T, url, want string) {
	t.Helper()
	a := do(t, "GET", url, nil)
	config, err := jpeg.DecodeConfig(bytes.NewReader(a.body))
	if got := fmt.Sprintf("%dx%d", config.Width, config.Height); err != nil || got != want {
		t.Errorf("%s: %d, %s, %v; want a JPEG of %s", url, a.status, got, err, want)
	}
}

// wantLoaders requests what the loaders of the guide make for a width of 400 pixels.
func wantLoaders(t *testing.T, s *server, dir, id string, here *strings.Replacer) {
	t.Helper()
	writeGuideFiles(t, variantsGuide, dir, "image-loader.js", "unpic.mjs")
	writeText(t, filepath.Join(dir, "package.json"), `{"type": "module"}`)
	linkModules(t, dir, map[string][]string{"../conformance/loaders": {"unpic"}})
	cmd := exec.CommandContext(t.Context(), "node", "--input-type=module", "-e", `
		import loader from './image-loader.js'
		import { resized } from './unpic.mjs'
		const [id] = process.argv.slice(1)
		console.log(loader({ src: id, width: 400 }))
		console.log(String(resized('https://images.example.com/HASH/' + id + '/public', 400)))`, id)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	lines := strings.Fields(string(out))
	if err != nil || len(lines) != 2 {
		t.Fatalf("%v\n%s", err, out)
	}
	other := regexp.MustCompile("`(https://images\\.example\\.com/cdn-cgi/image/[^`]*)`").
		FindStringSubmatch(readGuide(t, variantsGuide))
	for _, url := range append(lines, other[1]) {
		wantPicture(t, here.Replace(url), "400x300")
	}
}

// wantVariantErrors gets the errors of the guide's table.
func wantVariantErrors(t *testing.T, s *server, id string) {
	t.Helper()
	guide := readGuide(t, variantsGuide)
	base := s.url + "/" + accountHashOf(accountID) + "/"
	for url, want := range map[string]string{
		base + id + "/nothing":  "403 ERROR 9425: This account has no variant of this name",
		base + id + "/w=0x":     "400 ERROR 9401",
		base + id:               "400 ERROR 9432",
		base + "nothing/public": "404 ERROR 9431",
	} {
		a := do(t, "GET", url, nil)
		status, text, _ := strings.Cut(want, " ")
		if fmt.Sprint(a.status) != status || !strings.HasPrefix(string(a.body), text) ||
			!strings.Contains(guide, "| "+status+", `"+text) {
			t.Errorf("%s: %d %s, want %s, also in the guide", url, a.status, a.body, want)
		}
	}
	if a := s.api("PATCH", "images/v1/config", strings.NewReader(`{"flexible_variants": false}`),
		"Content-Type", "application/json"); a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if a := do(t, "GET", base+id+"/w=401", nil); a.status != http.StatusForbidden ||
		!strings.HasPrefix(string(a.body), "ERROR 9429") {
		t.Errorf("with options off: %d %s", a.status, a.body)
	}
}
