package outbound

import (
	"crypto/tls"
	"errors"
	"net/http"
	"time"
)

// idleTime is the time after which an idle connection to a host is closed.
const idleTime = time.Minute

// ForHost returns a client for many requests to one host that the operator has named. Its connections are guarded as
// a Client's are. It does not follow redirects, because a redirect could send a token to another host. A refusal of
// the guard is an *Error, which no retry changes; other errors are those of net/http. The client has at most
// connections idle connections. The caller limits time and bytes.
func ForHost(c Config, connections int) *http.Client {
	transport := c.transport()
	transport.MaxIdleConnsPerHost, transport.IdleConnTimeout = connections, idleTime
	return &http.Client{
		Transport:     guarded{transport},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// guarded turns refusals of the guard into an *Error.
type guarded struct{ *http.Transport }

func (g guarded) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := g.Transport.RoundTrip(r)
	if errors.Is(err, errNotPublic) || errors.Is(err, errPort) || errors.Is(err, errOwn) ||
		isCertificate(err) {
		err = reason(r.URL.Hostname(), err)
	}
	return response, err
}

func isCertificate(err error) bool {
	return errors.As(err, new(*tls.CertificateVerificationError))
}
