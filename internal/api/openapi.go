package api

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"calotype/internal/cfapi"
)

// OpenAPIPath is the path of the API's description. A request for it needs no token, because it has no secrets.
const OpenAPIPath = "/openapi.json"

// openAPI describes this version's answers in OpenAPI 3.1. Tests compare it with the list of routes and
// with the answers in other tests.
//
//go:embed openapi.json
var openAPI []byte

// ServeOpenAPI answers with the description of the API in OpenAPI.
func ServeOpenAPI(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed: GET reads this description", http.StatusMethodNotAllowed)
		return
	}
	h.Set("Content-Type", "application/json; charset=UTF-8")
	h.Set("Cache-Control", "public, max-age=300")
	h.Set("Access-Control-Allow-Origin", "*") // viewers of such descriptions run in browsers
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodGet {
		_, _ = w.Write(openAPI) // the error cannot be reported
	}
}

// Description returns the description of the API with the URLs of a server instead of paths. The rest of the text is
// unchanged.
func Description(urls cfapi.URLs) ([]byte, error) {
	d := describer{urls: urls, decoder: json.NewDecoder(bytes.NewReader(openAPI))}
	if err := d.value(nil); err != nil {
		return nil, fmt.Errorf("reading the description of the API: %w", err)
	}
	d.out.Write(openAPI[d.copied:])
	return d.out.Bytes(), nil
}

// A describer copies the description, with other URLs.
type describer struct {
	urls    cfapi.URLs
	decoder *json.Decoder
	out     bytes.Buffer
	copied  int64 // bytes of openAPI
}

// value reads a value. at has the keys of the objects that it is in.
func (d *describer) value(at []string) error {
	token, err := d.decoder.Token()
	if err != nil {
		return err
	}
	switch token := token.(type) {
	case json.Delim:
		for d.decoder.More() {
			inner := at
			if token == '{' {
				key, err := d.decoder.Token()
				if err != nil {
					return err
				}
				inner = append(at[:len(at):len(at)], fmt.Sprint(key))
			}
			if err := d.value(inner); err != nil {
				return err
			}
		}
		_, err = d.decoder.Token() // the end
	case string:
		d.replace(at, token)
	}
	return err
}

// replace writes the URL of a server instead of its path, which was read just now.
func (d *describer) replace(at []string, path string) {
	base := d.urls.API
	switch {
	case len(at) == 2 && at[0] == "servers" && at[1] == "url":
	case len(at) == 4 && at[0] == "paths" && at[2] == "servers" && at[3] == "url":
		base = baseOf(d.urls, at[1])
	default:
		return
	}
	quoted, _ := json.Marshal(strings.TrimSuffix(base+path, "/")) // a string is always valid
	end := d.decoder.InputOffset()
	d.out.Write(openAPI[d.copied : end-int64(len(path)+len(`""`))])
	d.out.Write(quoted)
	d.copied = end
}

// baseOf returns the base URL of the surface that answers a path of the description.
func baseOf(urls cfapi.URLs, path string) string {
	switch {
	case IsBatch(path):
		return urls.Batch
	case strings.HasPrefix(path, "/upload/"):
		return urls.Upload
	case strings.HasPrefix(path, "/{hash}/"), strings.HasPrefix(path, "/cdn-cgi/"):
		return urls.Delivery
	}
	return urls.API
}
