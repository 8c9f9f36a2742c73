package outbound

import (
	"errors"
	"net/http"
	"strings"
	"testing"
)

// TestCheck: it returns impossible targets without a network request, and Post returns the same.
func TestCheck(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ url, allow, refused string }{
		{"https://example.com/hook", "", ""},
		{"http://example.com:80", "", ""},
		{"https://example.com:8443/", "", allowFlag},
		{"https://example.com:8443/", "10.0.0.0/8", ""}, // the name may lead there
		{"http://localhost/hook", "", allowFlag},
		{"http://LOCALHOST.:3000/hook", "", allowFlag},
		{"http://app.localhost:3000/hook", "", allowFlag},
		{"http://localhost:3000/hook", "127.0.0.0/8", ""},
		{"http://localhost:3000/hook", "::1", ""},
		{"http://localhost:3000/hook", "10.0.0.0/8", allowFlag},
		{"http://127.0.0.1/", "", allowFlag},
		{"http://127.0.0.1:3000/", "127.0.0.1", ""},
		{"http://[::1]:3000/", "127.0.0.1", allowFlag},
		{"http://[::ffff:127.0.0.1]/", "", allowFlag},
		{"http://[::ffff:127.0.0.1]:81/", "127.0.0.1", ""},
		{"http://169.254.169.254/latest", "", allowFlag},
		{"http://93.184.216.34/", "", ""},
		{"http://93.184.216.34:22/", "", allowFlag},
		{"http://0x7f.1/", "", "neither a name nor an address"},
		{"ftp://example.com/", "", "http://"},
		{"https:///hook", "", "no host"},
		{"nothing", "", "http://"},
	} {
		allow, err := ParseNetworks(c.allow)
		if err != nil {
			t.Fatal(err)
		}
		err = Check(Config{Allow: allow}, c.url)
		if (err == nil) != (c.refused == "") || err != nil && (!errors.As(err, new(*Error)) ||
			!strings.Contains(err.Error(), c.refused)) {
			t.Errorf("%s with %q: %v, want %q", c.url, c.allow, err, c.refused)
		}
		if c.refused == "" || strings.Contains(c.url, "example.com") ||
			strings.Contains(c.url, "app.") { // no name is resolved
			continue
		}
		p := NewPoster(Config{Allow: allow})
		if status, _, sent := p.Post(t.Context(), c.url, http.Header{}, nil, 1); sent == nil {
			t.Errorf("%s is refused, but a post was answered with %d", c.url, status)
		}
		p.Close()
	}
}
