package pages

import (
	"bytes"
	"context"
	"crypto/rand"
	_ "embed"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strings"

	"calotype/internal/cfapi"
	"calotype/internal/images"
)

// UploadFiles is the beginning of the paths of the files of the upload page. A path of a one-time URL has the hash
// of an account there, which is longer.
const UploadFiles = "/upload/page/"

// A OneTimeURL is what the upload page says of a one-time URL before a script has run.
type OneTimeURL struct {
	Status   images.TicketStatus
	Many     bool     // it accepts several pictures
	Redirect string   // URL to which the form leads; "" for none
	Origins  []string // of the pages that may upload, if this page may not; else nil
}

// UploadConfig configures the upload page. All fields must be set.
type UploadConfig struct {
	URLs cfapi.URLs
	// OneTimeURL returns the state of the one-time URL of a ticket. Error: TicketUnknown.
	OneTimeURL func(ctx context.Context, ticket string) (OneTimeURL, error)
}

type uploadPage struct {
	UploadConfig
	files uploadFiles
}

// uploadFiles are the files that the page loads.
type uploadFiles struct {
	all    map[string]asset
	script string // names of files; "" if the program was built without its web part
	style  string
}

// NewUpload returns the handler of the upload page, for GET of a one-time URL. It expects to run in the frame of
// another surface. NewScripts serves its files.
func NewUpload(c UploadConfig) http.Handler { return &uploadPage{c, newUploadFiles(embedded())} }

// newUploadFiles reads the files of the folder upload.
func newUploadFiles(web fs.FS) uploadFiles {
	f := uploadFiles{all: map[string]asset{}}
	names, err := fs.Glob(web, "upload/*")
	if err != nil {
		panic(err) // the pattern is a constant
	}
	for _, name := range names {
		content, err := fs.ReadFile(web, name)
		name, kind := strings.TrimPrefix(name, "upload/"), path.Ext(name)
		if err != nil || kinds[kind] == "" {
			continue
		}
		f.all[name] = newAsset(content, kinds[kind])
		switch kind {
		case ".js":
			f.script = name
		case ".css":
			f.style = name
		}
	}
	return f
}

//go:embed upload.html
var uploadHTML string

var uploadTemplate = template.Must(template.New("upload").Parse(uploadHTML))

// uploadView is the data of the template.
type uploadView struct {
	Lang, Dir, Title, Text, Notice string
	Nonce, Files, Script, Style    string
	Action                         string
	Plain                          template.CSS
	Open                           bool
	Words                          map[string]string
}

// ServeHTTP answers with the page.
func (p *uploadPage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	link, err := p.OneTimeURL(r.Context(), r.URL.Query().Get("ticket"))
	view, status := p.view(r, link, err)
	var body bytes.Buffer
	if err := uploadTemplate.Execute(&body, view); err != nil {
		http.Error(w, "the page cannot be written", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Security-Policy", p.contentPolicy(view.Nonce, link.Redirect))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer") // the URL has the ticket
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	h.Add("Vary", "Accept, Accept-Language")
	h.Set("Content-Language", view.Lang)
	send(w, status, "text/html; charset=utf-8", body.Bytes())
}

// linkStatuses are the statuses of the page for a one-time URL that takes no picture: those of an upload.
var linkStatuses = map[images.TicketStatus]int{
	images.StatusUsed: http.StatusConflict, images.StatusExpired: http.StatusGone, images.StatusDead: http.StatusGone,
}

// view returns the data of the page and its status.
func (p *uploadPage) view(r *http.Request, link OneTimeURL, err error) (v uploadView, status int) {
	query := r.URL.Query()
	lang := languageOf(r.Header["Accept-Language"])
	v = uploadView{
		Lang: lang, Dir: "ltr", Words: words[lang], Nonce: rand.Text(), Plain: style,
		Files: UploadFiles, Script: p.files.script, Style: p.files.style,
	}
	if rightToLeft[lang] {
		v.Dir = "rtl"
	}
	state, status := string(link.Status), http.StatusOK // the names of words
	switch refusal := cfapi.Refusal(err); {
	case err != nil && refusal.Status == http.StatusNotFound:
		state, status = "unknown", refusal.Status
	case err != nil:
		state, status = "busy", refusal.Status
	case link.Status == images.StatusOpen && len(link.Origins) > 0:
		state, status = "elsewhere", http.StatusForbidden
	case link.Status == images.StatusOpen:
		v.Open, v.Title = true, v.Words["title"]
		if link.Many {
			v.Title = v.Words["titleMany"]
		}
		v.Action = formAction(query)
		v.Notice = p.notice(v.Words, query)
		return v, status
	case query.Get(cfapi.PageQuery) == cfapi.PageDone:
		v.Title, v.Text = v.Words["thanks"], v.Words["thanksText"]
		if link.Many {
			v.Text = v.Words["thanksMany"]
		}
		return v, status
	default:
		status = linkStatuses[link.Status]
	}
	v.Title = v.Words[state+"Title"]
	v.Text = strings.ReplaceAll(v.Words[state+"Text"], "{origins}", strings.Join(link.Origins, ", "))
	return v, status
}

// notice returns the text above the form about the picture that was sent by the form before.
func (p *uploadPage) notice(words map[string]string, query url.Values) string {
	switch sent := query.Get(cfapi.PageQuery); sent {
	case "", cfapi.PageForm:
		return ""
	case cfapi.PageDone:
		return words["thanks"] + ". " + words["done"] + "."
	default:
		if text := words["code"+sent]; text != "" {
			return text
		}
		return words["codeOther"]
	}
}

// formAction returns the URL of the form: the same path, with a mark that asks for a page as the answer.
func formAction(query url.Values) string {
	return "?" + url.Values{"ticket": {query.Get("ticket")}, cfapi.PageQuery: {cfapi.PageForm}}.Encode()
}

// contentPolicy lets the page run its script, and send pictures to this server and nowhere else. redirect is where
// a form may lead.
func (p *uploadPage) contentPolicy(nonce, redirect string) string {
	form := "'self'"
	if u, err := url.Parse(redirect); err == nil && u.Host != "" && !strings.ContainsAny(u.Host, " ;,") {
		form += " " + u.Scheme + "://" + u.Host
	}
	return fmt.Sprintf("default-src 'none'; script-src 'nonce-%[1]s'; style-src 'nonce-%[1]s'; "+
		"img-src blob: data:; connect-src 'self' %[2]s; form-action %[3]s; base-uri 'none'; frame-ancestors 'none'",
		nonce, p.URLs.Upload, form)
}

// oldFile is the name of a file of the page with a hash, perhaps of another release.
var oldFile = regexp.MustCompile(`^upload-[A-Za-z0-9_-]+\.(js|css)$`)

// serve answers with a file, whose name has a hash of its content. A name with another hash, of the release before or
// after on another node, gets the present file of its kind: a page that names it must work during an upgrade.
func (f uploadFiles) serve(w http.ResponseWriter, r *http.Request, name string) {
	h := w.Header()
	file, found := f.all[name]
	h.Set("Cache-Control", immutable)
	if old := oldFile.FindStringSubmatch(name); !found && old != nil {
		file, found = f.all[map[string]string{"js": f.script, "css": f.style}[old[1]]]
		h.Set("Cache-Control", "no-cache")
	}
	if !found {
		h.Set("Cache-Control", "no-store")
		http.Error(w, "not found", http.StatusNotFound)
		return
	}
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	file.serve(w, r)
}
