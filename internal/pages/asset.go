package pages

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"

	"calotype/internal/accept"
)

// immutable is the Cache-Control of a file whose name has a hash of its content.
const immutable = "public, max-age=31536000, immutable"

// An asset is a file of a page, in memory, also compressed.
type asset struct {
	kind         string // Content-Type
	hash         string // 12 hexadecimal digits of its content
	plain, small []byte
}

// newAsset compresses a file once.
func newAsset(content []byte, kind string) asset {
	sum := sha256.Sum256(content)
	var small bytes.Buffer
	z, err := gzip.NewWriterLevel(&small, gzip.BestCompression)
	if err == nil {
		_, err = z.Write(content)
	}
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		panic(err) // a buffer in memory accepts all
	}
	return asset{kind: kind, hash: hex.EncodeToString(sum[:6]), plain: content, small: small.Bytes()}
}

// serve answers with the file, compressed if the client accepts that.
func (a asset) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Add("Vary", "Accept-Encoding")
	body, tag := a.plain, `"`+a.hash+`"`
	if acceptsGzip(r) {
		body, tag = a.small, `"`+a.hash+`-gzip"`
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("ETag", tag)
	if strings.Contains(r.Header.Get("If-None-Match"), tag) {
		h.Del("Content-Encoding")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	send(w, http.StatusOK, a.kind, body)
}

// acceptsGzip reports whether a request accepts gzip. Without a coding that is named it gets the plain file.
func acceptsGzip(r *http.Request) bool {
	return accept.Names(r.Header["Accept-Encoding"], "gzip")
}
