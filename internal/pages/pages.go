// Package pages serves the pages for browsers: a front page, a sample picture, the demo page, the viewer of the API's
// description, and the upload page of a one-time URL with the uploader, its client for other pages. It uses the core
// like the API does, and has one rule: the access to the demo page.
//
// upload.go writes the upload page for package intake, in a language of words.json; uploader.go serves its files and
// /uploader.js. Their sources are in web/upload and web/uploader.
//
// docs.go serves the viewer, whose sources are in web/docs.
//
// gate.go holds the rule. demo.go serves the page, whose sources are in web/ and which make build
// embeds, and the three small requests by which it acts without holding an API token. A request that
// the gate refuses is answered like an unknown path; on this machine the page names the file with the key:
// front.go.
package pages

import (
	_ "embed"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/cfapi"
	"calotype/internal/images"
)

// SamplePath is the path of the sample picture, for first steps without a picture.
const SamplePath = "/sample.jpg"

//go:embed sample.jpg
var sample []byte

// Config configures the pages. All fields except DemoKey, DemoHosts, Description and Observe must be set.
type Config struct {
	Core    *images.Service
	Account accounts.Account // for which the demo page acts
	URLs    cfapi.URLs
	Log     *slog.Logger

	DemoKey   string // opens the demo page; "" for no such page
	DemoHosts DemoHosts
	NotFound  http.Handler // answers the paths that no page has

	Description []byte // of the API, with the URLs of this server; nil for no viewer
	// Observe returns the observer of the answers on a route; nil for none.
	Observe func(route string) func(status int, took time.Duration)
}

// Serves reports whether a path is /, SamplePath, DemoPath or /docs, or below one of the last two.
func Serves(path string) bool {
	return path == "/" || path == SamplePath || isBelow(path, DemoPath) || isBelow(path, docsPath)
}

// isBelow reports whether a path is a parent or below it.
func isBelow(path, parent string) bool {
	rest, found := strings.CutPrefix(path, parent)
	return found && (rest == "" || rest[0] == '/')
}

// New returns the handler of the paths that Serves names.
func New(c Config) http.Handler { return newPages(c, embedded()) }

func send(w http.ResponseWriter, status int, kind string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that went away needs no answer
}
