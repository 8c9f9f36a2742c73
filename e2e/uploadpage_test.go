package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"calotype/internal/imagefile/imagefiletest"
)

// An uploadStep is a thing that browser/upload.mjs knows to do.
type uploadStep struct {
	Name     string          `json:"name"`
	Do       string          `json:"do"`
	URL      string          `json:"url,omitempty"`  // one-time URL
	Page     string          `json:"page,omitempty"` // of another origin
	File     string          `json:"file,omitempty"`
	Files    []string        `json:"files,omitempty"`
	Right    string          `json:"right,omitempty"` // the file after one that is refused
	Scheme   string          `json:"scheme,omitempty"`
	Locale   string          `json:"locale,omitempty"`
	Width    int             `json:"width,omitempty"`
	Height   int             `json:"height,omitempty"`
	Leads    string          `json:"leads,omitempty"`  // the beginning of the address at the end
	Reload   float64         `json:"reload,omitempty"` // when this part is sent
	Audit    bool            `json:"audit,omitempty"`
	Submit   bool            `json:"submit,omitempty"` // sends the plain form
	Waits    string          `json:"waits,omitempty"`  // the text of an upload that cannot end
	Requests []uploadRequest `json:"requests,omitempty"`
}

// An uploadRequest is a request by fetch.
type uploadRequest struct {
	URL     string            `json:"url"`
	Method  string            `json:"method"`
	Headers map[string]string `json:"headers,omitempty"`
	Base64  []byte            `json:"base64,omitempty"`
	Form    bool              `json:"form,omitempty"`
}

// uploadSeen is what the user of a step saw.
type uploadSeen struct {
	Name, Failed, Title, Text, Focused, Note, Stored string

	Errors, Hosts                        []string
	Sent, Status, Inputs, Left, Progress int
	Audits                               []struct {
		State      string
		Passes     int
		Violations []string
	}
	Outcome struct {
		Message      string
		Code, Status int
		Result       struct {
			ID       string
			Variants []string
			Receipt  string
		}
	}
	Answers []struct {
		Failed, Body string
		Status       int
	}
}

// A pageGround is a server behind a tunnel, with pictures in files and a browser.
type pageGround struct {
	*server
	tunnel *tunnel
	dir    string
	page   string // of another origin: /?url=... shows calotype-upload

	chromium, node string
}

// newPageGround starts the server with more arguments.
func newPageGround(t *testing.T, args ...string) *pageGround {
	t.Helper()
	chromium, node := browserParts(t)
	tn := newTunnel(t)
	s := newServer(t, append([]string{"-url", tn.URL}, args...)...)
	tn.lead(t, s.url)
	pages := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, `<!doctype html><html lang="en" dir="%s"><meta name="viewport" content="width=device-width">`+
			`<style>:root { color-scheme: light dark }</style><title>An app</title><link rel="icon" href="data:,">`+
			`<main><h1>An app</h1><script type="module">import { CalotypeUpload } from "%s/uploader.js"; Object.assign(`+
			`CalotypeUpload.words, { choose: "Pick one", bar: "How far", empty: "Nothing in it." })</script>`+
			`<calotype-upload url="%s"></calotype-upload></main>`, r.URL.Query().Get("dir"), tn.URL, r.URL.Query().Get("url"))
	}))
	t.Cleanup(pages.Close)
	return &pageGround{s, tn, t.TempDir(), pages.URL, chromium, node}
}

// file writes a file and returns its path.
func (g *pageGround) file(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(g.dir, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// play runs steps in the browser. CALOTYPE_SCREENSHOTS names a folder to keep what it looked like.
func (g *pageGround) play(t *testing.T, steps ...uploadStep) (all []uploadSeen) {
	t.Helper()
	input, err := json.Marshal(map[string]any{
		"chromium": g.chromium, "args": chromiumArgs(), "shots": os.Getenv("CALOTYPE_SCREENSHOTS"), "steps": steps,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(5+len(steps))*time.Minute)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, g.node, "browser/upload.mjs")
	cmd.WaitDelay = 10 * time.Second // the browser may hold the pipes
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(input), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Errorf("driving the browser: %v\n%s\n%s", err, stdout.String(), stderr.String())
	}
	for decoder := json.NewDecoder(&stdout); decoder.More(); {
		var seen uploadSeen
		if err := decoder.Decode(&seen); err != nil {
			t.Errorf("after %d: %v\n%s", len(all), err, stderr.String())
			break
		}
		all = append(all, seen)
		g.check(t, seen)
	}
	if len(all) != len(steps) {
		t.Fatalf("%d steps of %d", len(all), len(steps))
	}
	return all
}

// check: the page asks no other server, breaks no rule of its policy, and axe finds nothing.
func (g *pageGround) check(t *testing.T, seen uploadSeen) {
	t.Helper()
	if seen.Failed != "" {
		t.Errorf("%s: %s", seen.Name, seen.Failed)
	}
	if len(seen.Errors) > 0 {
		t.Errorf("%s: the browser complains: %q", seen.Name, seen.Errors)
	}
	for _, host := range seen.Hosts {
		if "http://"+host != g.tunnel.URL && "http://"+host != g.page {
			t.Errorf("%s: the page has asked %s", seen.Name, host)
		}
	}
	for _, audit := range seen.Audits {
		if len(audit.Violations) > 0 || audit.Passes < 10 {
			t.Errorf("%s, %s: axe passes %d and finds %s", seen.Name, audit.State, audit.Passes,
				strings.Join(audit.Violations, "\n"))
		}
	}
}

// wantDelivered: the image is no draft, has the bytes of a file, and is delivered.
func (g *pageGround) wantDelivered(t *testing.T, id, file string) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	p, ok := g.in(t).image(id)
	if !ok || p.Draft || p.Original == nil || p.Original.SHA256 != fmt.Sprintf("%x", sha256.Sum256(content)) {
		t.Fatalf("%s is %+v", id, p)
	}
	if p.Filename == nil || *p.Filename != filepath.Base(file) {
		t.Errorf("%s has the name %v, want %s", id, p.Filename, filepath.Base(file))
	}
	a := do(t, "GET", g.public(id), nil)
	if _, err := jpeg.DecodeConfig(bytes.NewReader(a.body)); a.status != http.StatusOK || err != nil {
		t.Errorf("%s is delivered with status %d: %v", id, a.status, err)
	}
}

// nineMegabytes is a photograph with the grain of a night, of 9 to 10 MB.
func nineMegabytes(t *testing.T) []byte {
	t.Helper()
	random := rand.New(rand.NewPCG(15, 9))
	img := image.NewYCbCr(image.Rect(0, 0, 4032, 3024), image.YCbCrSubsampleRatio420)
	for i := range img.Y {
		img.Y[i] = uint8(i%4032/32) + uint8(random.UintN(90))
	}
	for i := range img.Cb {
		img.Cb[i], img.Cr[i] = uint8(120+random.UintN(16)), uint8(120+random.UintN(16))
	}
	for quality := 88; quality <= 98; quality++ {
		var b bytes.Buffer
		if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: quality}); err != nil {
			t.Fatal(err)
		}
		if n := b.Len(); n > 9_000_000 && n < 10<<20 {
			return b.Bytes()
		}
	}
	t.Fatal("no photograph has 9 MB")
	return nil
}

// TestUploadPage uses the page as people do: in light and dark, on a phone and on a desk, from right to left, by
// keys, by drop and paste, without scripts and before they are loaded; and with URLs and files that are refused.
func TestUploadPage(t *testing.T) {
	t.Parallel()
	g := newPageGround(t)
	good := g.file(t, "Übung am See.jpg", photo(t, 1600, 1200, 41))
	text := g.file(t, "notes.txt", []byte("no picture"))
	half := photo(t, 900, 700, 42)
	broken := g.file(t, "half.jpg", half[:len(half)/2])

	used := g.createUploadURL()
	post(t, used.UploadURL, "a.jpg", photo(t, 64, 64, 43))
	var ids []string
	fresh := func() string {
		u := g.createUploadURL()
		ids = append(ids, u.ID)
		return u.UploadURL
	}
	steps := []uploadStep{
		{Name: "light-360", Do: "view", URL: fresh(), File: good, Width: 360, Height: 780},
		{Name: "light-1280", Do: "view", URL: fresh(), File: good},
		{Name: "dark-360", Do: "view", URL: fresh(), File: good, Width: 360, Height: 780, Scheme: "dark"},
		{Name: "dark-1280", Do: "view", URL: fresh(), File: good, Scheme: "dark"},
		{Name: "rtl-360", Do: "view", URL: fresh(), File: good, Width: 360, Height: 780, Locale: "ar"},
		{Name: "rtl-1280", Do: "view", URL: fresh(), File: good, Locale: "ar", Scheme: "dark"},
		{Name: "keyboard", Do: "keyboard", URL: fresh(), File: good},
		{Name: "plain", Do: "plain", URL: fresh(), File: good},
		{Name: "late", Do: "late", URL: fresh(), File: broken, Right: good},
		{Name: "taken over", Do: "early", URL: fresh(), File: good},
	}
	accepted := len(steps)
	steps = append(steps,
		uploadStep{Name: "drop", Do: "drop", URL: g.createUploadURL().UploadURL, File: good},
		uploadStep{Name: "paste", Do: "paste", URL: g.createUploadURL().UploadURL, File: good},
		uploadStep{Name: "not a picture", Do: "refused", URL: g.createUploadURL().UploadURL, File: text},
		uploadStep{Name: "plain refused", Do: "plain", URL: g.createUploadURL().UploadURL, File: text, Locale: "de"},
		uploadStep{Name: "left alone", Do: "early", URL: g.createUploadURL().UploadURL, File: good, Submit: true},
		uploadStep{Name: "notice", Do: "notice", URL: g.createUploadURL().UploadURL + "&page=5455"},
		uploadStep{
			Name: "waiting", Do: "waiting", URL: g.createUploadURL("policy", `{"test":"busy"}`).UploadURL, File: good,
		},
		uploadStep{Name: "stripped", Do: "stripped", URL: g.createUploadURL().UploadURL, File: good},
		uploadStep{Name: "used", Do: "closed", URL: used.UploadURL, Width: 360, Height: 780},
		uploadStep{Name: "unknown", Do: "closed", URL: g.tunnel.URL + "/upload/x/y?ticket=z", Locale: "fr"},
		uploadStep{Name: "unknown-rtl", Do: "closed", URL: g.tunnel.URL + "/upload/x/y", Locale: "ar", Scheme: "dark"},
	)
	seen := map[string]uploadSeen{}
	for i, one := range g.play(t, steps...) {
		seen[one.Name] = one
		if i < accepted {
			g.wantDelivered(t, ids[i], good)
		}
		if one.Title != "" && steps[i].Do == "view" && one.Focused != "H1" {
			t.Errorf("%s: the focus is on %s after the upload", one.Name, one.Focused)
		}
	}
	wantText := func(name, got, want string) {
		t.Helper()
		if !strings.Contains(got, want) {
			t.Errorf("%s: the user sees %q, want %q", name, got, want)
		}
	}
	wantText("keyboard", seen["keyboard"].Text, "Your picture has been uploaded")
	wantText("plain", seen["plain"].Text, "Thank you")
	wantText("plain refused", seen["plain refused"].Text, "Diese Datei ist kein Bild in einem angenommenen Format")
	wantText("not a picture", seen["not a picture"].Text, "This file is not a picture")
	wantText("late", seen["late"].Text, "This picture is damaged")
	wantText("taken over", seen["taken over"].Text, "Your picture has been uploaded")
	if n := seen["left alone"].Inputs; n != 1 {
		t.Errorf("while the plain form is being sent, the page has it %d times", n)
	}
	wantText("notice", seen["notice"].Note, "This file is not a picture of an accepted format.")
	wantText("waiting", seen["waiting"].Text, "The server is busy. The upload continues by itself.")
	wantText("waiting", seen["waiting"].Note, "Pause \u2068Übung am See.jpg")
	wantText("stripped", seen["stripped"].Text, "no Upload-Offset")
	if n := seen["not a picture"].Sent; n != 0 {
		t.Errorf("a file that is no picture was sent in %d requests", n)
	}
	for name, want := range map[string]struct {
		status int
		title  string
	}{
		"used": {409, "This link has been used"}, "unknown": {404, "Ce lien n’est pas valable"},
		"unknown-rtl": {404, "هذا الرابط غير صالح"},
	} {
		if got := seen[name]; got.Status != want.status || got.Title != want.title || got.Inputs != 0 {
			t.Errorf("%s: status %d, %q, with %d inputs", name, got.Status, got.Title, got.Inputs)
		}
	}
}

// animatedPNG is an animated PNG of two frames.
func animatedPNG(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 40, 30))); err != nil {
		t.Fatal(err)
	}
	be, join, chunk := imagefiletest.BE32, imagefiletest.Join, imagefiletest.PNGChunk
	const head = 8 + 25 // the signature and IHDR
	still := b.Bytes()
	data := still[head+8 : len(still)-4-12] // of the only IDAT, before IEND
	control := func(sequence int) []byte {
		return chunk("fcTL", join(be(sequence), be(40), be(30), be(0), be(0), imagefiletest.BE16(1),
			imagefiletest.BE16(10), []byte{0, 0}))
	}
	return join(still[:head], chunk("acTL", join(be(2), be(0))), control(0), chunk("IDAT", data), control(1),
		chunk("fdAT", join(be(2), data)), chunk("IEND", nil))
}

// TestUploadPagePolicy: the page accepts several pictures, refuses early what the policy refuses, and leads on.
func TestUploadPagePolicy(t *testing.T) {
	t.Parallel()
	g := newPageGround(t)
	one, two := g.file(t, "one.jpg", photo(t, 900, 700, 71)), g.file(t, "two.jpg", photo(t, 901, 700, 72))
	small := g.file(t, "small.jpg", photo(t, 300, 200, 73))
	gif := g.file(t, "a.gif", []byte("GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\xff\xff\x00\x00\x00,\x00\x00\x00\x00"+
		"\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"))
	still := g.file(t, "still.png", animatedPNG(t))
	strict := g.createUploadURL("policy", `{"formats":["jpeg","webp"],"minWidth":800,"aspectRatio":{"min":1}}`).UploadURL
	many := g.createUploadURL("policy", `{"uses":2}`)
	leads := g.createUploadURL("policy", `{"redirect":"`+g.page+`/thanks?a=b%20c#top"}`)
	plain := g.createUploadURL("policy", `{"redirect":"`+g.page+`/thanks?a=b%20c#top"}`)
	unmoved := g.createUploadURL("policy", `{"animated":false}`)
	elsewhere := g.createUploadURL("policy", `{"origins":["https://app.example.com"]}`)
	seen := map[string]uploadSeen{}
	for _, s := range g.play(t,
		uploadStep{Name: "format", Do: "refused", URL: strict, File: gif, Width: 360, Height: 780},
		uploadStep{Name: "size", Do: "refused", URL: strict, File: small, Locale: "de"},
		uploadStep{Name: "strict", Do: "upload", URL: strict, File: one},
		uploadStep{Name: "still", Do: "upload", URL: unmoved.UploadURL, File: still},
		uploadStep{Name: "many", Do: "upload", URL: many.UploadURL, Files: []string{one, two}},
		uploadStep{Name: "leads", Do: "upload", URL: leads.UploadURL, File: one, Leads: g.page + "/thanks"},
		uploadStep{Name: "plain", Do: "plain", URL: plain.UploadURL, File: one, Leads: g.page + "/thanks"},
		uploadStep{Name: "elsewhere", Do: "closed", URL: elsewhere.UploadURL},
	) {
		seen[s.Name] = s
	}
	for name, want := range map[string]string{
		"format": "GIF\u2069 is not accepted here",
		"size":   "300 × 200\u2069 Pixel. Breite: mindestens \u2068800\u2069 Pixel.",
		"leads":  "/thanks?a=b%20c&id=" + leads.ID + "&status=ok#top",
		"plain":  "/thanks?a=b%20c&id=" + plain.ID + "&status=ok#top",
	} {
		if got := seen[name]; !strings.Contains(got.Text, want) || got.Sent > 0 && name != "leads" && name != "plain" {
			t.Errorf("%s: the user sees %q after %d requests, want %q", name, got.Text, got.Sent, want)
		}
	}
	for _, rule := range []string{
		"Width: at least \u2068800\u2069 pixels.", "Width divided by height: at least \u20681\u2069.",
	} {
		if !strings.Contains(seen["format"].Note, rule) {
			t.Errorf("the page says %q, want %q", seen["format"].Note, rule)
		}
	}
	if seen["still"].Title != "Thank you" {
		t.Errorf("after an animation that is a still for the server: %q", seen["still"].Title)
	}
	if seen["many"].Title != "Thank you" || seen["elsewhere"].Status != http.StatusForbidden {
		t.Errorf("after all uses: %q; elsewhere: %d", seen["many"].Title, seen["elsewhere"].Status)
	}
	g.wantDelivered(t, many.ID+"/1", one)
	g.wantDelivered(t, many.ID+"/2", two)
	g.wantDelivered(t, leads.ID, one)
	g.wantDelivered(t, plain.ID, one)
}

// TestUploadPageReload: after a reload in the middle, the page continues when the user chooses the same file, and
// stores nothing that has the ticket.
func TestUploadPageReload(t *testing.T) {
	t.Parallel()
	g := newPageGround(t)
	photograph := nineMegabytes(t)
	file, size := g.file(t, "night.jpg", photograph), int64(len(photograph))
	u := g.createUploadURL()
	g.tunnel.rate = 2 << 20
	g.tunnel.expect()
	seen := g.play(t, uploadStep{Name: "reload", Do: "upload", URL: u.UploadURL, File: file, Reload: 0.4})[0]
	if sent, _ := g.tunnel.carried(); sent < size || sent > size+1<<20 {
		t.Errorf("%d bytes came for a file of %d", sent, size)
	}
	g.wantDelivered(t, u.ID, file)
	ticket := u.UploadURL[strings.LastIndex(u.UploadURL, "=")+1:]
	if strings.Contains(seen.Stored, ticket) || !strings.Contains(seen.Stored, "/upload/tus/") {
		t.Errorf("the browser has stored %s", seen.Stored)
	}
	if !strings.Contains(seen.Note, "night.jpg") || seen.Left != 0 {
		t.Errorf("the page says %q, and %d records are left", seen.Note, seen.Left)
	}
	offline := g.createUploadURL()
	g.play(t, uploadStep{Name: "offline", Do: "offline", URL: offline.UploadURL, File: file})
	g.wantDelivered(t, offline.ID, file)
}
