package api

import (
	"net/http"
	"time"

	"calotype/internal/images"
	"calotype/internal/v4"
)

// batchToken is the answer to batch_token.
type batchToken struct {
	Token     string `json:"token"`
	ExpiresAt string `json:"expiresAt"`
}

// createBatchToken makes a token for the batch API, which may do there what the asking one may.
func (a *api) createBatchToken(c *call) (any, error) {
	if c.Method == http.MethodHead { // which must make nothing
		return nil, &methodError{[]string{http.MethodGet}}
	}
	secret, expires, err := a.Core.CreateBatchToken(c.Context(), c.token)
	if err != nil {
		return nil, err
	}
	return batchToken{secret, expires.UTC().Format("2006-01-02T15:04:05.000000000Z")}, nil
}

// verifiedToken is the answer to tokens/verify.
type verifiedToken struct {
	ID        string `json:"id"`
	Status    string `json:"status"`
	ExpiresOn string `json:"expires_on,omitempty"`
}

// verifyToken says that the asking token is good: others do not come so far.
func (a *api) verifyToken(c *call) (any, error) {
	shown := verifiedToken{ID: c.token.Key, Status: "active"}
	if !c.token.Expires.IsZero() {
		shown.ExpiresOn = c.token.Expires.UTC().Format(time.RFC3339)
	}
	return v4.WithMessage{
		Result: shown, Code: codeTokenActive, Message: "This API Token is valid and active",
	}, nil
}

// codeTokenActive is that of a message, not of a refusal.
const codeTokenActive = 10000

// imageStats is the answer to stats.
type imageStats struct {
	Count struct {
		Current int64 `json:"current"`
		Allowed int64 `json:"allowed"`
	} `json:"count"`
}

// unbounded is what is allowed without a limit: the largest whole number that every client reads.
const unbounded = 1<<53 - 1

// stats answers with the number of images, and how many there may be.
func (a *api) stats(c *call) (any, error) {
	account, err := a.Core.Account(c.Context(), c.account)
	if err != nil {
		return nil, err
	}
	var stats imageStats
	stats.Count.Current, stats.Count.Allowed = account.Used.Images, unbounded
	if account.Limits.Images != images.NoLimit {
		stats.Count.Allowed = account.Limits.Images
	}
	return stats, nil
}
