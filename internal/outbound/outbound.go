// Package outbound is the guarded HTTP client for all requests to addresses that clients name.
//
// Without a guard, a client that names an address could reach what only the server can reach: its ports,
// its network, the metadata service of its cloud. So the dialer checks the address of every connection,
// for the request and for every redirect. Proxies of the environment are ignored, because the checked
// address would be the proxy's. Time, bytes and redirects are limited.
//
// A user and password in a URL are sent to that origin only, not to another one after a redirect. No
// error of this package holds them, nor the path or query of a URL, which may be secrets too.
package outbound

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
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
	accept          = "image/*,*/*;q=0.8" // some hosts answer 406 to a request without it
)

// Config configures a Client. With the zero value it connects to public addresses only.
type Config struct {
	Allow    []netip.Prefix // further networks to which it may connect, at any port
	Time     time.Duration  // limit of a request, its redirects and its answer; 0 for a minute
	Resolver *net.Resolver  // nil for the system's
	// Own are the names of this server's public hosts, without ports. Connections to them are
	// permitted only in the networks of Allow: such a request would return through the server's proxy.
	Own []string
}

// dial returns the DialContext of every connection in this package, guarded and limited in time.
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

// transport returns a transport whose connections are guarded. It has no proxy, and does not decompress, because
// the limits apply to the received bytes.
func (c Config) transport() *http.Transport {
	return &http.Transport{
		DialContext:            c.dial(),
		TLSHandshakeTimeout:    dialTime,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHeaderBytes,
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

// New returns a Client. It has no idle connections, so it needs no Close.
func New(c Config) *Client {
	client := &Client{time: cmp.Or(c.Time, defaultTime), transport: c.transport()}
	client.transport.DisableKeepAlives = true // the next request is for another host
	return client
}

// An Error says why there is no answer. Reason may be shown to the client that named the URL.
type Error struct {
	Reason string
	Cause  Cause
	Status int // of the host's answer, if Cause is CauseStatus
}

// A Cause is the kind of an Error.
type Cause int

// The causes.
const (
	CauseConnection Cause = iota // also an answer that breaks HTTP, and a certificate that is not valid
	CauseURL                     // the URL is not valid
	CauseAddress                 // the guard does not permit the address
	CausePort                    // the guard does not permit the port
	CauseName                    // the host was not found
	CauseTime
	CauseStatus
	CauseRedirect  // to a URL that is not valid or not permitted
	CauseRedirects // too many
)

func (e *Error) Error() string { return "outbound: " + e.Reason }

// ErrTooLarge says that an answer has more bytes than allowed.
var ErrTooLarge = errors.New("outbound: the answer is larger than allowed")

// An Answer is the content at a URL.
type Answer struct {
	Name        string // the last segment of the URL's path, unescaped; may be empty or hold any bytes
	Body        io.ReadCloser
	Header      http.Header
	NotModified bool // the content is the one of the Request's validators; Body is empty
}

// A Request is a request for the content at a URL.
type Request struct {
	Most int64         // bytes of the content
	Time time.Duration // limit of the request; 0 for the client's
	// Permit reports whether a URL may be requested; it is called for the URL and for that of each redirect. Nil:
	// every URL.
	Permit func(*url.URL) bool
	// Header has further headers, such as validators of earlier content.
	Header http.Header
}

// Get requests a URL, which may hold a user and a password, and follows redirects. A status other than 200
// is an error. The caller closes the Body; Read returns ErrTooLarge after most bytes. Errors are *Error,
// ErrTooLarge, or the context's.
func (c *Client) Get(ctx context.Context, address string, most int64) (*Answer, error) {
	return c.Fetch(ctx, address, Request{Most: most})
}

// Fetch is Get with the parameters of a Request. A status 304 is an answer if the Request has validators.
func (c *Client) Fetch(ctx context.Context, address string, r Request) (*Answer, error) {
	to, err := parse(address)
	if err != nil {
		return nil, err
	}
	if r.Permit != nil && !r.Permit(to.URL) {
		return nil, &Error{Cause: CauseURL, Reason: fmt.Sprintf("the host %.100q is not permitted", to.Hostname())}
	}
	limit := cmp.Or(r.Time, c.time)
	limited, cancel := context.WithTimeout(ctx, limit)
	why := func(err error) error { return cause(ctx, limited, to.Hostname(), limit, err) }
	name := lastSegment(to.URL)
	response, err := c.follow(limited, &to, r)
	if err == nil && response.ContentLength > r.Most {
		err = errors.Join(ErrTooLarge, response.Body.Close())
	}
	if err == nil {
		if err = decode(response); err != nil {
			err = errors.Join(err, response.Body.Close())
		}
	}
	if err != nil {
		err = why(err)
		cancel()
		return nil, err
	}
	return &Answer{Name: name, Body: &body{response.Body, r.Most, cancel, why}, Header: response.Header,
		NotModified: response.StatusCode == http.StatusNotModified}, nil
}

// A target is a URL without its userinfo, which login holds for its origin.
type target struct {
	*url.URL
	login  string // value of the header Authorization; "" for none
	origin string // to which login may be sent
}

// parse parses a URL. Its errors do not quote the URL.
func parse(address string) (target, error) {
	if len(address) > maxAddressBytes {
		return target{}, &Error{Cause: CauseURL,
			Reason: fmt.Sprintf("the URL is longer than %d bytes", maxAddressBytes)}
	}
	u, err := url.Parse(asBrowsersRead(address))
	if err != nil {
		return target{}, &Error{Cause: CauseURL, Reason: "the URL is not valid"}
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

// check refuses URLs that are not of the web, and removes the parts that are not sent.
func (t *target) check() error {
	t.User, t.Fragment, t.RawFragment = nil, "", ""
	host := t.Hostname()
	switch {
	case t.Scheme != "http" && t.Scheme != "https":
		return &Error{Cause: CauseURL, Reason: "the URL must begin with http:// or https://"}
	case t.Opaque != "" || host == "":
		return &Error{Cause: CauseURL, Reason: "the URL names no host"}
	}
	// Some resolvers accept 2130706433, 0x7f.1 and 0177.0.0.1 as addresses. No host name ends like these.
	last := strings.TrimSuffix(host, ".")
	last = last[strings.LastIndexByte(last, '.')+1:]
	if _, err := netip.ParseAddr(host); err != nil &&
		(strings.Contains(host, ":") || last != "" && last[0] >= '0' && last[0] <= '9') {
		return &Error{Cause: CauseURL, Reason: fmt.Sprintf("the host %.100q is neither a name nor an address", host)}
	}
	return nil
}

// Destination returns host and port of a URL, as a key of limits; "" for an invalid URL.
func Destination(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" {
		return ""
	}
	_, to, _ := strings.Cut(origin(u), "://")
	return to
}

// origin returns scheme, host and port of a URL; a login is sent to one origin only.
func origin(u *url.URL) string {
	return u.Scheme + "://" + net.JoinHostPort(strings.ToLower(u.Hostname()), portOf(u))
}

// portOf returns the port of a URL, or that of its scheme.
func portOf(u *url.URL) string {
	return cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
}

// follow sends the request and follows redirects; to is then the target of the last one.
func (c *Client) follow(ctx context.Context, to *target, r Request) (*http.Response, error) {
	conditional := r.Header.Get("If-None-Match")+r.Header.Get("If-Modified-Since") != ""
	for range maxRedirects + 1 {
		response, err := c.send(ctx, *to, r.Header)
		if err != nil {
			return nil, err
		}
		if response.StatusCode == http.StatusOK || conditional && response.StatusCode == http.StatusNotModified {
			return response, nil
		}
		if err := response.Body.Close(); err != nil {
			return nil, err
		}
		switch response.StatusCode {
		case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
			http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		default:
			return nil, &Error{Cause: CauseStatus, Status: response.StatusCode,
				Reason: fmt.Sprintf("the host %.100q answered with status %d", to.Hostname(), response.StatusCode)}
		}
		if err := to.redirect(response.Header.Get("Location")); err != nil {
			return nil, err
		}
		if r.Permit != nil && !r.Permit(to.URL) {
			return nil, &Error{Cause: CauseRedirect,
				Reason: fmt.Sprintf("after a redirect, the host %.100q is not permitted", to.Hostname())}
		}
	}
	return nil, &Error{Cause: CauseRedirects, Reason: fmt.Sprintf("there were more than %d redirects", maxRedirects)}
}

// redirect sets the target to the Location of an answer. A redirect to another origin removes the login
// for the rest of the redirects. A login in the Location is ignored.
func (t *target) redirect(location string) error {
	next, err := t.Parse(asBrowsersRead(location))
	if err != nil || location == "" || len(location) > maxAddressBytes {
		return &Error{Cause: CauseRedirect,
			Reason: fmt.Sprintf("the host %.100q redirects to an invalid URL", t.Hostname())}
	}
	t.URL = next
	if err := t.check(); err != nil {
		return &Error{Cause: CauseRedirect, Reason: "after a redirect, " + err.(*Error).Reason}
	}
	if origin(next) != t.origin {
		t.login = ""
	}
	return nil
}

// send sends one request by the transport: an http.Client would put URLs into its errors, and the
// previous URL into the Referer of a redirect.
func (c *Client) send(ctx context.Context, to target, header http.Header) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, to.String(), http.NoBody)
	if err != nil {
		return nil, &Error{Cause: CauseURL, Reason: "the URL is not valid"}
	}
	maps.Copy(request.Header, header)
	request.Header.Set("User-Agent", userAgent)
	request.Header.Set("Accept", accept)
	request.Header.Set("Accept-Encoding", "identity")
	if to.login != "" {
		request.Header.Set("Authorization", to.login)
	}
	return c.transport.RoundTrip(request)
}

// cause returns the error of a request to a host: that of ctx, an *Error if its time within ctx has ended, else the
// reason of err.
func cause(ctx, limited context.Context, host string, time time.Duration, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case limited.Err() != nil:
		return &Error{Cause: CauseTime, Reason: fmt.Sprintf("the host %.100q took longer than %v", host, time)}
	}
	return reason(host, err)
}

// reason converts an error to an *Error for the client that named the URL. It omits details of the
// network, which could describe hosts that only the server can reach.
func reason(host string, err error) error {
	if known := new(Error); errors.As(err, &known) || errors.Is(err, ErrTooLarge) {
		return err
	}
	text, cause := "the connection to the host %.100q failed", CauseConnection
	switch {
	case errors.Is(err, errNotPublic):
		cause = CauseAddress
		text = "the host %.100q is not at a public address: the operator of this server can open " +
			"its network by " + allowFlag
	case errors.Is(err, errOwn):
		cause = CauseAddress
		text = "the host %.100q is this server itself: its operator can open its network by " +
			allowFlag
	case errors.Is(err, errPort):
		cause = CausePort
		text = "the port of the host %.100q is neither 80 nor 443: the operator of this server can " +
			"open its network by " + allowFlag
	case errors.As(err, new(*net.DNSError)):
		cause = CauseName
		text = "the host %.100q was not found"
	case isCertificate(err):
		text = "the certificate of the host %.100q is not valid"
	}
	return &Error{Cause: cause, Reason: fmt.Sprintf(text, host)}
}

// lastSegment returns the last segment of a URL's path, unescaped; "" if it is not valid.
func lastSegment(u *url.URL) string {
	path := u.EscapedPath()
	name, err := url.PathUnescape(path[strings.LastIndexByte(path, '/')+1:])
	if err != nil {
		return ""
	}
	return name
}
