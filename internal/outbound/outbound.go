// Package outbound is the guarded HTTP client: every request that the server sends to an address
// that somebody else has named goes through it.
//
// Whoever may name an address would else see through the server what only the server can see: its
// own ports, its neighbours, the metadata of its cloud. So each connection is checked where it is
// made, by the address that is connected, for the request and for every redirect. Proxies of the
// environment are ignored, since behind one the address would be the proxy's. Time, bytes and
// redirects are bounded.
//
// A user and password in a URL go to that origin only, and not over a redirect to another. No error
// of this package holds them, nor the path or query of a URL: those may be secrets too.
package outbound

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	defaultTime     = time.Minute
	dialTime        = 10 * time.Second
	maxRedirects    = 5
	maxAddressBytes = 8 << 10
	maxHeaderBytes  = 64 << 10
	userAgent       = "Calotype"
	accept          = "image/*,*/*;q=0.8" // some hosts answer 406 to a client that names nothing
)

// Config says what a Client may do. The zero value reaches public addresses only.
type Config struct {
	Allow    []netip.Prefix // networks that may be reached, at any port, though they are not public
	Time     time.Duration  // of a request, its redirects and its answer; 0 for a minute
	Resolver *net.Resolver  // nil for the system's
	// Own are the names of the hosts at which this server itself is public, without ports. They are
	// reached only in the networks of Allow: a request would come back by the server's own proxy.
	Own []string
}

// dial returns what makes every connection of this package: guarded, and bounded in time.
func (c Config) dial() func(ctx context.Context, network, address string) (net.Conn, error) {
	g := newGuard(c.Allow)
	others := &net.Dialer{Timeout: dialTime, Resolver: c.Resolver, Control: g.control}
	own := &net.Dialer{Timeout: dialTime, Resolver: c.Resolver, Control: g.controlOwn}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if host, _, err := net.SplitHostPort(address); err == nil && c.owns(host) {
			return own.DialContext(ctx, network, address)
		}
		return others.DialContext(ctx, network, address)
	}
}

// owns reports whether a host is one of Own.
func (c Config) owns(host string) bool {
	return slices.ContainsFunc(c.Own, func(own string) bool {
		return strings.EqualFold(strings.TrimSuffix(own, "."), strings.TrimSuffix(host, "."))
	})
}

// A Client sends requests. It is safe for concurrent use.
type Client struct {
	time      time.Duration
	transport *http.Transport
}

// New returns a Client. It keeps no connections, so there is nothing to close.
func New(c Config) *Client {
	client := &Client{time: c.Time, transport: &http.Transport{
		Proxy:                  nil,
		DialContext:            c.dial(),
		TLSHandshakeTimeout:    dialTime,
		DisableKeepAlives:      true, // the next request is for another host
		DisableCompression:     true, // bytes count as they come
		MaxResponseHeaderBytes: maxHeaderBytes,
	}}
	if client.time == 0 {
		client.time = defaultTime
	}
	return client
}

// An Error says why there is no answer, in words that may be shown to whoever named the URL.
type Error struct{ Reason string }

func (e *Error) Error() string { return "outbound: " + e.Reason }

// ErrTooLarge says that an answer has more bytes than allowed.
var ErrTooLarge = errors.New("outbound: the answer is larger than allowed")

// An Answer is what was found at a URL.
type Answer struct {
	Name string // the last segment of the URL's path, unescaped; may be empty, and holds anything
	Body io.ReadCloser
}

// Get asks for what is at a URL, which may hold a user and a password, and follows redirects. Only
// the status 200 is an answer. The caller closes its Body, whose reading fails with ErrTooLarge
// after most bytes. Errors are *Error, ErrTooLarge, or the context's.
func (c *Client) Get(ctx context.Context, address string, most int64) (*Answer, error) {
	to, err := parse(address)
	if err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, c.time)
	why := func(host string, err error) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case limited.Err() != nil:
			return &Error{fmt.Sprintf("the host %.100q took longer than %v", host, c.time)}
		}
		return reason(host, err)
	}
	name := lastSegment(to.URL)
	response, err := c.follow(limited, &to)
	if err == nil && response.ContentLength > most {
		err = errors.Join(ErrTooLarge, response.Body.Close())
	}
	if err == nil {
		if err = decode(response); err != nil {
			err = errors.Join(err, response.Body.Close())
		}
	}
	if err != nil {
		err = why(to.Hostname(), err)
		cancel()
		return nil, err
	}
	return &Answer{Name: name, Body: &body{
		ReadCloser: response.Body, left: most, cancel: cancel,
		why: func(err error) error { return why(to.Hostname(), err) },
	}}, nil
}

// A target is a URL without its userinfo, which is kept for its origin.
type target struct {
	*url.URL
	login  string // value of the header Authorization; "" for none
	origin string // that the login is for
}

// parse reads a URL. Its errors do not quote it.
func parse(address string) (target, error) {
	if len(address) > maxAddressBytes {
		return target{}, &Error{fmt.Sprintf("the URL is longer than %d bytes", maxAddressBytes)}
	}
	u, err := url.Parse(asBrowsersRead(address))
	if err != nil {
		return target{}, &Error{"the URL is not valid"}
	}
	t := target{URL: u}
	if u.User != nil {
		password, _ := u.User.Password()
		t.login = "Basic " + base64.StdEncoding.EncodeToString(
			[]byte(u.User.Username()+":"+password))
		t.origin = origin(u)
	}
	return t, t.check()
}

// check refuses what is no address of the web, and removes what is not sent.
func (t *target) check() error {
	t.User, t.Fragment, t.RawFragment = nil, "", ""
	host := t.Hostname()
	switch {
	case t.Scheme != "http" && t.Scheme != "https":
		return &Error{"the URL must begin with http:// or https://"}
	case t.Opaque != "" || host == "":
		return &Error{"the URL names no host"}
	}
	// Some resolvers read 2130706433, 0x7f.1 and 0177.0.0.1 as addresses. No name ends like these.
	last := strings.TrimSuffix(host, ".")
	last = last[strings.LastIndexByte(last, '.')+1:]
	if _, err := netip.ParseAddr(host); err != nil &&
		(strings.Contains(host, ":") || last != "" && last[0] >= '0' && last[0] <= '9') {
		return &Error{fmt.Sprintf("the host %.100q is neither a name nor an address", host)}
	}
	return nil
}

// Destination returns host and port of a URL, as a key of what is sent there; "" when it is no URL.
func Destination(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" {
		return ""
	}
	_, to, _ := strings.Cut(origin(u), "://")
	return to
}

// origin is what a login is good for: scheme, host and port.
func origin(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Scheme + "://" + net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// follow sends the request and follows redirects; to is then where the last one led.
func (c *Client) follow(ctx context.Context, to *target) (*http.Response, error) {
	for range maxRedirects + 1 {
		response, err := c.send(ctx, *to)
		if err != nil {
			return nil, err
		}
		if response.StatusCode == http.StatusOK {
			return response, nil
		}
		if err := response.Body.Close(); err != nil {
			return nil, err
		}
		switch response.StatusCode {
		case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
			http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		default:
			return nil, &Error{fmt.Sprintf("the host %.100q answered with status %d",
				to.Hostname(), response.StatusCode)}
		}
		if err := to.redirect(response.Header.Get("Location")); err != nil {
			return nil, err
		}
	}
	return nil, &Error{fmt.Sprintf("there were more than %d redirects", maxRedirects)}
}

// redirect leads to where an answer points. A login that was left behind does not come back, and
// one in the Location is nobody's.
func (t *target) redirect(location string) error {
	next, err := t.Parse(asBrowsersRead(location))
	if err != nil || location == "" || len(location) > maxAddressBytes {
		return &Error{fmt.Sprintf("the host %.100q redirects to what is no URL", t.Hostname())}
	}
	t.URL = next
	if err := t.check(); err != nil {
		return &Error{"after a redirect, " + err.(*Error).Reason}
	}
	if origin(next) != t.origin {
		t.login = ""
	}
	return nil
}

// send sends one request. By the transport itself: an http.Client would put URLs into its errors,
// and tell the next host in Referer where it was sent from.
func (c *Client) send(ctx context.Context, to target) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, to.String(), http.NoBody)
	if err != nil {
		return nil, &Error{"the URL is not valid"}
	}
	request.Header.Set("User-Agent", userAgent)
	request.Header.Set("Accept", accept)
	request.Header.Set("Accept-Encoding", "identity")
	if to.login != "" {
		request.Header.Set("Authorization", to.login)
	}
	return c.transport.RoundTrip(request)
}

// reason says what an error means to whoever named the URL. What the network says in detail is not
// told: it could describe places that only the server sees.
func reason(host string, err error) error {
	if known := new(Error); errors.As(err, &known) || errors.Is(err, ErrTooLarge) {
		return err
	}
	text := "the connection to the host %.100q failed"
	switch {
	case errors.Is(err, errNotPublic):
		text = "the host %.100q is not at a public address: the operator of this server can open " +
			"its network by " + AllowFlag
	case errors.Is(err, errOwn):
		text = "the host %.100q is this server itself: its operator can open its network by " +
			AllowFlag
	case errors.Is(err, errPort):
		text = "the port of the host %.100q is neither 80 nor 443: the operator of this server can " +
			"open its network by " + AllowFlag
	case errors.As(err, new(*net.DNSError)):
		text = "the host %.100q was not found"
	case isCertificate(err):
		text = "the certificate of the host %.100q is not valid"
	}
	return &Error{fmt.Sprintf(text, host)}
}

// lastSegment is the end of a URL's path.
func lastSegment(u *url.URL) string {
	path := u.EscapedPath()
	name, err := url.PathUnescape(path[strings.LastIndexByte(path, '/')+1:])
	if err != nil {
		return ""
	}
	return name
}
