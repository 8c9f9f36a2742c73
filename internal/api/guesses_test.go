package api

import (
	"fmt"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/clientaddr"
	"calotype/internal/images/imagestest"
)

// An address that has sent too many wrong tokens gets the same refusal for all tokens. Other addresses, and
// tokens that were valid before, are not affected.
func TestGuessesOfAnAddressAreBounded(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	core := imagestest.New(t)
	core.SetNow(func() time.Time { return now })
	f := newServer(t, core, Config{})
	unused := f.token("unused", accounts.Read, 0)
	ask := func(client, secret string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("GET", Prefix+"user/tokens/verify", nil)
		r.Header.Set("Authorization", "Bearer "+secret)
		r = r.WithContext(clientaddr.With(r.Context(), clientaddr.Peer{Key: client}))
		w := httptest.NewRecorder()
		f.Config.Handler.ServeHTTP(w, r)
		return w
	}
	for range 2 * maxGuesses { // right ones cost nothing
		if w := ask("a", testToken); w.Code != 200 {
			t.Fatalf("a right token got %d", w.Code)
		}
	}
	var wrong, limited atomic.Int64
	var all sync.WaitGroup
	for i := range 3 * maxGuesses {
		all.Go(func() {
			switch w := ask("a", fmt.Sprintf("guess-%d", i)); w.Code {
			case 401:
				wrong.Add(1)
			case 429:
				if limited.Add(1); w.Header().Get("Retry-After") != "1" {
					t.Errorf("the refusal has the headers %v", w.Header())
				}
			default:
				t.Errorf("a wrong token got %d", w.Code)
			}
		})
	}
	all.Wait()
	if wrong.Load() != maxGuesses || limited.Load() != 2*maxGuesses {
		t.Errorf("%d guesses were answered and %d refused, want %d and %d",
			wrong.Load(), limited.Load(), maxGuesses, 2*maxGuesses)
	}
	for _, c := range []struct {
		client, secret string
		want           int
	}{
		{"a", testToken, 200}, {"a", unused, 429}, {"b", unused, 200}, {"b", "guess", 401},
		{"", "guess", 401}, {"a", unused, 200}, // right here before, for b
	} {
		if w := ask(c.client, c.secret); w.Code != c.want {
			t.Errorf("client %q with %.6s...: %d, want %d", c.client, c.secret, w.Code, c.want)
		}
	}
	now = now.Add(guessWindow / maxGuesses)
	if w := ask("a", "guess"); w.Code != 401 {
		t.Errorf("after a while a guess got %d", w.Code)
	}
	if w := ask("a", "guess"); w.Code != 429 {
		t.Errorf("the guess after it got %d", w.Code)
	}
}

func TestGoodSecretsAreBounded(t *testing.T) {
	t.Parallel()
	g := newGuesses()
	for i := range 3 * maxGoodSecrets {
		g.remember([32]byte{byte(i), byte(i >> 8), byte(i >> 16)})
		if len(g.good) > maxGoodSecrets {
			t.Fatalf("%d secrets are kept", len(g.good))
		}
	}
}
