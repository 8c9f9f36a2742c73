package importer_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"calotype/internal/images/imagestest"
)

// A source imitates Cloudflare's account of images, in the shapes that were recorded: refusals are
// lines of text, meta is absent without metadata, and there is no field original.
type source struct {
	t      *testing.T
	server *httptest.Server

	mu       sync.Mutex
	images   []sourced // oldest first
	variants string    // JSON of the map
	keys     string
	config   string // "" is a 404
	blobs    map[string]int
	lists    int
	// refuse may answer a request instead of the source; it is called with mu locked.
	refuse func(w http.ResponseWriter, path string) bool
}

// A sourced is an image of the source.
type sourced struct {
	id, uploaded, more string // more: further JSON fields
	body               []byte
}

const (
	sourceToken   = "source-token-canary"
	sourceAccount = "0123456789abcdef0123456789abcdef"
	sourceHash    = "cheeW4oKsx5ljh8e8BoL2A"
)

func newSource(t *testing.T) *source {
	s := &source{
		t: t, blobs: map[string]int{},
		variants: `{"public":{"id":"public","options":{"fit":"scale-down","width":1366,"height":768,` +
			`"metadata":"none"},"neverRequireSignedURLs":false}}`,
		keys:   `[{"name":"default","value":"Oix0bbNaT8Rge9PuyxUBrjI6zrgnsyJ5="}]`,
		config: `{"flexible_variants":true,"browser_ttl":7200}`,
	}
	s.server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.server.Close)
	return s
}

// add adds n images of ids like those recorded.
func (s *source) add(n int) {
	for range n {
		seed := len(s.images)
		s.images = append(s.images, sourced{
			id:       fmt.Sprintf("%08x-bbd2-4243-1b0b-f9ac7aa20700", seed),
			uploaded: fmt.Sprintf("2023-02-03T04:%02d:%02d.789Z", seed/60, seed%60),
			body:     imagestest.JPEG(s.t, seed),
		})
	}
}

func (s *source) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	path, ok := strings.CutPrefix(r.URL.EscapedPath(), "/client/v4/accounts/"+sourceAccount+"/images")
	if r.Header.Get("Authorization") != "Bearer "+sourceToken {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `{"result":null,"success":false,"errors":[{"code":10000,`+
			`"message":"Authentication error"}],"messages":[]}`)
		return
	}
	if s.refuse != nil && s.refuse(w, path) {
		return
	}
	id, isBlob := strings.CutSuffix(strings.TrimPrefix(path, "/v1/"), "/blob")
	switch {
	case !ok || r.Method != http.MethodGet:
		text(w, http.StatusNotFound, "ERROR 7003: no route")
	case path == "/v2":
		s.list(w, r.URL.Query())
	case path == "/v1/variants":
		result(w, `{"variants":`+s.variants+`}`)
	case path == "/v1/keys":
		result(w, `{"keys":`+s.keys+`}`)
	case path == "/v1/config" && s.config != "":
		result(w, s.config)
	case isBlob:
		s.blob(w, id)
	default:
		text(w, http.StatusNotFound, "ERROR 5404: Image not found")
	}
}

func result(w http.ResponseWriter, json string) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	fmt.Fprintf(w, "{\n  \"result\": %s,\n  \"success\": true,\n  \"errors\": [],\n"+
		"  \"messages\": []\n}\n", json)
}

func text(w http.ResponseWriter, status int, line string) {
	w.Header().Set("Content-Type", "text/plain")
	w.WriteHeader(status)
	fmt.Fprintln(w, line)
}

// list answers pages of at most 7, which a source may do.
func (s *source) list(w http.ResponseWriter, q url.Values) {
	s.lists++
	if q.Get("sort_order") != "asc" {
		s.t.Error("the list is not asked for from its beginning")
	}
	start, _ := strconv.Atoi(q.Get("continuation_token"))
	end := min(start+7, len(s.images))
	var all []string
	for _, i := range s.images[min(start, end):end] {
		all = append(all, fmt.Sprintf(`{"id":%q,"uploaded":%q,"requireSignedURLs":false,`+
			`"variants":["https://imagedelivery.net/%s/%s/public"]%s}`,
			i.id, i.uploaded, sourceHash, i.id, i.more))
	}
	next := "null"
	if end < len(s.images) {
		next = `"` + strconv.Itoa(end) + `"`
	}
	result(w, `{"images":[`+strings.Join(all, ",")+`],"continuation_token":`+next+`}`)
}

func (s *source) blob(w http.ResponseWriter, escaped string) {
	id, err := url.PathUnescape(escaped)
	at := slices.IndexFunc(s.images, func(i sourced) bool { return i.id == id })
	if err != nil || at < 0 || strings.Contains(escaped, "/") {
		text(w, http.StatusNotFound, "ERROR 5404: Image not found")
		return
	}
	s.blobs[id]++
	w.Header().Set("Content-Type", "image/jpeg")
	_, _ = w.Write(s.images[at].body)
}

// fetched is the number of blobs that were asked for.
func (s *source) fetched() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, times := range s.blobs {
		n += times
	}
	return n
}
