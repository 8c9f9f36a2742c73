package outbound

import (
	"errors"
	"net/http"
	"time"
)

// idleTime is for how long the connections to a host wait for the next request.
const idleTime = time.Minute

// ForHost returns a client for many requests to one host that the operator has named. Its
// connections are guarded as a Client's are; it does not follow redirects, as they could lead a
// token astray. That the guard has refused is an *Error, which no repeat changes; its other errors
// are those of net/http. connections of them are kept at most. The caller bounds time and bytes.
func ForHost(c Config, connections int) *http.Client {
	return &http.Client{
		Transport: guarded{&http.Transport{
			DialContext:            c.dial(),
			TLSHandshakeTimeout:    dialTime,
			MaxIdleConnsPerHost:    connections,
			IdleConnTimeout:        idleTime,
			DisableCompression:     true, // bytes count as they come
			MaxResponseHeaderBytes: maxHeaderBytes,
		}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// guarded says in words what a guard has refused.
type guarded struct{ *http.Transport }

func (g guarded) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := g.Transport.RoundTrip(r)
	if errors.Is(err, errNotPublic) || errors.Is(err, errPort) || errors.Is(err, errOwn) ||
		isCertificate(err) {
		err = reason(r.URL.Hostname(), err)
	}
	return response, err
}
