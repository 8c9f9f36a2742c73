package pages

import (
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"sync"

	"calotype/internal/cfapi"
)

// docsPath is the path of the viewer of the API's description. Its files and the description are below it.
const docsPath = "/docs"

const noDocs = "This program was built without its web part, so there is no viewer in it. GET /openapi.json returns " +
	"the description.\nBuild it with \"make build\", which needs node and npm.\n"

// docs are the files of the viewer by their paths below docsPath. Each is compressed at its first request.
type docs struct {
	files  map[string]func() asset
	policy string // Content-Security-Policy
}

// newDocs reads the viewer's files. description is the API's, with the URLs of this server.
func newDocs(web fs.FS, description []byte, urls cfapi.URLs) docs {
	d := docs{files: map[string]func() asset{}, policy: docsPolicy(urls)}
	d.add("/openapi.json", description, "application/json")
	index, err := fs.ReadFile(web, "docs/"+indexFile)
	if err != nil {
		d.add("", []byte(noDocs), "text/plain; charset=utf-8")
		return d
	}
	d.add("", index, kinds[".html"])
	names, err := fs.Glob(web, "docs/assets/*")
	for _, name := range names {
		if kind := kinds[path.Ext(name)]; kind != "" && err == nil {
			var content []byte
			content, err = fs.ReadFile(web, name)
			d.add(strings.TrimPrefix(name, "docs"), content, kind)
		}
	}
	if err != nil {
		panic(err) // the files are in the program
	}
	return d
}

func (d docs) add(name string, content []byte, kind string) {
	d.files[name] = sync.OnceValue(func() asset { return newAsset(content, kind) })
}

// docsPolicy lets the viewer load its own files, and send what its user tries to this server. Answers with pictures
// are shown as blobs; the icons of its style sheet are data.
func docsPolicy(urls cfapi.URLs) string {
	return fmt.Sprintf("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "+
		"connect-src 'self' %s %s %s; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
		urls.Upload, urls.Delivery, urls.Batch)
}

// findDocs returns the page of a path below docsPath, nil for an unknown one.
func (p *pages) findDocs(r *http.Request) *page {
	name := strings.TrimPrefix(r.URL.Path, docsPath)
	file := p.docs.files[name]
	if file == nil {
		return nil
	}
	return plain(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", p.docs.policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		h.Set("Cache-Control", "no-cache")
		if strings.HasPrefix(name, "/assets/") {
			h.Set("Cache-Control", immutable)
		}
		file().serve(w, r)
	})
}
