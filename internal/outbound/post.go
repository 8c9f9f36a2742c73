package outbound

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

const (
	postTime        = 10 * time.Second
	idlePosts       = 256 // idle connections, to all hosts
	idlePostsOfHost = 16
)

// A Poster posts messages to addresses that clients have named, and reuses its connections. It is safe
// for concurrent use.
type Poster struct {
	time      time.Duration
	transport *http.Transport
}

// NewPoster returns a Poster; Config.Time limits a whole request, 0 for ten seconds.
func NewPoster(c Config) *Poster {
	transport := c.transport()
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost = idlePosts, idlePostsOfHost
	transport.IdleConnTimeout = idleTime
	return &Poster{time: cmp.Or(c.Time, postTime), transport: transport}
}

// Post sends a body and returns the status of the answer with at most most of its bytes. Redirects
// are not followed: they are returned like other answers. Errors are *Error if there is no answer, or
// the context's.
func (p *Poster) Post(
	ctx context.Context, address string, header http.Header, body []byte, most int64,
) (status int, answer []byte, err error) {
	to, err := parse(address)
	if err != nil {
		return 0, nil, err
	}
	limited, cancel := context.WithTimeout(ctx, p.time)
	defer cancel()
	why := func(err error) error { return cause(ctx, limited, to.Hostname(), p.time, err) }
	request, err := http.NewRequestWithContext(limited, http.MethodPost, to.String(),
		bytes.NewReader(body))
	if err != nil {
		return 0, nil, &Error{Cause: CauseURL, Reason: "the URL is not valid"}
	}
	request.Header = header.Clone()
	request.Header.Set("User-Agent", userAgent)
	if to.login != "" {
		request.Header.Set("Authorization", to.login)
	}
	response, err := p.transport.RoundTrip(request)
	if err != nil {
		return 0, nil, why(err)
	}
	defer response.Body.Close()
	// Reading one more byte finds the end of the answer, so that the connection can be reused.
	answer, err = io.ReadAll(io.LimitReader(response.Body, most+1))
	if err != nil {
		return 0, nil, why(errors.Join(errors.New("reading an answer"), err))
	}
	return response.StatusCode, answer[:min(int64(len(answer)), most)], nil
}

// Close closes idle connections.
func (p *Poster) Close() { p.transport.CloseIdleConnections() }
