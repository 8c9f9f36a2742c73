package main

import "testing"

func TestImageOfURL(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ url, hash, id string }{
		{"https://img.example/h/abc/public", "h", "abc"},
		{"https://img.example/h/a/b%25c/public?exp=1&sig=2", "h", "a/b%c"},
		{"https://img.example/cdn-cgi/imagedelivery/h/a%2Fb/w=100,h=5", "h", "a/b"},
		{"https://img.example/upload/h/a/b?ticket=X", "h", "a/b"},
		{"https://img.example/h/abc", "", ""},
		{"https://img.example/h", "", ""},
		{"https://img.example/", "", ""},
		{"img.example/h/abc/public", "", ""},
		{"h/abc/public", "", ""},
		{"", "", ""},
	} {
		hash, id, err := imageOfURL(c.url)
		if (err == nil) != (c.hash != "") || err == nil && (hash != c.hash || id != c.id) {
			t.Errorf("%q: hash %q, id %q, %v", c.url, hash, id, err)
		}
	}
}
