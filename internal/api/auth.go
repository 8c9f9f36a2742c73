package api

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"

	"calotype/internal/accounts"
	"calotype/internal/errs"
)

// authenticate returns the token of the request's credentials, and the limiter of its requests. A
// batch token is valid in the batch API only, and no other token is valid there; it has the rights of its
// parent.
func (a *api) authenticate(r *http.Request, batch bool) (accounts.Token, limited, error) {
	if a.Local != nil && !batch {
		return *a.Local, limited{}, nil
	}
	secret := credentials(r.Header)
	if secret == "" {
		return accounts.Token{}, limited{}, errNoCredentials
	}
	lookUp := a.Core.Accounts.Authenticate
	if batch {
		lookUp = a.Core.Accounts.AuthenticateBatch
	}
	token, err := a.guesses.check(r, secret, a.Core.Now(), func() (accounts.Token, error) {
		return lookUp(r.Context(), secret)
	})
	if batch {
		sum := sha256.Sum256([]byte(secret))
		return token, limited{a.batchRate, string(sum[:])}, err
	}
	return token, limited{a.rate, token.Key}, err
}

// credentials returns the secret of a request, "" without one. SDKs send a bearer token, a key with an e-mail
// address, or a service key, and some send all of them: the bearer token has precedence. An empty bearer
// token counts as missing, because an unset variable in a shell produces one.
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

// authorize refuses a token of another account than the path's, and a token without the needed scope. The
// refusal does not depend on whether the account in the path exists.
func authorize(t accounts.Token, account string, need accounts.Scope) error {
	if t.Account != account {
		return errs.Errorf(errs.Forbidden, authentication)
	}
	if !t.Scope.Allows(need) {
		return &errs.Error{Kind: errs.Forbidden, Msg: fmt.Sprintf(
			"%s: this token has the scope %s, this request needs %s.", authentication, t.Scope, need)}
	}
	return nil
}
