package api

import "calotype/internal/accounts"

// signingKey is a signing key in an answer. Its value is a secret, so the list needs the
// scope write: otherwise a client with the scope read could sign URLs of private images.
type signingKey struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// listKeys answers with all signing keys, as all requests about them do.
func (a *api) listKeys(c *call) (any, error) {
	all, err := a.Core.Accounts.SigningKeys(c.Context(), c.account)
	return map[string][]signingKey{"keys": listOf(all, func(k accounts.SigningKey) signingKey {
		return signingKey{k.Name, k.Value}
	})}, err
}

// createKey creates a signing key. It takes no body; SDKs send a Content-Type nevertheless.
func (a *api) createKey(c *call) (any, error) {
	if err := a.Core.Accounts.CreateSigningKey(c.Context(), c.account, c.name); err != nil {
		return nil, err
	}
	return a.listKeys(c)
}

// deleteKey deletes a signing key.
func (a *api) deleteKey(c *call) (any, error) {
	if err := a.Core.Accounts.DeleteSigningKey(c.Context(), c.account, c.name); err != nil {
		return nil, err
	}
	return a.listKeys(c)
}
