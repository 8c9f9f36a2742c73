package outbound

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
)

// A body is an answer's, bounded in bytes, and in time by the request's.
type body struct {
	io.ReadCloser
	left   int64 // bytes that may still come
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

// Close ends the request. What it takes away from nobody is no error.
func (b *body) Close() error {
	defer b.cancel()
	_ = b.ReadCloser.Close()
	return nil
}

func isCertificate(err error) bool {
	return errors.As(err, new(*tls.CertificateVerificationError))
}
