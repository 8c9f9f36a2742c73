package pages

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"calotype/internal/cfapi"
	"calotype/internal/errs"
)

// links are the states of one-time URLs, by their tickets.
var links = map[string]OneTimeURL{
	"OPEN": {Status: "open"}, "MANY": {Status: "open", Many: true}, "USED": {Status: "used"},
	"EXPIRED": {Status: "expired"}, "DEAD": {Status: "dead"},
	"ELSEWHERE": {Status: "open", Origins: []string{"https://app.example.com"}},
	"HERE":      {Status: "open"},
	"LEADS":     {Status: "open", Redirect: "https://app.example.com:8443/done?x=1"},
}

var uploadWeb = fstest.MapFS{
	"upload/upload-abc.js":  {Data: []byte("run()")},
	"upload/upload-abc.css": {Data: []byte("body{}")},
	"upload/notes.txt":      {Data: []byte("no part of a page")},
	"uploader.js":           {Data: []byte("export {}")},
}

func newTestUpload(web fstest.MapFS) *uploadPage {
	return &uploadPage{UploadConfig{
		URLs: cfapi.URLs{Upload: "https://up.example.com"},
		OneTimeURL: func(_ context.Context, ticket string) (OneTimeURL, error) {
			if ticket == "BROKEN" {
				return OneTimeURL{}, errors.New("the database is gone")
			}
			link, found := links[ticket]
			if !found {
				return OneTimeURL{}, errs.Errorf(errs.TicketUnknown, "Upload URL not found")
			}
			return link, nil
		},
	}, newUploadFiles(web)}
}

func get(h http.Handler, target string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// TestUploadPage: the status and the words are those of the URL's state, and the script runs only where a picture
// can be sent.
func TestUploadPage(t *testing.T) {
	t.Parallel()
	page := newTestUpload(uploadWeb)
	for _, test := range []struct {
		query, language, title string
		status                 int
		form                   bool
	}{
		{"ticket=OPEN", "", "Upload a picture", 200, true},
		{"ticket=MANY", "de-AT,en;q=0.5", "Bilder hochladen", 200, true},
		{"ticket=USED", "fr", "Ce lien a déjà été utilisé", 409, false},
		{"ticket=EXPIRED", "ar", "انتهت صلاحية هذا الرابط", 410, false},
		{"ticket=DEAD", "es-MX", "Este enlace ya no funciona", 410, false},
		{"ticket=OTHER", "nl", "This link is not valid", 404, false},
		{"", "en", "This link is not valid", 404, false},
		{"ticket=ELSEWHERE", "de", "Dieser Link gehört zu einer anderen Seite", 403, false},
		{"ticket=HERE", "en", "Upload a picture", 200, true},
		{"ticket=BROKEN", "en", "The server cannot answer at the moment", 500, false},
		{"ticket=USED&page=done", "en", "Thank you", 200, false},
		{"ticket=EXPIRED&page=form", "en", "This link has expired", 410, false},
	} {
		w := get(page, "/upload/x/y?"+test.query, "Accept-Language", test.language)
		body := w.Body.String()
		if w.Code != test.status || !strings.Contains(body, "<h1>"+test.title+"</h1>") {
			t.Errorf("%s: status %d, want %d with %q:\n%s", test.query, w.Code, test.status, test.title, body)
		}
		if form, script := strings.Contains(body, "<form"), strings.Contains(body, "upload-abc.js"); form != test.form ||
			script != test.form {
			t.Errorf("%s: form %v, script %v, want %v", test.query, form, script, test.form)
		}
		if strings.Contains(body, "database") {
			t.Errorf("%s: the page shows an internal error", test.query)
		}
		if rtl := strings.Contains(body, `dir="rtl"`); rtl != (test.language == "ar") {
			t.Errorf("%s: right to left is %v", test.query, rtl)
		}
	}
}

// TestUploadPageNotice: the plain form leads back to the page, which says what came of the picture.
func TestUploadPageNotice(t *testing.T) {
	t.Parallel()
	page := newTestUpload(uploadWeb)
	for sent, want := range map[string]string{
		"form": "", "done": "Thank you. Uploaded.", "5455": "This file is not a picture of an accepted format.",
		"<b>": "The upload was refused.", "1": "The upload was refused.",
	} {
		body := get(page, "/upload/x/y?ticket=MANY&page="+sent).Body.String()
		if found := regexp.MustCompile(`<p class="note" role="alert">(.*)</p>`).FindStringSubmatch(body); want == "" &&
			found != nil || want != "" && (found == nil || found[1] != want) {
			t.Errorf("%q: the page says %q, want %q", sent, found, want)
		}
		if !strings.Contains(body, `action="?page=form&amp;ticket=MANY"`) {
			t.Errorf("%q: the form has another action:\n%s", sent, body)
		}
	}
}

// TestUploadPagePolicy: nothing runs without the nonce, which is new in each answer, and nothing is sent elsewhere.
func TestUploadPagePolicy(t *testing.T) {
	t.Parallel()
	for name, web := range map[string]fstest.MapFS{"built": uploadWeb, "not built": {}} {
		page := newTestUpload(web)
		nonces := map[string]bool{}
		for range 3 {
			w := get(page, "/upload/x/y?ticket=LEADS")
			policy := w.Header().Get("Content-Security-Policy")
			nonce := regexp.MustCompile(`script-src 'nonce-(\w{26})';`).FindStringSubmatch(policy)
			if nonce == nil || strings.Contains(policy, "unsafe") || !strings.Contains(policy, "default-src 'none'") ||
				!strings.Contains(policy, "connect-src 'self' https://up.example.com;") ||
				!strings.Contains(policy, "form-action 'self' https://app.example.com:8443;") {
				t.Fatalf("%s: the policy is %q", name, policy)
			}
			nonces[nonce[1]] = true
			tags := regexp.MustCompile(`<(script type="module"|style|link rel="stylesheet")([^>]*)>`)
			for _, tag := range tags.FindAllStringSubmatch(w.Body.String(), -1) {
				if !strings.Contains(tag[2], `nonce="`+nonce[1]+`"`) {
					t.Errorf("%s: %s has not the nonce", name, tag[0])
				}
			}
			if strings.Contains(w.Body.String(), " style=") || strings.Contains(w.Body.String(), " on") &&
				regexp.MustCompile(` on\w+="`).MatchString(w.Body.String()) {
				t.Errorf("%s: the page has styles or scripts in attributes", name)
			}
			for header, want := range map[string]string{
				"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff",
			} {
				if got := w.Header().Get(header); got != want {
					t.Errorf("%s: %s is %q", name, header, got)
				}
			}
		}
		if len(nonces) != 3 {
			t.Errorf("%s: a nonce was used twice", name)
		}
	}
}

// TestUploadPageFiles: the files are immutable, compressed if the client accepts it, and no others are served.
func TestUploadPageFiles(t *testing.T) {
	t.Parallel()
	page := newScripts(slog.New(slog.DiscardHandler), uploadWeb)
	w := get(page, "/upload/page/upload-abc.js", "Accept-Encoding", "br, gzip;q=0.5")
	z, err := gzip.NewReader(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(z); err != nil || string(body) != "run()" ||
		w.Header().Get("Content-Type") != "text/javascript; charset=utf-8" ||
		!strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
		t.Errorf("the script is %q, %v, %v", body, err, w.Header())
	}
	for _, coding := range []string{"", "gzip;q=0", "br"} {
		w := get(page, "/upload/page/upload-abc.js", "Accept-Encoding", coding)
		if w.Body.String() != "run()" || w.Header().Get("Content-Encoding") != "" {
			t.Errorf("%q: %q, %v", coding, w.Body, w.Header())
		}
	}
	// The page of another release names another hash.
	for name, want := range map[string]string{"upload-abd.js": "run()", "upload-1_-.css": "body{}"} {
		w := get(page, "/upload/page/"+name)
		if w.Body.String() != want || w.Header().Get("Cache-Control") != "no-cache" {
			t.Errorf("%s: %d %q, %v", name, w.Code, w.Body, w.Header())
		}
	}
	for _, name := range []string{"notes.txt", "", "../uploader.js", "other-abc.js", "upload-abc.txt", "upload-a/b.js"} {
		if w := get(page, "http://localhost/upload/page/"+name); w.Code != http.StatusNotFound {
			t.Errorf("%q: status %d", name, w.Code)
		}
	}
}

// TestUploader: any page may load the script, and a name with a hash is immutable only if the hash is right.
func TestUploader(t *testing.T) {
	t.Parallel()
	h := newScripts(slog.New(slog.DiscardHandler), uploadWeb)
	w := get(h, uploaderPath)
	versioned := w.Header().Get("Content-Location")
	if w.Code != 200 || w.Body.String() != "export {}" || !ServesScripts(versioned) ||
		w.Header().Get("Access-Control-Allow-Origin") != "*" || w.Header().Get("X-Content-Type-Options") != "nosniff" ||
		w.Header().Get("Content-Type") != "text/javascript; charset=utf-8" ||
		w.Header().Get("Cross-Origin-Resource-Policy") != "cross-origin" {
		t.Fatalf("status %d, %v: %s", w.Code, w.Header(), w.Body)
	}
	for path, want := range map[string]string{
		versioned: immutable, uploaderPath: "public, max-age=300", "/uploader-0123456789ab.js": "no-cache",
	} {
		w := get(h, path)
		if got := w.Header().Get("Cache-Control"); got != want || w.Code != 200 {
			t.Errorf("%s: status %d, Cache-Control %q, want %q", path, w.Code, got, want)
		}
		again := get(h, path, "If-None-Match", w.Header().Get("ETag"))
		if again.Code != http.StatusNotModified || again.Body.Len() > 0 {
			t.Errorf("%s: the second answer has status %d", path, again.Code)
		}
	}
	for path, want := range map[string]bool{
		"/uploader.js": true, "/uploader-0123456789ab.js": true, "/uploader-0123456789AB.js": false,
		"/uploader-1.js": false, "/uploader.js/x": false, "/uploader": false,
		"/upload/page/x": true, "/upload/pages": false,
	} {
		if ServesScripts(path) != want {
			t.Errorf("%s is served: %v", path, !want)
		}
	}
	if w := get(newScripts(slog.New(slog.DiscardHandler), fstest.MapFS{}), uploaderPath); w.Code != http.StatusNotImplemented {
		t.Errorf("without the web part: status %d", w.Code)
	}
}

// uploadRefusals are the kinds of refusals of a one-time URL.
var uploadRefusals = []errs.Kind{
	errs.Internal, errs.Invalid, errs.TicketUnknown, errs.TicketUsed, errs.TicketInvalid, errs.TicketBusy,
	errs.OffsetMismatch, errs.PartialBusy, errs.NotForm, errs.TooLarge, errs.TooSlow, errs.Aborted, errs.Unsupported,
	errs.Undecodable, errs.OverLimits, errs.PolicyRefused, errs.OriginRefused, errs.LimitReached, errs.AccountSuspended,
	errs.RateLimited, errs.Busy, errs.NoSpace, errs.Blocked,
}

// TestWords: each language has each text, with the same values, and each text that the page uses exists. Each refusal
// of a one-time URL has a text.
func TestWords(t *testing.T) {
	t.Parallel()
	values := regexp.MustCompile(`\{\w+\}`)
	valuesOf := func(text string) []string {
		all := values.FindAllString(text, -1)
		slices.Sort(all)
		return all
	}
	if len(words) != 5 {
		t.Errorf("%d languages", len(words))
	}
	for lang, all := range words {
		for key, text := range words[fallback] {
			if got := all[key]; got == "" || !slices.Equal(valuesOf(got), valuesOf(text)) {
				t.Errorf("%s: %s is %q, in English %q", lang, key, got, text)
			}
		}
		if len(all) != len(words[fallback]) {
			t.Errorf("%s has %d texts, English has %d", lang, len(all), len(words[fallback]))
		}
	}
	for _, kind := range uploadRefusals {
		code := cfapi.Refusal(errs.Errorf(kind, "")).Code
		if words[fallback][fmt.Sprintf("code%d", code)] == "" {
			t.Errorf("the refusal %d of an upload has no text", code)
		}
	}
	sources, err := filepath.Glob("../../web/upload/*")
	if err != nil || len(sources) < 5 {
		t.Fatal(sources, err)
	}
	used := 0
	for _, name := range sources {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, call := range regexp.MustCompile(`say\(([^)]*)`).FindAllSubmatch(source, -1) {
			for _, key := range regexp.MustCompile(`'(\w+)'`).FindAllSubmatch(call[1], -1) {
				used++
				if words[fallback][string(key[1])] == "" {
					t.Errorf("%s uses the text %q, which does not exist", name, key[1])
				}
			}
		}
	}
	if used < 40 {
		t.Errorf("only %d uses of texts were found", used)
	}
	var raw map[string]map[string]string
	decoder := json.NewDecoder(bytes.NewReader(wordsFile))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&raw); err != nil {
		t.Error(err)
	}
}

// TestUploadPageSize: with its files, compressed, the page has at most 60 KB, and the uploader at most 5 KB.
func TestUploadPageSize(t *testing.T) {
	t.Parallel()
	web := embedded()
	p := &uploadPage{newTestUpload(nil).UploadConfig, newUploadFiles(web)}
	files := p.files.all
	if len(files) == 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("the web part is not built: run scripts/build-web")
		}
		t.Skip("the web part is not built")
	}
	for lang := range words {
		html := newAsset(get(p, "/upload/x/y?ticket=OPEN", "Accept-Language", lang).Body.Bytes(), "")
		sum := len(html.small)
		for _, file := range files {
			sum += len(file.small)
		}
		if sum > 60_000 {
			t.Errorf("%s: the page has %d bytes", lang, sum)
		}
		t.Logf("%s: %d bytes with its files", lang, sum)
	}
	if len(files) != 2 {
		t.Errorf("the page has %d files: what loads the others?", len(files))
	}
	script := files[p.files.script].plain
	if found := regexp.MustCompile(`https?://[\w.-]+`).FindAll(script, -1); slices.ContainsFunc(found, func(u []byte) bool {
		return !strings.HasPrefix(string(u), "http://www.w3.org") && !strings.HasPrefix(string(u), "https://svelte.dev")
	}) {
		t.Errorf("the script names other servers: %q", found)
	}
	content, err := web.Open("uploader.js")
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	body, err := io.ReadAll(content)
	if size := len(newAsset(body, "").small); err != nil || size > 5_000 || bytes.Contains(body, []byte("import ")) {
		t.Errorf("the uploader has %d bytes, or imports: %v", size, err)
	} else {
		t.Logf("the uploader: %d bytes", size)
	}
}
