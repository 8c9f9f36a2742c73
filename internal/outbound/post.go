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
	a, err := p.Send(ctx, Message{Method: http.MethodPost, Address: address, Header: header, Body: body}, most)
	return a.Status, a.Body, err
}

// A Message is a request with a body. Sign, if it is not nil, sees the request before it is sent, and may add headers.
type Message struct {
	Method, Address string
	Header          http.Header
	Body            []byte
	Sign            func(*http.Request) error
}

// A Reply is the answer to a Message.
type Reply struct {
	Status int
	Header http.Header
	Body   []byte
}

// Send is Post for other methods, and returns also the header of the answer. It returns an error of Sign as it is.
func (p *Poster) Send(ctx context.Context, m Message, most int64) (reply Reply, err error) {
	to, err := parse(m.Address)
	if err != nil {
		return reply, err
	}
	limited, cancel := context.WithTimeout(ctx, p.time)
	defer cancel()
	why := func(err error) error { return cause(ctx, limited, to.Hostname(), p.time, err) }
	request, err := http.NewRequestWithContext(limited, m.Method, to.String(), bytes.NewReader(m.Body))
	if err != nil {
		return reply, &Error{Cause: CauseURL, Reason: "the URL is not valid"}
	}
	request.Header = m.Header.Clone()
	request.Header.Set("User-Agent", userAgent)
	if to.login != "" {
		request.Header.Set("Authorization", to.login)
	}
	if m.Sign != nil {
		if err := m.Sign(request); err != nil {
			return reply, err
		}
	}
	response, err := p.transport.RoundTrip(request)
	if err != nil {
		return reply, why(err)
	}
	defer response.Body.Close()
	// Reading one more byte finds the end of the answer, so that the connection can be reused.
	answer, err := io.ReadAll(io.LimitReader(response.Body, most+1))
	if err != nil {
		return reply, why(errors.Join(errors.New("reading an answer"), err))
	}
	return Reply{response.StatusCode, response.Header, answer[:min(int64(len(answer)), most)]}, nil
}

// Close closes idle connections.
func (p *Poster) Close() { p.transport.CloseIdleConnections() }
