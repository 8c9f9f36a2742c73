package outbound

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
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

func isCertificate(err error) bool {
	return errors.As(err, new(*tls.CertificateVerificationError))
}
