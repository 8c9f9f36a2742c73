package api

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"

	"calotype/internal/errs"
	"calotype/internal/images"
)

// authenticate returns the token of the request's credentials, and the limiter of its requests. A
// batch token is taken by the batch API only, and there only a batch token is; it stands for its
// parent.
func (a *api) authenticate(r *http.Request, batch bool) (images.Token, limited, error) {
	secret := credentials(r.Header)
	if secret == "" {
		return images.Token{}, limited{}, errNoCredentials
	}
	lookUp := a.Core.Authenticate
	if batch {
		lookUp = a.Core.AuthenticateBatch
	}
	token, err := a.guesses.check(r, secret, a.Core.Now(), func() (images.Token, error) {
		return lookUp(r.Context(), secret)
	})
	if batch {
		sum := sha256.Sum256([]byte(secret))
		return token, limited{a.batchRate, string(sum[:])}, err
	}
	return token, limited{a.rate, token.Key}, err
}

// credentials returns the secret that a request carries, "" when it carries none. SDKs send a
// bearer token, a key with an e-mail address, or a service key, and some all at once: Bearer wins.
// An empty bearer token is none: it comes from an unset variable in somebody's shell.
func credentials(h http.Header) string {
	scheme, secret, _ := strings.Cut(strings.TrimSpace(h.Get("Authorization")), " ")
	if strings.EqualFold(scheme, "Bearer") {
		if secret = strings.TrimSpace(secret); secret != "" {
			return secret
		}
	}
	for _, name := range []string{"X-Auth-Key", "X-Auth-User-Service-Key"} {
		if secret := strings.TrimSpace(h.Get(name)); secret != "" {
			return secret
		}
	}
	return ""
}

// authorize refuses a token that is of another account than the path names, or whose scope is too
// small. Whether the account in the path exists is not told.
func authorize(t images.Token, account string, need images.Scope) error {
	if t.Account != account {
		return errs.Errorf(errs.Forbidden, authentication)
	}
	if !t.Scope.Allows(need) {
		return &errs.Error{Kind: errs.Forbidden, Msg: fmt.Sprintf(
			"%s: this token has the scope %s, this request needs %s.", authentication, t.Scope, need)}
	}
	return nil
}
