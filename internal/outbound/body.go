package outbound

import (
	"compress/flate"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// A body is the body of an answer, limited in bytes; the request's context limits its time.
type body struct {
	io.ReadCloser
	left   int64 // remaining bytes
	cancel context.CancelFunc
	why    func(error) error
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, ErrTooLarge
	}
	if err != nil && err != io.EOF {
		err = b.why(err)
	}
	return n, err
}

// Close ends the request. An error of the connection is ignored, because no caller reads on.
func (b *body) Close() error {
	defer b.cancel()
	_ = b.ReadCloser.Close()
	return nil
}

// decode decompresses the body of an answer that has a Content-Encoding although the request asked for
// none: gzip, as browsers do, and no other. The limit on bytes applies to the decompressed ones.
func decode(response *http.Response) error {
	switch encoding := strings.ToLower(strings.TrimSpace(
		response.Header.Get("Content-Encoding"))); encoding {
	case "", "identity":
		return nil
	case "gzip", "x-gzip":
		response.Body = &gzipBody{packed: response.Body}
		return nil
	default:
		return &Error{Reason: fmt.Sprintf("the host answered in the Content-Encoding %.20q, which was not "+
			"requested", encoding)}
	}
}

// gzipBody decompresses a body. It reads the compressed one at the first Read.
type gzipBody struct {
	packed io.ReadCloser
	plain  *gzip.Reader
}

func (g *gzipBody) Read(p []byte) (n int, err error) {
	if g.plain == nil {
		if g.plain, err = gzip.NewReader(g.packed); err != nil {
			return 0, g.broken(err)
		}
	}
	n, err = g.plain.Read(p)
	if err != nil && err != io.EOF {
		err = g.broken(err)
	}
	return n, err
}

// broken returns the error of a body that is not gzip, or that could not be read.
func (g *gzipBody) broken(err error) error {
	if err == gzip.ErrHeader || err == gzip.ErrChecksum || errors.As(err, new(flate.CorruptInputError)) {
		return &Error{Reason: "the host answered with a body that is not in its Content-Encoding, gzip"}
	}
	return err
}

func (g *gzipBody) Close() error { return g.packed.Close() }
