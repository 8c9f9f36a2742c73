package pages

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// DemoHosts are the hosts under which the demo page answers. The zero value means this machine only.
type DemoHosts struct {
	off, all bool
	names    []string
}

// hostName is a name or an address, of either kind.
var hostName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]*$|^[0-9a-f:.]*:[0-9a-f:.]*$`)

// ParseDemoHosts parses "localhost", for this machine only, "on" for every host, "off", or names of hosts with
// commas between them, which are added to this machine's. The error names the valid forms; it has no Kind.
func ParseDemoHosts(text string) (h DemoHosts, err error) {
	switch strings.TrimSpace(text) {
	case "off":
		return DemoHosts{off: true}, nil
	case "on":
		return DemoHosts{all: true}, nil
	}
	for name := range strings.SplitSeq(text, ",") {
		name = strings.ToLower(strings.Trim(strings.TrimSpace(name), "[]"))
		// A name without a dot is most likely a misspelt switch.
		if !hostName.MatchString(name) || !strings.ContainsAny(name, ".:") && name != "localhost" {
			return h, fmt.Errorf("-demo %q is not valid: it should be localhost, on, off, or host names "+
				"without ports, like images.example.com,10.0.0.7; a name without a dot takes one at its end, "+
				"like \"nas.\"", text)
		}
		h.names = append(h.names, bareHost(name))
	}
	return h, nil
}

// Off reports whether the demo page is switched off.
func (h DemoHosts) Off() bool { return h.off }

// Answers reports whether the page may be opened directly under a host; host may have a port.
func (h DemoHosts) Answers(host string) bool {
	return h.named(host) || !h.off && loopback(bareHost(host))
}

// named reports whether the operator has opened the page to a host. This machine's own names open
// it to this machine only.
func (h DemoHosts) named(host string) bool {
	return !h.off && (h.all || slices.Contains(h.names, bareHost(host)) && !loopback(bareHost(host)))
}

// bareHost is a host without port, brackets and final dot, in lower case.
func bareHost(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

func loopback(name string) bool {
	ip := net.ParseIP(name)
	return name == "localhost" || ip != nil && ip.IsLoopback()
}

// A gate controls the access to the demo page: a request needs the key, or the cookie that the key was
// exchanged for. The rules on hosts and origins prevent other web pages from using that cookie.
type gate struct {
	hosts  DemoHosts
	url    string // our public base URL, an origin of ours
	key    [sha256.Size]byte
	cookie http.Cookie
}

// newGate derives the cookie from the key, so that it outlives a restart but not another key. The
// name is the key's too: browsers send the cookies of a host to all its ports.
func newGate(key string, hosts DemoHosts, url string) *gate {
	derive := func(what string) string {
		mac := hmac.New(sha256.New, []byte(key))
		mac.Write([]byte(what))
		return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	}
	if key == "" {
		hosts = DemoHosts{off: true}
	}
	return &gate{hosts: hosts, url: url, key: sha256.Sum256([]byte(key)), cookie: http.Cookie{
		Name: "calotype_try_" + derive("try name")[:8], Value: derive("try value"),
		Path: DemoPath, HttpOnly: true, SameSite: http.SameSiteStrictMode,
	}}
}

// forwarded are headers that proxies add.
var forwarded = []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto",
	"X-Forwarded-Server", "X-Real-Ip", "Via"}

// hostAllowed refuses foreign host names (DNS rebinding), and requests through a proxy, which all seem
// to come from this machine; unless the operator has named the host.
func (g *gate) hostAllowed(r *http.Request) bool {
	return g.hosts.named(r.Host) || !proxied(r) && g.hosts.Answers(r.Host)
}

// proxied reports whether a request seems to come through a proxy: proxies add headers, or use
// HTTP/1.0, as nginx does by default, and browsers do not. Against a proxy that does neither, only the
// key protects the page.
func proxied(r *http.Request) bool {
	added := func(name string) bool { return len(r.Header.Values(name)) > 0 }
	return !r.ProtoAtLeast(1, 1) || slices.ContainsFunc(forwarded, added)
}

// hasKey reports whether the key of the link is right.
func (g *gate) hasKey(r *http.Request) bool {
	sum := sha256.Sum256([]byte(r.URL.Query().Get("key")))
	return subtle.ConstantTimeCompare(sum[:], g.key[:]) == 1
}

// hasCookie reports whether the browser was let in before.
func (g *gate) hasCookie(r *http.Request) bool {
	for _, c := range r.CookiesNamed(g.cookie.Name) {
		if subtle.ConstantTimeCompare([]byte(c.Value), []byte(g.cookie.Value)) == 1 {
			return true
		}
	}
	return false
}

// letIn gives the browser the cookie.
func (g *gate) letIn(w http.ResponseWriter, r *http.Request) {
	cookie := g.cookie
	public, err := url.Parse(g.url)
	// Behind a proxy the request does not show whether the browser uses https.
	cookie.Secure = err == nil && public.Scheme == "https" && strings.EqualFold(public.Host, r.Host)
	http.SetCookie(w, &cookie)
}

// originAllowed reports whether a request that changes something comes from our own page: other
// ports of this host are the same site for a cookie, but not the same origin.
func (g *gate) originAllowed(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return false
	}
	return g.hosts.Answers(u.Host) &&
		(strings.EqualFold(u.Host, r.Host) || strings.EqualFold(origin, g.url))
}
