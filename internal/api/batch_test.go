package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/errs"
	"calotype/internal/images/imagestest"
)

// batchTokenOf asks for a batch token with a token.
func batchTokenOf(t *testing.T, f *fixture, secret string) string {
	t.Helper()
	r := f.ask("GET", "/images/v1/batch_token", "", "", "Authorization", "Bearer "+secret)
	var result struct{ Token, ExpiresAt string }
	if err := json.Unmarshal(r.Result, &result); err != nil || r.status != 200 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	expires, err := time.Parse(time.RFC3339Nano, result.ExpiresAt)
	if life := expires.Sub(f.core.Now()); err != nil || life > time.Hour || life < 0 ||
		len(result.ExpiresAt) != len("2006-01-02T15:04:05.000000000Z") {
		t.Fatalf("expiresAt is %s", result.ExpiresAt)
	}
	return result.Token
}

func (f *fixture) token(name string, scope accounts.Scope, life time.Duration) string {
	f.t.Helper()
	secret, err := f.core.Accounts.CreateToken(f.t.Context(), testAccount,
		accounts.NewToken{Name: name, Scope: scope, Life: life})
	if err != nil {
		f.t.Fatal(err)
	}
	return secret
}

func (f *fixture) bearer(method, path, secret string) reply {
	f.t.Helper()
	return f.send(method, path, "", "", "Authorization", "Bearer "+secret)
}

func TestBatch(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		secret := batchTokenOf(t, f, testToken)
		auth := []string{"Authorization", "Bearer " + secret}

		contentType, body := multi(t, "metadata", `{"key":"value"}`)
		made := f.send("POST", "/images/v2/direct_upload", contentType, body, auth...).image(t)
		f.upload(made, "a.jpg", imagestest.JPEG(t, 1))
		shown := f.bearer("GET", "/images/v1/"+made.ID, secret)
		if own := f.ask("GET", "/images/v1/"+made.ID, "", ""); shown.body != own.body {
			t.Errorf("the batch API shows %s, the API %s", shown.body, own.body)
		}
		for _, path := range []string{"/images/v2", "/images/v1?per_page=10"} {
			if list := f.bearer("GET", path, secret); !strings.Contains(list.body, made.ID) {
				t.Errorf("%s: %s", path, list.body)
			}
		}
		f.want(f.bearer("DELETE", "/images/v1/"+made.ID, secret), 200, 0)
		f.want(f.bearer("GET", "/images/v1/"+made.ID, secret), 404, 5404)

		// What it has not: among others, more batch tokens.
		for _, path := range []string{
			"/images/v1/batch_token", "/images/v1/stats", "/images/v1/x/blob", "/images/v1/",
			"/images/v2/x", "/images/v3", "/images/v1/direct_upload",
		} {
			f.want(f.bearer("GET", path, secret), 404, 7003)
		}
		f.want(f.send("GET", "/images/v2", "", ""), 400, 9106)
		f.want(f.bearer("PUT", "/images/v2", secret), 405, 7001)
		// Each token on its own side.
		f.want(f.bearer("GET", "/images/v2", testToken), 401, 10000)
		for _, path := range []string{"/images/v2", "/images/v1/batch_token", "/tokens/verify"} {
			f.want(f.ask("GET", path, "", "", auth...), 401, 10000)
		}
	})
}

func TestABatchTokenIsNoMoreThanItsParent(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		reader := batchTokenOf(t, f, f.token("reader", accounts.Read, 0))
		f.want(f.bearer("GET", "/images/v2", reader), 200, 0)
		f.want(f.bearer("POST", "/images/v2/direct_upload", reader), 403, 10000)
		f.want(f.bearer("DELETE", "/images/v1/x", reader), 403, 10000)
		if err := f.core.Accounts.RevokeToken(t.Context(), testAccount, "reader"); err != nil {
			t.Fatal(err)
		}
		f.want(f.bearer("GET", "/images/v2", reader), 401, 10000)

		start := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
		at := func(d time.Duration) { f.now.at.Store(ptr(start.Add(d))) }
		at(0)
		short := batchTokenOf(t, f, f.token("short", accounts.Write, 10*time.Minute))
		long := batchTokenOf(t, f, f.token("long", accounts.Write, 0))
		at(10*time.Minute - time.Second)
		f.want(f.bearer("GET", "/images/v2", short), 200, 0)
		at(10 * time.Minute)
		f.want(f.bearer("GET", "/images/v2", short), 401, 10000)
		at(time.Hour - time.Second)
		f.want(f.bearer("GET", "/images/v2", long), 200, 0)
		at(time.Hour)
		f.want(f.bearer("GET", "/images/v2", long), 401, 10000)
	})
}

// TestBatchTokensAreBounded asks for the last ones at once.
func TestBatchTokensAreBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: creates a thousand tokens")
	}
	each(t, func(t *testing.T, f *fixture) {
		parent, err := f.core.Accounts.Authenticate(t.Context(), f.token("busy", accounts.Read, 0))
		if err != nil {
			t.Fatal(err)
		}
		const limit, more = 1000, 16
		for range limit - more/2 {
			if _, _, err := f.core.Accounts.CreateBatchToken(t.Context(), parent); err != nil {
				t.Fatal(err)
			}
		}
		made := make(chan bool, more)
		var wait sync.WaitGroup
		for range more {
			wait.Go(func() {
				_, _, err := f.core.Accounts.CreateBatchToken(t.Context(), parent)
				if err == nil {
					made <- true
				} else if errs.AsError(err).Kind != errs.LimitReached {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		if len(made) != more/2 {
			t.Errorf("%d were made after %d, want %d in all", len(made), limit-more/2, limit)
		}
		f.now.at.Store(ptr(time.Now().Add(2 * time.Hour)))
		if _, _, err := f.core.Accounts.CreateBatchToken(t.Context(), parent); err != nil {
			t.Errorf("the expired ones still count: %v", err)
		}
	})
}

// TestHeadMakesNoBatchToken: it may be sent by whatever looks at links.
func TestHeadMakesNoBatchToken(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		r := f.ask("HEAD", "/images/v1/batch_token", "", "")
		if r.status != http.StatusMethodNotAllowed || r.header.Get("Allow") != "GET" {
			t.Errorf("%d, Allow %q", r.status, r.header.Get("Allow"))
		}
	})
}

func TestIsBatch(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]bool{
		"/images/v1": true, "/images/v2": true, "/images/v1/": true, "/images/v1/a/b": true,
		"/images/v2/direct_upload": true, "/images/v1x": false, "/images": false,
		"/client/v4/images/v1": false, "/images/v3": false, "//images/v1": false,
	} {
		if got := IsBatch(path); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
}

func TestRates(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	core := imagestest.New(t)
	core.SetNow(func() time.Time { return now })
	f := newServer(t, core, Config{Rate: 10})
	verify := func(secret string) reply { return f.bearer("GET", Prefix+"user/tokens/verify", secret) }
	for i := range 10 {
		r := verify(testToken)
		f.want(r, 200, 0)
		if want := fmt.Sprintf(`"default";r=%d;t=%d`, 9-i, 30*(i+1)); r.header.Get("Ratelimit") != want ||
			r.header.Get("Ratelimit-Policy") != `"default";q=10;w=300` {
			t.Errorf("request %d: %v, want %s", i, r.header, want)
		}
	}
	over := verify(testToken)
	f.want(over, 429, 971)
	if over.header.Get("Retry-After") != "30" || over.header.Get("X-Should-Retry") != "" ||
		over.header.Get("Ratelimit") != `"default";r=0;t=300` {
		t.Errorf("the refusal has the headers %v", over.header)
	}
	f.want(verify(f.token("other", accounts.Read, 0)), 200, 0)
	now = now.Add(29 * time.Second)
	f.want(verify(testToken), 429, 971)
	now = now.Add(time.Second)
	batch := batchTokenOf(t, f, testToken)
	f.want(verify(testToken), 429, 971)

	// The batch API counts for itself.
	for range batchRate {
		if r := f.bearer("GET", "/images/v2?per_page=1", batch); r.status != 200 {
			t.Fatalf("%d %s", r.status, r.body)
		}
	}
	over = f.bearer("GET", "/images/v2", batch)
	f.want(over, 429, 971)
	if over.header.Get("Retry-After") != "1" {
		t.Errorf("the refusal has the headers %v", over.header)
	}
	now = now.Add(5 * time.Millisecond)
	f.want(f.bearer("GET", "/images/v2", batch), 200, 0)
	f.want(f.bearer("GET", "/images/v2", batch), 429, 971)
}

func TestRateLimitIsBounded(t *testing.T) {
	t.Parallel()
	l := newRateLimit("x", 1, time.Second)
	now := time.Now()
	for i := range maxRateTokens + 10 {
		if err := (limited{l, fmt.Sprint(i)}).take(map[string][]string{}, now); err != nil {
			t.Fatal(err)
		}
		if i > 0 && (limited{l, "0"}).take(map[string][]string{}, now) == nil {
			t.Fatalf("after %d others, who asks all the time is forgotten", i)
		}
	}
	if err := (limited{l, "1"}).take(map[string][]string{}, now); err != nil {
		t.Errorf("the token that was silent longest is still counted: %v", err)
	}
}
