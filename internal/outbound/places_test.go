package outbound

import (
	"net/url"
	"strings"
	"testing"
)

func TestPlaces(t *testing.T) {
	t.Parallel()
	places, err := ParsePlaces("-x", "Host.Example, cdn.example/media/ ,other.example:8443,[2001:DB8::1]/a%20b,,192.0.2.1,tls.example:443,[2001:db8::2]:80")
	if err != nil || len(places) != 7 {
		t.Fatalf("got %+v, %v", places, err)
	}
	for address, want := range map[string]bool{
		"https://host.example/a": true, "http://HOST.example.:80/a?b": true, "https://host.example": true,
		"https://host.example:8443/a": false, "http://host.example:443/a": false, "ftp://host.example/a": false,
		"https://xhost.example/a": false, "https://host.example.evil/a": false, "https://a.host.example/a": false,
		"https://cdn.example/media": true, "https://cdn.example/media/": true, "https://cdn.example/media/a/b": true,
		"https://cdn.example/mediax": false, "https://cdn.example/": false, "https://cdn.example/Media/a": false,
		"https://cdn.example/media/../a": false, "https://cdn.example/media/%2E%2e/a": false,
		"https://cdn.example/media/a%2f..%2f..%2fb": false, "https://cdn.example/media/%252e%252e%252fa": false,
		"https://cdn.example/media/..;x/a": false, "https://cdn.example/media/a..b/...": true,
		"https://cdn.example/%6dedia/a": false, "https://host.example/./a": false, "https://cdn.example//media/a": false,
		"https://tls.example/a": true, "https://tls.example:443/a": true, "http://tls.example/a": false,
		"http://tls.example:443/a": true, "http://[2001:db8::2]/": true, "https://[2001:db8::2]/": false,
		"https://cdn.example/media/%252e%252e/secret%25zz": false,
		"https://other.example:8443/":                      true, "https://other.example/": false,
		"http://[2001:db8::1]/a%20b/c": true, "http://[2001:db8:0::1]/a%20b/c": false, "http://[2001:db8::1]/a b/c": true,
		"http://192.0.2.1/": true, "http://3221225985/": false, "http://192.0.2.01/": false, "//host.example/a": false,
	} {
		u, err := url.Parse(address)
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		if places.Permit(u) != want || Places(nil).Permit(u) {
			t.Errorf("%s: want %v", address, want)
		}
	}
	for _, list := range []string{
		"https://host.example", "*.example", "user@host.example", "host.example?x", "host.example#x", "host example", "/media",
		"host.example:", ".", "./a", "host.example/../a", "host.example:x", "a,*", "https:", "[::1",
	} {
		if got, err := ParsePlaces("-x", list); err == nil || !strings.HasPrefix(err.Error(), "-x: ") {
			t.Errorf("%q: got %+v, %v", list, got, err)
		}
	}
}

// FuzzPlaces: a URL that is permitted has a listed host, and no segment that leaves the listed path.
func FuzzPlaces(f *testing.F) {
	places, err := ParsePlaces("-x", "cdn.example/media,host.example:8080")
	if err != nil {
		f.Fatal(err)
	}
	for _, address := range []string{
		"https://cdn.example/media/a", "http://cdn.example/media/%2e%2e/x", "http://host.example:8080/", "http://cdn.example@e/",
		"https://cdn.example/media/..;/a", "https://CDN.example.:443/media", "https://cdn.example\\@e/media/a",
	} {
		f.Add(address)
	}
	f.Fuzz(func(t *testing.T, address string) {
		u, err := url.Parse(address)
		if err != nil || !places.Permit(u) {
			return
		}
		host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
		path := u.Path
		if host != "host.example" && host != "cdn.example" || strings.Contains("/"+path+"/", "/../") ||
			host == "cdn.example" && !strings.HasPrefix(path+"/", "/media/") {
			t.Errorf("%q is permitted", address)
		}
	})
}
