// Package pages serves what browsers see besides pictures. It is a client of the other surfaces,
// with no rules of its own.
package pages

import (
	_ "embed"
	"net/http"
	"strconv"
)

// SamplePath is where the sample picture is, for first steps without a picture at hand.
const SamplePath = "/sample.jpg"

//go:embed sample.jpg
var sample []byte

const front = "Calotype, a self-hosted image service that speaks the Cloudflare Images API.\n"

// Serves reports whether the path is one of ours.
func Serves(path string) bool { return path == "/" || path == SamplePath }

// New returns the handler of the paths that Serves names.
func New() http.Handler { return http.HandlerFunc(serve) }

func serve(w http.ResponseWriter, r *http.Request) {
	body, kind := []byte(front), "text/plain; charset=utf-8"
	if r.URL.Path == SamplePath {
		body, kind = sample, "image/jpeg"
	}
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	h.Set("Content-Type", kind)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // a client that went away needs no answer
}
