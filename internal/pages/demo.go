package pages

import (
	"embed"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"path"
	"strings"
	"time"

	"calotype/internal/cfapi"
	"calotype/internal/errs"
	"calotype/internal/httpframe"
	"calotype/internal/images"
)

// DemoPath is the path of the demo page; the paths of its files and requests are below it.
const DemoPath = "/try"

// built holds the page if it was built before the program was; else only a note that says so.
//
//go:embed all:dist
var built embed.FS

// embedded returns the folder with the built page.
func embedded() fs.FS {
	dist, err := fs.Sub(built, "dist")
	if err != nil {
		panic(err) // the name is a constant
	}
	return dist
}

const (
	indexFile = "index.html"
	unbuilt   = "This program was built without its web part, so there is no demo page in it.\n" +
		"Build it with \"make build\", which needs node and npm.\n"
)

// entering takes the browser on to the page by a request of our own: one that another site has
// begun, such as a mail in the browser, would come without the cookie.
const entering = `<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>Calotype</title>` +
	`<meta http-equiv="refresh" content="0;url=` + DemoPath + `">` +
	`<p><a href="` + DemoPath + `">To the demo page</a></p></html>`

type pages struct {
	Config
	gate   *gate
	web    fs.FS
	policy string // Content-Security-Policy
	drafts recent
	makes  *limiter
	looks  *limiter

	docs docs
	main []byte // the front page

	// Of Config.Observe; nil without.
	front, sample, demo, viewer func(status int, took time.Duration)
}

func newPages(c Config, web fs.FS) http.Handler {
	p := &pages{
		Config: c, web: web, policy: contentPolicy(c.URLs),
		gate:  newGate(c.DemoKey, c.DemoHosts, c.URLs.API),
		makes: newLimiter(1, 20), looks: newLimiter(10, 50),
	}
	if c.Description != nil {
		p.docs = newDocs(web, c.Description, c.URLs)
	}
	p.main = frontPage(!p.gate.hosts.Off(), c.Description != nil)
	if c.Observe != nil {
		p.front, p.sample = c.Observe("/"), c.Observe(SamplePath)
		p.demo, p.viewer = c.Observe(DemoPath), c.Observe(docsPath)
	}
	return p
}

// observe returns the metrics of the route of a path.
func (p *pages) observe(path string) func(status int, took time.Duration) {
	switch path {
	case "/":
		return p.front
	case SamplePath:
		return p.sample
	}
	if isBelow(path, docsPath) {
		return p.viewer
	}
	return p.demo
}

// contentPolicy lets the page load what is ours, and pictures that it was given by its user.
func contentPolicy(urls cfapi.URLs) string {
	return fmt.Sprintf("default-src 'none'; script-src 'self'; style-src 'self'; "+
		"img-src 'self' blob: %[2]s; connect-src 'self' %[1]s %[2]s; "+
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'", urls.Upload, urls.Delivery)
}

// A page answers a request. An empty route is not logged.
type page struct {
	route string
	serve func(w *httpframe.Response, r *http.Request) error
}

// plain is a page that is never refused, and logged only if it fails.
func plain(serve func(http.ResponseWriter, *http.Request)) *page {
	return &page{"", func(w *httpframe.Response, r *http.Request) error { serve(w, r); return nil }}
}

// ServeHTTP answers one request in the frame of httpframe, or passes it to NotFound.
func (p *pages) ServeHTTP(bare http.ResponseWriter, r *http.Request) {
	found := p.find(r)
	if found == nil {
		p.NotFound.ServeHTTP(bare, r)
		return
	}
	frame := httpframe.Frame{Message: "try", Log: p.Log, Quiet: found.route == ""}
	frame.Serve(bare, r, func(w *httpframe.Response) error {
		w.Observe = p.observe(r.URL.Path)
		w.Attrs = func() []slog.Attr { return []slog.Attr{slog.String("route", found.route)} }
		return found.serve(w, r)
	}, refuse)
}

// refuse answers with err in the wire of the API.
func refuse(w *httpframe.Response, err error) {
	refusal := cfapi.Refusal(err)
	w.Code = refusal.Code
	if refusal.Status >= http.StatusInternalServerError {
		w.Note(err)
	}
	w.Note(cfapi.WriteError(w, refusal))
}

// find returns the page of a request, nil for NotFound.
func (p *pages) find(r *http.Request) *page {
	switch {
	case r.URL.Path == "/", r.URL.Path == SamplePath:
		return plain(p.serveFixed)
	case isBelow(r.URL.Path, docsPath):
		return p.findDocs(r)
	case !p.gate.hostAllowed(r):
		return nil
	case r.Method == http.MethodGet && r.URL.Path == DemoPath && p.gate.hasKey(r):
		return plain(p.enter)
	case !p.gate.hasCookie(r) && p.asksForWayIn(r):
		return &page{DemoPath, sendWayIn}
	case !p.gate.hasCookie(r):
		return nil
	}
	return p.findDemo(r)
}

// enter exchanges the key for the cookie, so that the key stays in no history and no screenshot.
func (p *pages) enter(w http.ResponseWriter, r *http.Request) {
	p.gate.letIn(w, r)
	h := w.Header()
	p.setHeaders(h)
	h.Set("Referrer-Policy", "no-referrer")
	switch r.Header.Get("Sec-Fetch-Site") {
	case "cross-site", "same-site":
		send(w, http.StatusOK, "text/html; charset=utf-8", []byte(entering))
	default:
		http.Redirect(w, r, DemoPath, http.StatusSeeOther)
	}
}

func (p *pages) setHeaders(h http.Header) {
	h.Set("Content-Security-Policy", p.policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// findDemo returns a page of those that the gate opens.
func (p *pages) findDemo(r *http.Request) *page {
	get := r.Method == http.MethodGet || r.Method == http.MethodHead
	name := strings.TrimPrefix(r.URL.Path, DemoPath)
	switch {
	case name == "/api/draft" && r.Method == http.MethodPost:
		return result("draft", p.makeDraft)
	case name == "/api/image" && get:
		return result("image", p.showImage)
	case name == "/api/about" && get:
		return result("about", p.about)
	case name == "" && get:
		return p.file(indexFile)
	case strings.HasPrefix(name, "/assets/") && get:
		return p.file(name[1:])
	}
	return nil
}

// kinds are the types of the files that the page is built of.
var kinds = map[string]string{
	".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8",
	".css": "text/css; charset=utf-8", ".svg": "image/svg+xml",
}

// file returns the page of an embedded file, nil for an unknown one.
func (p *pages) file(name string) *page {
	content, err := fs.ReadFile(p.web, name)
	status, kind := http.StatusOK, kinds[path.Ext(name)]
	switch {
	case err != nil && name == indexFile:
		status, kind, content = http.StatusNotImplemented, "text/plain; charset=utf-8", []byte(unbuilt)
	case err != nil || kind == "":
		return nil
	}
	return plain(func(w http.ResponseWriter, _ *http.Request) {
		p.setHeaders(w.Header())
		if name != indexFile { // the others have a hash of their content in their names
			w.Header().Set("Cache-Control", "private, max-age=31536000, immutable")
		}
		send(w, status, kind, content)
	})
}

// result returns a page that answers with the result of fn in the wire of the API.
func result(route string, fn func(*http.Request) (any, error)) *page {
	return &page{route, func(w *httpframe.Response, r *http.Request) error {
		cfapi.Prepare(w, r)
		result, err := fn(r)
		if err == nil {
			w.Note(cfapi.WriteResult(w, result))
		}
		return err
	}}
}

// facts is what the page must know to show requests as a person would make them. The token is not
// among it.
type facts struct {
	Account        string `json:"account"`
	API            string `json:"api"` // the base URL that SDKs take
	Sample         string `json:"sample"`
	MaxUploadBytes int64  `json:"maxUploadBytes"`
}

func (p *pages) about(*http.Request) (any, error) {
	return facts{
		Account: p.Account.ID, API: p.URLs.API + "/client/v4", Sample: SamplePath,
		MaxUploadBytes: p.Core.MaxUploadBytes(),
	}, nil
}

// errOrigin refuses what another page has sent with our cookie.
var errOrigin error = &cfapi.Error{Status: http.StatusForbidden, Code: 5403, Final: true,
	Message: "The Origin of this request is not this server's own: open the page under the " +
		"address that the server has printed, or name the host with -demo."}

// makeDraft does what direct_upload does, and answers alike.
func (p *pages) makeDraft(r *http.Request) (any, error) {
	if !p.gate.originAllowed(r) {
		return nil, errOrigin
	}
	if err := p.makes.take(); err != nil {
		return nil, err
	}
	account, err := p.Core.Accounts.ByID(r.Context(), p.Account.ID) // its default policy changes while the server runs
	if err != nil {
		return nil, err
	}
	img, ticket, err := p.Core.CreateDraft(r.Context(), account.Owner(), images.NewDraft{})
	if err != nil {
		return nil, err
	}
	p.drafts.add(img.ID)
	return cfapi.WithInfo{Result: p.URLs.OneTimeURL(p.Account.Hash, img.ID, ticket)}, nil
}

// showImage answers as the API does, for images that the page has created only: it needs no others, and
// a client with the cookie gets no access to them.
func (p *pages) showImage(r *http.Request) (any, error) {
	id := r.URL.Query().Get("id")
	if !p.drafts.has(id) {
		return nil, errs.Errorf(errs.ImageNotFound,
			"This page has made no such image since the server was started.")
	}
	if err := p.looks.take(); err != nil {
		return nil, err
	}
	img, err := p.Core.Image(r.Context(), p.Account.ID, id)
	if err != nil {
		return nil, err
	}
	parts, err := p.Core.URLParts(r.Context(), p.Account.ID)
	return cfapi.OwnerImage(img, p.URLs.Variants(parts.Hash, img.ID, parts.Variants)), err
}
