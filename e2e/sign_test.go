package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"calotype/internal/sqldb/sqldbtest"
)

// TestSignRefuses: only a URL that this server would deliver is signed; each refusal says why.
func TestSignRefuses(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	private := s.uploaded(photo(t, 64, 48, 1), "requireSignedURLs", "true")
	public := s.uploaded(photo(t, 64, 48, 2))
	sign := func(args ...string) finished {
		return calotype(t, nil, append([]string{"sign", "-data", s.data}, args...)...)
	}
	good := s.public(private)
	hash := strings.Split(strings.TrimPrefix(good, s.url+"/"), "/")[0]
	path := strings.TrimPrefix(good, s.url)
	for _, c := range []struct{ url, want string }{
		{"https://evil.example" + path, "is not a URL of this server, whose delivery URLs begin with " + s.url},
		{strings.Replace(good, "http:", "https:", 1), "is not a URL of this server"},
		{s.url + "/x/y/z", "no account of this server has the hash"},
		{s.url + "/" + strings.Repeat("x", 22) + "/" + private + "/public", "no account of this server has the hash"},
		{s.url + "/" + hash + "/" + private, "must have the form"},
		{s.url + "/" + hash + "/nothing/public", "no image of that id"},
		{s.url + "/" + hash + "/" + private + "/nothing", "no such variant"},
		{s.url + "/" + hash + "/" + private + "/width=10", "named variants only"},
		{good + "?a=b", "has a query"}, {"nonsense", "is not a delivery URL"}, {"mailto:x", "is not a delivery URL"},
	} {
		if got := sign(c.url); got.code == 0 || got.stdout != "" || !strings.Contains(got.stderr, c.want) {
			t.Errorf("%s: %+v, want %s", c.url, got, c.want)
		}
	}
	for _, form := range []string{good, path, s.url + "/cdn-cgi/imagedelivery" + path} {
		got := sign(form, "-expires", "2d")
		if got.code != 0 || got.stderr != "" {
			t.Errorf("%s: %+v", form, got)
			continue
		}
		if a := do(t, "GET", strings.TrimSpace(got.stdout), nil); a.status != http.StatusOK {
			t.Errorf("%s is answered %d", got.stdout, a.status)
		}
	}
	if got := sign(s.public(public)); got.code != 0 || !strings.Contains(got.stderr, "is public") {
		t.Errorf("a public image: %+v", got)
	}
	if got := sign(good, "-expires=-1h"); got.code == 0 || !strings.Contains(got.stderr, "must not be negative") {
		t.Errorf("a negative expiry: %+v", got)
	}
	a := calotype(t, nil, "account", "set", accountID, "-data", s.data, "-flexible-variants", "on", "-private-options", "on")
	if a.code != 0 {
		t.Fatalf("%+v", a)
	}
	options := s.url + "/" + hash + "/" + private + "/width=10"
	if got := sign(options); got.code != 0 {
		t.Errorf("options that the account allows: %+v", got)
	}
	if got := sign(options + ",sepia=1"); got.code == 0 || !strings.Contains(got.stderr, "sepia") {
		t.Errorf("an unknown option: %+v", got)
	}
}

// TestLastUseOfTokens: a token that was used is listed with the hour after the end of the server, which env's token
// outlives by less than a day.
func TestLastUseOfTokens(t *testing.T) {
	t.Parallel()
	for name, dsn := range map[string]string{"sqlite": "", "postgres": sqldbtest.Postgres(t)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := []string{}
			if dsn != "" {
				args = []string{"-db", dsn}
			}
			s := newServer(t, args...)
			before := time.Now().UTC().Truncate(time.Hour)
			env := calotype(t, nil, append([]string{"env", "-data", s.data, "-account-id", accountID}, args...)...)
			if env.code != 0 || !strings.Contains(env.stderr, "expires in a day") {
				t.Errorf("env: %+v", env)
			}
			if a := s.api("GET", "images/v1/stats", nil); a.status != http.StatusOK {
				t.Fatalf("status %d", a.status)
			}
			s.stop()
			list := calotype(t, nil, append([]string{"token", "list", "-json", "-data", s.data, "-account-id", accountID},
				args...)...)
			after := time.Now().UTC().Truncate(time.Hour)
			var tokens struct {
				Items []struct {
					Name     string
					LastUsed *time.Time
				}
			}
			if err := json.Unmarshal([]byte(list.stdout), &tokens); err != nil {
				t.Fatalf("%v: %+v", err, list)
			}
			for _, item := range tokens.Items {
				used := item.LastUsed != nil && (item.LastUsed.Equal(before) || item.LastUsed.Equal(after))
				if used != (item.Name == "env") {
					t.Errorf("the use of %s is listed as %v", item.Name, item.LastUsed)
				}
			}
			if len(tokens.Items) < 2 {
				t.Errorf("there are the tokens %+v", tokens.Items)
			}
		})
	}
}
