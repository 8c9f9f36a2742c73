package pages

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"

	"calotype/internal/httpframe"
)

// style is that of the plain pages. It has the colours of the demo page.
const style = `:root{color-scheme:light dark;--paper:#f5efe4;--ink:#2a2119;--sepia:#74431b}
@media(prefers-color-scheme:dark){:root{--paper:#16120e;--ink:#efe5d6;--sepia:#dea66c}}
body{margin:0 auto;max-width:40rem;padding:3rem 1rem;font:1rem/1.6 system-ui,sans-serif;
background:var(--paper);color:var(--ink)}
h1{font:400 2rem/1.2 Georgia,serif}a{color:var(--sepia)}li{margin:.5rem 0}code{overflow-wrap:anywhere}
input,button{font:inherit;padding:.5rem;min-height:2.75rem;box-sizing:border-box}
input{width:100%;max-width:22rem}:focus-visible{outline:3px solid var(--sepia);outline-offset:2px}`

// plainPolicy allows the style and a form that sends to this server, and nothing else.
var plainPolicy = func() string {
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
}()

// plainPage is an HTML page of text. Title and body are constants of this package.
func plainPage(title, body string) []byte {
	return fmt.Appendf(nil, `<!doctype html><html lang="en"><head><meta charset="utf-8">`+
		`<meta name="viewport" content="width=device-width, initial-scale=1">`+
		`<meta name="robots" content="noindex"><title>%s</title><style>%s</style></head>`+
		`<body><main><h1>%s</h1>%s</main></body></html>`, title, style, title, body)
}

const (
	keyHint = `The server prints the link to it at its start. The key in the link is also in the file ` +
		`<code>try-key</code> of the data folder.`
	frontDemo = `<li><a href="` + DemoPath + `">Try an upload</a>: a page that shows each step. ` + keyHint + `</li>`
	frontDocs = `<li><a href="` + docsPath + `">The API</a>: each operation with its fields, examples and ` +
		`refusals.</li>`
	frontEnd = `<li><a href="/openapi.json">The API as OpenAPI</a>, for programs.</li>` +
		`<li>The guides are in the folder <code>docs</code> of the source; begin with its README.</li>` +
		`<li><a href="/healthz">Health</a>: the server answers; <a href="/readyz">readiness</a>: it can take ` +
		`requests.</li></ul>`
	frontBegin = `<p>This server stores pictures that users upload, and delivers them in the sizes and formats ` +
		`that a page needs. It speaks the Cloudflare Images API.</p><ul>`
)

// frontPage returns the page of /.
func frontPage(demo, docs bool) []byte {
	text := frontBegin
	if demo {
		text += frontDemo
	}
	if docs {
		text += frontDocs
	}
	return plainPage("Calotype", text+frontEnd)
}

// wayIn says how to open the demo page.
var wayIn = plainPage("The demo page needs its key", `<p>`+keyHint+`</p>`+
	`<form action="`+DemoPath+`" method="get"><p><label for="key">Key</label><br>`+
	`<input id="key" name="key" autocomplete="off" required></p><p><button>Open the page</button></p></form>`)

// serveFixed answers / and the sample picture.
func (p *pages) serveFixed(w http.ResponseWriter, r *http.Request) {
	body, kind := p.main, "text/html; charset=utf-8"
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	if r.URL.Path == SamplePath {
		body, kind = sample, "image/jpeg"
	} else {
		setPlainHeaders(h)
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	send(w, http.StatusOK, kind, body)
}

func setPlainHeaders(h http.Header) {
	h.Set("Content-Security-Policy", plainPolicy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
}

// asksForWayIn reports whether a request without the key is answered with the way to it: a page of this
// machine, by a client on this machine. For others there is no such page.
func (p *pages) asksForWayIn(r *http.Request) bool {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	return err == nil && loopback(host) && !proxied(r) && !p.gate.hosts.Off() &&
		loopback(bareHost(r.Host)) && r.URL.Path == DemoPath &&
		(r.Method == http.MethodGet || r.Method == http.MethodHead)
}

// sendWayIn refuses the page, and says to the client how to open it.
func sendWayIn(w *httpframe.Response, _ *http.Request) error {
	setPlainHeaders(w.Header())
	w.Header().Set("Cache-Control", "no-store")
	send(w, http.StatusForbidden, "text/html; charset=utf-8", wayIn)
	return nil
}
