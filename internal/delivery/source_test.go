package delivery

import (
	"errors"
	"net/http"
	"strings"
	"testing"
)

func TestParseSource(t *testing.T) {
	t.Parallel()
	const own = "/" + testHash + "/a%2520b/public"
	for _, c := range []struct {
		text, query string
		want        source
	}{
		{testHash + "/a%2520b/public", "", source{path: own}},
		{"/" + testHash + "/a%2520b/public", "", source{path: own}},
		{"///" + testHash + "/a%2520b/public", "exp=1&sig=2", source{path: own, query: "exp=1&sig=2"}},
		{"%2F" + testHash + "%2fa%252520b%2Fpublic%3Fsig%3D1", "w=1", source{path: own, query: "sig=1"}},
		{testHash + "%2Fa%252520b%2Fpublic", "sig=2", source{path: own, query: "sig=2"}},
		{"cdn-cgi/imagedelivery" + own, "", source{path: "/cdn-cgi/imagedelivery" + own}},
		{"cdn-cgi/image/w=1" + own, "", source{path: "/cdn-cgi/image/w=1" + own}},
		{"https://Host.example.:443" + own, "", source{"https", "host.example", own, ""}},
		{"https:/host.example" + own, "", source{"https", "host.example", own, ""}},
		{"HTTP:///host.example:80" + own, "", source{"http", "host.example", own, ""}},
		{"http://host.example:443/a", "", source{"http", "host.example:443", "/a", ""}},
		{"https%3A//host.example/a%2Fb", "", source{"https", "host.example", "/a%2Fb", ""}},
		{"https%3A%2F%2Fhost.example%2Fa%252Fb%3Fx%3D1%26y", "", source{"https", "host.example", "/a%2Fb", "x=1&y"}},
		{"//host.example/a//b/../c", "", source{"https", "host.example", "/a//b/../c", ""}},
		{"host.example:8080/a", "", source{"https", "host.example:8080", "/a", ""}},
		{"https://[2001:DB8::1]:8443/a", "", source{"https", "[2001:db8::1]:8443", "/a", ""}},
		{"https://host.example/?u=http://x/", "", source{}}, // a path has no "?"
		{"https://host.example/", "u=http://x/", source{"https", "host.example", "/", "u=http://x/"}},
	} {
		got, err := parseSource(c.text, c.query)
		if c.want == (source{}) {
			if err == nil && got.path != "/?u=http://x/" {
				t.Errorf("%s: got %+v", c.text, got)
			}
			continue
		}
		if err != nil || got != c.want {
			t.Errorf("%s: got %+v, %v, want %+v", c.text, got, err, c.want)
		}
	}
	for _, text := range []string{
		"", "/", "./", "https://a../b", "https://./a", "https://", "https:", "https://host.example", "host.example", "https:///",
		"https://user@host.example/a", "https://user:secret@host.example/a", "https%3A%2F%2Fu%3Asecret%40host.example%2Fa",
		"https://host.example%40evil.example/a", "https://ho%73t.example/a", "https://host.example:x/a",
		"https://[::1/a", "https://[::1%25eth0]/a", "https://a b/c", "https://host.example\\@evil.example/a",
		"https://host.example/a\tb", "https://host.example/\x00", "https://host.example/a#b",
		"https%3A%2F%2Fhost.example%2Fa%23b", "https%3A%2F%2Fhost.example%2F%0d%0ab", "%2F%zz",
		"ftp://host.example/a", "file:///etc/passwd", "data:image/png;base64,AAAA/", "javascript:a/b",
		"gopher:/host.example/a", "http:host.example/a",
	} {
		got, err := parseSource(text, "")
		e := new(refusal)
		if !errors.As(err, &e) || e.status != http.StatusForbidden || e.code != codeInvalidSource {
			t.Errorf("%q: got %+v, %v", text, got, err)
		} else if strings.Contains(e.sentence, "secret") || strings.Contains(e.sentence, "host.example") {
			t.Errorf("%q: the refusal quotes the source: %s", text, e.sentence)
		}
	}
	if _, err := parseSource("uploads/picture.jpg", ""); err == nil {
		t.Error("a path that is no delivery was accepted")
	}
}

func TestCutOnError(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"onerror=redirect": "", "w=1,onerror=redirect": "w=1", "onerror=redirect,w=1,f=auto": "w=1,f=auto",
	} {
		if rest, redirect := cutOnError(text); rest != want || !redirect {
			t.Errorf("%s: got %q, %v", text, rest, redirect)
		}
	}
	for _, text := range []string{"", "w=1", "onerror=ignore", "xonerror=redirect,w=1"} {
		if rest, redirect := cutOnError(text); rest != text || redirect {
			t.Errorf("%s: got %q, %v", text, rest, redirect)
		}
	}
}

func TestIsLoop(t *testing.T) {
	t.Parallel()
	for via, want := range map[string]bool{
		"": false, "1.1 proxy": false, "image-resizing": false, "1.1 image-resizing": true,
		"1.1 proxy, 2 Image-Resizing": true, "1.1 proxy (image-resizing)": false, "1.1 image-resizing (x)": true,
	} {
		if isLoop(http.Header{"Via": {"1.0 first", via}}) != want {
			t.Errorf("%q: want %v", via, want)
		}
	}
}

// FuzzSource: a source that is accepted has the parts of a URL and nothing that another reader of URLs would read as
// another host.
func FuzzSource(f *testing.F) {
	for _, text := range []string{
		testHash + "/a/public", "https://host.example/a", "https:/host.example:8443/a%2Fb", "//host/a", "cdn-cgi/image/w=1/x",
		"https%3A%2F%2Fhost.example%2Fa%3Fsig%3D1", "https://[::1]/a", "http://127.0.0.1:80/", "https://u@h/a", "%2F", "%",
	} {
		f.Add(text, "exp=1&sig=2")
	}
	f.Fuzz(func(t *testing.T, text, query string) {
		from, err := parseSource(text, query)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\x00\n\r\t") {
				t.Errorf("%q: the refusal is %q", text, err)
			}
			return
		}
		if !strings.HasPrefix(from.path, "/") || (from.scheme == "") != (from.host == "") ||
			strings.ContainsAny(from.host, "/@%\\?# \t\r\n") || from.host != strings.ToLower(from.host) ||
			strings.ContainsAny(from.path+from.query, " \t\r\n\x00\\#") {
			t.Fatalf("%q: got %+v", text, from)
		}
		if from.host == "" {
			return
		}
		again, err := parseSource(from.scheme+"://"+from.host+from.path, from.query)
		if err != nil || again != from {
			t.Errorf("%q: %+v is read again as %+v, %v", text, from, again, err)
		}
	})
}
