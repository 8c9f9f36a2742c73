// Package apiclient is a client of the API, for commands: by a URL and a token, or in the process of a command, by the
// handler of the API itself (local.go). It stores servers for later commands in the user's configuration (logins.go).
//
// The wire is Cloudflare's. Answers are bounded, and a redirect is never followed, so the token reaches the host of
// the base URL only. No error holds the token.
package apiclient

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	maxAnswer = 64 << 20 // bytes of an answer with JSON

	tries   = 5               // of a request that the server is too busy for
	maxWait = 2 * time.Minute // before a repeated request, whatever Retry-After says
	minWait = 1 * time.Second // without Retry-After, before the first repeated request
)

// Config names a server and an account. The fields BaseURL, Token and Account must be set.
type Config struct {
	BaseURL string // such as https://images.example.com/client/v4
	Token   string
	Account string
	Host    string // the header Host, if it is not the host of BaseURL
	NoProxy bool   // the server is on this machine
	// Transport sends the requests; nil: the network.
	Transport http.RoundTripper
}

// A Client sends requests about one account. It is safe for concurrent use.
type Client struct {
	Config
	base *url.URL
	http *http.Client
	wait func(context.Context, time.Duration) error
}

// New returns a client. The error says which part of the configuration is not valid.
func New(c Config) (*Client, error) {
	base, err := ParseBase(c.BaseURL)
	if err != nil {
		return nil, err
	}
	if c.Account == "" {
		return nil, errors.New("no account id is given")
	}
	if c.Token == "" || strings.ContainsFunc(c.Token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("the token is not valid: it is letters and digits, without spaces")
	}
	if c.Transport == nil {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.ResponseHeaderTimeout = 0 // an upload is examined before the answer
		transport.MaxIdleConnsPerHost = 64
		if c.NoProxy {
			transport.Proxy = nil
		}
		c.Transport = transport
	}
	return &Client{Config: c, base: base, wait: sleep, http: &http.Client{
		Transport:     c.Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// ParseBase parses the base URL of an API. A URL without a path gets that of the API.
func ParseBase(text string) (*url.URL, error) {
	base, err := url.Parse(strings.TrimRight(text, "/"))
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" ||
		base.User != nil || base.RawQuery != "" || base.Fragment != "" {
		shown := ""
		if !strings.Contains(text, "@") { // otherwise it may hold a password
			shown = fmt.Sprintf(" %q", text)
		}
		return nil, fmt.Errorf("the base URL%s is not valid: it should be like "+
			"https://images.example.com/client/v4", shown)
	}
	if base.Path == "" {
		base.Path = "/client/v4"
	}
	return base, nil
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// An Error is a refusal by the server.
type Error struct {
	Status  int
	Code    int    // Cloudflare's; 0 if what answered is not the API
	Message string // of the server
	where   string // the host
}

func (e *Error) Error() string {
	switch {
	case e.Status >= 300 && e.Status < 400:
		return fmt.Sprintf("%s redirects the API to another address: give the base URL that it redirects to", e.where)
	case e.Code == 0:
		return fmt.Sprintf("%s answered with status %d, and not as this API does: check the base URL", e.where,
			e.Status)
	}
	return fmt.Sprintf("%s (status %d, code %d)", strings.TrimSuffix(e.Message, "."), e.Status, e.Code)
}

// IsNotFound reports whether err is the refusal of a server that has no such thing.
func IsNotFound(err error) bool {
	refused := new(Error)
	return errors.As(err, &refused) && refused.Status == http.StatusNotFound && refused.Code != 0
}

// IsConflict reports whether err is the refusal of a server that has a thing of that name already.
func IsConflict(err error) bool {
	refused := new(Error)
	return errors.As(err, &refused) && refused.Status == http.StatusConflict
}

// A request is one request, below the account.
type request struct {
	method, path string // the path is escaped
	query        url.Values
	json         any                           // the body, if it is JSON
	body         func() (io.ReadCloser, error) // or a body that can be opened repeatedly
	contentType  string                        // of body
	size         int64                         // of body
}

// call sends a request and decodes the result in the envelope of the answer.
func (c *Client) call(ctx context.Context, r request, result any) error {
	response, err := c.send(ctx, r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	switch {
	case err != nil:
		return fmt.Errorf("reading the answer of %s: %w", c.base.Host, err)
	case len(text) > maxAnswer:
		return fmt.Errorf("the answer of %s is larger than %d MiB", c.base.Host, maxAnswer>>20)
	}
	answer := struct {
		Success bool            `json:"success"`
		Result  json.RawMessage `json:"result"`
	}{}
	if err := json.Unmarshal(text, &answer); err != nil || !answer.Success {
		return &Error{Status: response.StatusCode, where: c.base.Host}
	}
	if result == nil {
		return nil
	}
	if err := json.Unmarshal(answer.Result, result); err != nil {
		return fmt.Errorf("reading the answer of %s: %w", c.base.Host, err)
	}
	return nil
}

// send sends a request until the server is not too busy for it, and returns an answer of status 2xx, whose body the
// caller closes. Errors of the server are *Error.
func (c *Client) send(ctx context.Context, r request) (*http.Response, error) {
	for try := 1; ; try++ {
		response, err := c.once(ctx, r)
		if err != nil {
			return nil, err
		}
		if response.StatusCode < 300 {
			return response, nil
		}
		refused := c.refusal(response)
		busy := response.StatusCode == http.StatusTooManyRequests ||
			response.StatusCode == http.StatusServiceUnavailable
		if !busy || try == tries {
			return nil, refused
		}
		if err := c.wait(ctx, waitOf(response.Header, try)); err != nil {
			return nil, errors.Join(err, refused)
		}
	}
}

// once sends a request once.
func (c *Client) once(ctx context.Context, r request) (*http.Response, error) {
	if r.json != nil {
		text, err := json.Marshal(r.json)
		if err != nil {
			return nil, fmt.Errorf("encoding a request: %w", err)
		}
		r.contentType, r.size = "application/json", int64(len(text))
		r.body = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil }
	}
	var body io.ReadCloser = http.NoBody
	if r.body != nil {
		var err error
		if body, err = r.body(); err != nil {
			return nil, err
		}
	}
	address := strings.TrimRight(c.base.String(), "/") + "/accounts/" + url.PathEscape(c.Account) + "/" + r.path
	if len(r.query) > 0 {
		address += "?" + r.query.Encode()
	}
	to, err := http.NewRequestWithContext(ctx, r.method, address, body)
	if err != nil {
		return nil, errors.Join(errors.New("the request has no valid URL"), body.Close())
	}
	to.Header.Set("Authorization", "Bearer "+c.Token)
	to.Header.Set("User-Agent", "calotype")
	if r.contentType != "" {
		to.Header.Set("Content-Type", r.contentType)
	}
	to.ContentLength = r.size
	to.Host = c.Host
	response, err := c.http.Do(to)
	if failed := new(url.Error); errors.As(err, &failed) {
		err = failed.Err // without the URL
	}
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", c.base.Host, err)
	}
	return response, nil
}

// refusal reads an answer that is no success, and closes its body.
func (c *Client) refusal(response *http.Response) error {
	defer response.Body.Close()
	refused := &Error{Status: response.StatusCode, where: c.base.Host}
	text, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	var answer struct {
		Errors []struct {
			Code    int    `json:"code"`
			Message string `json:"message"`
		} `json:"errors"`
	}
	if err == nil && json.Unmarshal(text, &answer) == nil && len(answer.Errors) > 0 {
		refused.Code = answer.Errors[0].Code
		refused.Message = strings.ReplaceAll(answer.Errors[0].Message, c.Token, "...")
	}
	return refused
}

// waitOf returns the time before the next try: as Retry-After says, in seconds or as a time, within the bounds.
func waitOf(h http.Header, try int) time.Duration {
	wait := minWait << (try - 1)
	text := h.Get("Retry-After")
	if seconds, err := time.ParseDuration(text + "s"); err == nil && text != "" {
		wait = seconds
	} else if at, err := http.ParseTime(text); err == nil {
		wait = time.Until(at)
	}
	return min(max(wait, 0), maxWait)
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
