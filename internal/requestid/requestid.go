// Package requestid gives each request an id, which its answer and its log lines carry: the one that
// the client or a proxy sent, or a new one.
package requestid

import (
	"crypto/rand"
	"net/http"
	"strings"
)

// Header carries the id, in requests and in answers.
const Header = "X-Request-Id"

// maxLength bounds an id from outside, in bytes.
const maxLength = 64

// Give sets the id of a request in the header of its answer, unless it was given one before, and
// returns it.
func Give(w http.ResponseWriter, r *http.Request) string {
	h := w.Header()
	if given := h[Header]; len(given) == 1 {
		return given[0]
	}
	id := ""
	if sent := r.Header[Header]; len(sent) == 1 {
		id = sent[0]
	}
	if !wellFormed(id) || secret(r, id) {
		id = rand.Text()
	}
	h[Header] = []string{id}
	return id
}

// wellFormed reports whether an id can be in a log, a header and a sentence without escapes.
func wellFormed(id string) bool {
	if id == "" || len(id) > maxLength {
		return false
	}
	for _, c := range []byte(id) {
		switch {
		case '0' <= c && c <= '9', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
		case c == '-', c == '_', c == '.', c == ':':
		default:
			return false
		}
	}
	return true
}

// minSecret is the length from which text counts as a secret: shorter text is found anywhere.
const minSecret = 6

// secret reports whether an id contains a secret of the same request, or is a part of one: then a program
// has mixed up its variables, and the secret would be logged. The sender is responsible for all other ids.
func secret(r *http.Request, id string) bool {
	if len(id) < minSecret {
		return false
	}
	for _, name := range []string{"Cookie", "Referer"} {
		if strings.Contains(strings.Join(r.Header[name], " "), id) {
			return true
		}
	}
	for _, prefix := range []string{"/upload/tus/", "/upload/resumable/"} {
		if upload, of := strings.CutPrefix(r.URL.Path, prefix); of && overlap(id, upload) {
			return true // the URL of a resumable upload is its secret
		}
	}
	for pair := range strings.SplitSeq(r.URL.RawQuery, "&") {
		_, value, named := strings.Cut(pair, "=")
		if !named {
			value = pair
		}
		if overlap(id, value) {
			return true
		}
	}
	for _, name := range []string{
		"Authorization", "X-Auth-Key", "X-Auth-User-Service-Key", "Idempotency-Key",
	} {
		for _, value := range r.Header[name] {
			if overlap(id, value[strings.LastIndexByte(value, ' ')+1:]) {
				return true
			}
		}
	}
	user, password, _ := r.BasicAuth()
	return overlap(id, user) || overlap(id, password)
}

func overlap(id, value string) bool {
	return len(value) >= minSecret && (strings.Contains(id, value) || strings.Contains(value, id))
}
