package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"net/http"
	"strings"
	"testing"
)

// configured sends a JSON request to the API, which must succeed, and returns its result.
func (s *server) configured(method, path, body string) json.RawMessage {
	s.t.Helper()
	a := s.api(method, path, strings.NewReader(body), "Content-Type", "application/json")
	e := a.envelope(s.t)
	if a.status != http.StatusOK || !e.Success {
		s.t.Fatalf("%s %s: status %d\n%s", method, path, a.status, a.body)
	}
	return e.Result
}

// wantSize checks that a URL shows a picture of a size.
func wantSize(t *testing.T, url, want string) answer {
	t.Helper()
	a := do(t, "GET", url, nil)
	shown, _, err := image.DecodeConfig(bytes.NewReader(a.body))
	if got := fmt.Sprintf("%dx%d", shown.Width, shown.Height); a.status != 200 || got != want {
		t.Errorf("%s: status %d, %s, %v, want %s", url, a.status, got, err, want)
	}
	return a
}

// TestVariantsOfAnAccount makes, changes and deletes variants, and asks for pictures in them.
func TestVariantsOfAnAccount(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	id := s.uploaded(photo(t, 320, 240, 46))
	base := s.url + "/" + accountHashOf(accountID) + "/" + id + "/"
	wantDeliveryRefusal(t, do(t, "GET", base+"thumb", nil), 403, 9425)
	s.configured("POST", "images/v1/variants",
		`{"id":"thumb","options":{"fit":"cover","width":50,"height":50,"metadata":"none"}}`)
	wantSize(t, base+"thumb", "50x50")
	s.configured("PATCH", "images/v1/variants/thumb", `{"options":{"width":160,"browser_ttl":3600}}`)
	a := wantSize(t, base+"thumb", "160x120")
	if got := a.header.Get("Cache-Control"); got !=
		"public, max-age=3600, stale-while-revalidate=7200" {
		t.Errorf("Cache-Control is %q", got)
	}
	s.configured("DELETE", "images/v1/variants/thumb", "")
	wantDeliveryRefusal(t, do(t, "GET", base+"thumb", nil), 403, 9425)

	wantDeliveryRefusal(t, do(t, "GET", base+"w=32", nil), 403, 9429)
	s.configured("PATCH", "images/v1/config", `{"flexible_variants":true,"browser_ttl":7200}`)
	a = wantSize(t, base+"w=32,h=32,fit=crop", "32x32")
	if got := a.header.Get("Cache-Control"); !strings.HasPrefix(got, "public, max-age=7200,") {
		t.Errorf("Cache-Control is %q", got)
	}
	wantSize(t, base+"width=80,dpr=2,format=jpeg", "160x120")
	wantDeliveryRefusal(t, do(t, "GET", base+"w=0", nil), 400, 9401)
	private := s.uploaded(photo(t, 320, 240, 47), "requireSignedURLs", "true")
	wantDeliveryRefusal(t, do(t, "GET", strings.Replace(base, id, private, 1)+"w=32", nil), 403, 9425)

	// All of it outlives the process.
	s.stop()
	s.start()
	base = s.url + "/" + accountHashOf(accountID) + "/" + id + "/"
	wantSize(t, base+"w=16", "16x12")
}

// TestSigningKeys signs by each key on the command line.
func TestSigningKeys(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	id := s.uploaded(photo(t, 320, 240, 48), "requireSignedURLs", "true")
	s.configured("PUT", "images/v1/keys/second-key", "")
	sign := func(args ...string) string {
		t.Helper()
		out := calotype(t, nil, append([]string{"sign", "-data", s.data, "-account-id", accountID,
			s.public(id)}, args...)...)
		if out.code != 0 {
			t.Fatalf("%s", out.stderr)
		}
		return strings.TrimSpace(out.stdout)
	}
	oldest, second := sign(), sign("--key", "second-key", "--expires", "0")
	if strings.Contains(second, "exp=") || !strings.Contains(oldest, "exp=") {
		t.Errorf("signed %s and %s", oldest, second)
	}
	wantSize(t, oldest, "320x240")
	wantSize(t, second, "320x240")
	s.configured("DELETE", "images/v1/keys/second-key", "")
	wantDeliveryRefusal(t, do(t, "GET", second, nil), 403, 9425)
	wantSize(t, oldest, "320x240")
	s.configured("DELETE", "images/v1/keys/default", "")
	wantDeliveryRefusal(t, do(t, "GET", oldest, nil), 403, 9425)
	wantSize(t, sign("--key", "default"), "320x240")
	out := calotype(t, nil, "sign", "-data", s.data, "-account-id", accountID, s.public(id),
		"--key", "second-key")
	if out.code == 0 || !strings.Contains(out.stderr, `no signing key "second-key"`) {
		t.Errorf("signed by a key that is not there: %s%s", out.stdout, out.stderr)
	}
}
