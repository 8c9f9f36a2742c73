package api

import (
	"net/http"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/cfapi"
)

// batchToken is the answer to batch_token.
type batchToken struct {
	Token     string `json:"token"`
	ExpiresAt string `json:"expiresAt"`
}

// createBatchToken creates a token for the batch API with the scope of the requesting one.
func (a *api) createBatchToken(c *call) (any, error) {
	if c.Method == http.MethodHead { // which must not create one
		return nil, &methodError{[]string{http.MethodGet}}
	}
	secret, expires, err := a.Core.Accounts.CreateBatchToken(c.Context(), c.token)
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

// verifyToken answers that the requesting token is valid: requests with others are refused before.
func (a *api) verifyToken(c *call) (any, error) {
	shown := verifiedToken{ID: c.token.Key, Status: "active"}
	if !c.token.Expires.IsZero() {
		shown.ExpiresOn = c.token.Expires.UTC().Format(time.RFC3339)
	}
	return cfapi.WithMessage{
		Result: shown, Code: codeTokenActive, Message: "This API Token is valid and active",
	}, nil
}

// codeTokenActive is the code of a message, not of a refusal.
const codeTokenActive = 10000

// imageStats is the answer to stats. Drafts and Bytes are ours.
type imageStats struct {
	Count  quantity `json:"count"`
	Drafts quantity `json:"drafts"`
	Bytes  quantity `json:"bytes"` // those that open drafts reserve included
}

type quantity struct {
	Current int64 `json:"current"`
	Allowed int64 `json:"allowed"`
}

func newQuantity(current, limit int64) quantity {
	if limit == accounts.NoLimit {
		limit = unbounded
	}
	return quantity{current, limit}
}

// unbounded is the allowed number without a limit: the largest integer that every client can read.
const unbounded = 1<<53 - 1

// stats answers with the numbers of images, drafts and bytes, and their limits.
func (a *api) stats(c *call) (any, error) {
	account, err := a.Core.Accounts.ByID(c.Context(), c.account)
	if err != nil {
		return nil, err
	}
	used, limits := account.Used, account.Limits
	return imageStats{newQuantity(used.Images, limits.Images), newQuantity(used.Drafts, limits.Drafts),
		newQuantity(used.Bytes, limits.Bytes)}, nil
}
