package api

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"sync"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/cfapi"
	"calotype/internal/clientaddr"
	"calotype/internal/errs"
	"calotype/internal/limit"
)

// The limit on wrong tokens, counted for the address of a client on each node separately.
const (
	maxGuesses     = 60 // burst, refilled evenly in each guessWindow
	guessWindow    = time.Minute
	guessClients   = 100_000 // counted addresses
	maxGoodSecrets = 10_000
)

// guesses limits the wrong tokens of an address. Over the limit, only tokens that were valid on this node
// before are looked up: so a client with the address of an attacker, behind a proxy that is not trusted, can
// continue.
type guesses struct {
	wrong *limit.Rates

	mu   sync.Mutex
	good map[[sha256.Size]byte]struct{} // secrets, by their SHA-256
}

func newGuesses() *guesses {
	return &guesses{wrong: limit.NewRates(maxGuesses, guessWindow, guessClients),
		good: map[[sha256.Size]byte]struct{}{}}
}

// check looks up a secret, unless its client is over the limit: 429.
func (g *guesses) check(r *http.Request, secret string, now time.Time,
	lookUp func() (accounts.Token, error)) (accounts.Token, error) {
	client, sum := clientaddr.Of(r.Context()), sha256.Sum256([]byte(secret))
	if client == "" || g.known(sum) {
		return lookUp()
	}
	// Counted before the result is known, so that concurrent guesses count too.
	guess := g.wrong.Bucket(client).ReserveN(now, 1)
	if guess.DelayFrom(now) > 0 { // concurrent guesses make it longer, until they are cancelled too
		guess.CancelAt(now)
		return accounts.Token{}, errTooManyGuesses
	}
	token, err := lookUp()
	if err == nil {
		g.remember(sum)
	}
	if err == nil || errs.AsError(err).Kind != errs.Unauthenticated {
		guess.CancelAt(now)
	}
	return token, err
}

// errTooManyGuesses refuses a guess over the limit, until there is one more.
var errTooManyGuesses error = &cfapi.Error{Status: http.StatusTooManyRequests, Code: codeRate,
	RetryAfter: guessWindow / maxGuesses,
	Message: fmt.Sprintf("Please wait: your address has sent more than %d wrong tokens in %v.",
		maxGuesses, guessWindow)}

func (g *guesses) known(sum [sha256.Size]byte) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, ok := g.good[sum]
	return ok
}

// remember stores the hash of a valid secret. If there are too many, it first deletes all.
func (g *guesses) remember(sum [sha256.Size]byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.good) >= maxGoodSecrets {
		clear(g.good)
	}
	g.good[sum] = struct{}{}
}
