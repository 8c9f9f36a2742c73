package outbound

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
)

// TestGuard asks about addresses as they are connected.
func TestGuard(t *testing.T) {
	t.Parallel()
	g := newGuard(networks(t, "10.1.0.0/16, fd00:1::/32,192.0.2.7,::ffff:10.3.0.0/112,"))
	for address, want := range map[string]error{
		// Public, at the ports of the web.
		"8.8.8.8:443": nil, "8.8.8.8:80": nil, "[2606:4700::1111]:443": nil, "172.32.0.1:80": nil,
		"100.128.0.1:80": nil, "192.169.0.1:80": nil,
		"8.8.8.8:22": errPort, "8.8.8.8:8080": errPort, "[2606:4700::1111]:25": errPort,
		// Opened: any port, in either way of writing.
		"10.1.2.3:80": nil, "10.1.2.3:9000": nil, "[fd00:1::5]:6379": nil, "192.0.2.7:81": nil,
		"[::ffff:10.1.2.3]:80": nil, "10.3.0.9:80": nil, "[fd00:1::5%eth0]:80": nil,
		// Beside what was opened.
		"10.2.0.1:80": errNotPublic, "[fd00:2::1]:80": errNotPublic, "192.0.2.8:80": errNotPublic,
		"10.4.0.0:80": errNotPublic,
		// All that is not public.
		"0.0.0.0:80": errNotPublic, "0.1.2.3:80": errNotPublic, "10.0.0.1:80": errNotPublic,
		"100.64.0.1:80": errNotPublic, "100.127.255.255:80": errNotPublic,
		"127.0.0.1:80": errNotPublic, "127.255.255.254:443": errNotPublic,
		"169.254.169.254:80": errNotPublic, "172.16.0.1:80": errNotPublic,
		"172.31.255.255:80": errNotPublic, "192.0.0.8:80": errNotPublic,
		"192.0.2.1:80": errNotPublic, "192.88.99.1:80": errNotPublic,
		"192.168.1.1:80": errNotPublic, "198.18.0.1:80": errNotPublic,
		"198.51.100.1:80": errNotPublic, "203.0.113.1:80": errNotPublic,
		"224.0.0.1:80": errNotPublic, "240.0.0.1:80": errNotPublic,
		"255.255.255.255:80": errNotPublic,
		"[::]:80":            errNotPublic, "[::1]:80": errNotPublic, "[::127.0.0.1]:80": errNotPublic,
		"[::ffff:127.0.0.1]:80": errNotPublic, "[::ffff:8.8.8.8]:80": errNotPublic,
		"[::ffff:0:127.0.0.1]:80": errNotPublic,                                    // translated
		"[64:ff9b::7f00:1]:80":    errNotPublic, "[64:ff9b:1::1]:80": errNotPublic, // NAT64
		"[100::1]:80": errNotPublic, "[2001::1]:80": errNotPublic, // discard, Teredo
		"[2001:db8::1]:80": errNotPublic, "[2002:7f00:1::]:80": errNotPublic, // example, 6to4
		"[3fff::1]:80": errNotPublic, "[5f00::1]:80": errNotPublic,
		"[fc00::1]:80": errNotPublic, "[fdff::1]:80": errNotPublic, // unique local
		"[fe80::1]:80": errNotPublic, "[fe80::1%eth0]:80": errNotPublic, // link-local
		"[fec0::1]:80": errNotPublic, "[ff02::1]:80": errNotPublic, // site-local, multicast
		"[4000::1]:80": errNotPublic, "example.com:80": errNotPublic, "/run/socket": errNotPublic,
	} {
		network := "tcp4"
		if strings.HasPrefix(address, "[") {
			network = "tcp6"
		}
		if err := g.control(network, address, nil); !errors.Is(err, want) || (err == nil) != (want == nil) {
			t.Errorf("%s: got %v, want %v", address, err, want)
		}
	}
	if err := g.control("udp4", "8.8.8.8:443", nil); err == nil {
		t.Error("a network that is not TCP was let through")
	}
}

func TestParseNetworks(t *testing.T) {
	t.Parallel()
	if got := fmt.Sprint(networks(t, "10.1.2.3/8,::1, ::ffff:10.0.0.1 ,fd00::/8")); got !=
		"[10.0.0.0/8 ::1/128 10.0.0.1/32 fd00::/8]" {
		t.Errorf("got %s", got)
	}
	for _, wrong := range []string{"x", "10.0.0.0/33", "10.0.0", "fe80::1%eth0", "localhost", "1;2"} {
		if got, err := ParseNetworks("10.0.0.0/8," + wrong); err == nil ||
			!strings.Contains(err.Error(), allowFlag) {
			t.Errorf("%q: %v, %v", wrong, got, err)
		}
	}
}

// FuzzParse: no URL makes the parser panic, and neither a parsed URL nor an error holds the login.
func FuzzParse(f *testing.F) {
	for _, address := range []string{
		"http://u:canary@h/x", "https://canary@h:8/?q#f", "http://u:canary@[::1%25x]/", "//u:canary@h",
		"http:u:canary@h", "http://u:canary@0x7f.1/", "mailto:canary@h", "http://u:canary@h:port/",
		"http://u:canary@", "http://u:canary@h/%zz", "http://u:canary@h\x00/", "http://u:canary@h@i/",
	} {
		f.Add(address, "/x")
		f.Add("http://u:canary@h/", address)
	}
	f.Fuzz(func(t *testing.T, address, location string) {
		to, err := parse(address)
		if err == nil {
			if err = to.redirect(location); err == nil {
				address = location
			}
		}
		if err != nil {
			if authority, _, found := strings.Cut(address, "@"); found &&
				strings.Contains(authority, "canary") && strings.Contains(err.Error(), "canary") {
				t.Errorf("%q: %v", address, err)
			}
			return
		}
		sent, err := url.Parse(to.String())
		if err != nil || sent.User != nil || sent.Host == "" || sent.Fragment != "" {
			t.Errorf("%q is sent as %q: %v", address, to.String(), err)
		}
		_ = lastSegment(to.URL)
	})
}
