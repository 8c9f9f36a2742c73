package apiclient

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// A Variant is a variant of an account.
type Variant struct {
	ID                     string          `json:"id"`
	Options                json.RawMessage `json:"options"`
	NeverRequireSignedURLs bool            `json:"neverRequireSignedURLs"`
}

// Variants returns the variants in the order of their names.
func (c *Client) Variants(ctx context.Context) ([]Variant, error) {
	var answer struct {
		Variants map[string]Variant `json:"variants"`
	}
	err := c.call(ctx, request{method: http.MethodGet, path: "images/v1/variants"}, &answer)
	if err != nil {
		return nil, err
	}
	var all []Variant
	for _, v := range answer.Variants {
		all = append(all, v)
	}
	slices.SortFunc(all, func(a, b Variant) int { return strings.Compare(a.ID, b.ID) })
	return all, nil
}

// Variant returns the variant of a name.
func (c *Client) Variant(ctx context.Context, name string) (Variant, error) {
	return c.variant(ctx, request{method: http.MethodGet, path: "images/v1/variants/" + url.PathEscape(name)})
}

// CreateVariant creates a variant.
func (c *Client) CreateVariant(ctx context.Context, v Variant) (Variant, error) {
	return c.variant(ctx, request{method: http.MethodPost, path: "images/v1/variants", json: v})
}

func (c *Client) variant(ctx context.Context, r request) (Variant, error) {
	var answer struct {
		Variant Variant `json:"variant"`
	}
	err := c.call(ctx, r, &answer)
	return answer.Variant, err
}

// DeleteVariant deletes a variant.
func (c *Client) DeleteVariant(ctx context.Context, name string) error {
	return c.call(ctx, request{method: http.MethodDelete, path: "images/v1/variants/" + url.PathEscape(name)}, nil)
}

// A Key is a signing key. Its value is a secret.
type Key struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Keys returns the signing keys, the oldest one first.
func (c *Client) Keys(ctx context.Context) ([]Key, error) {
	return c.keys(ctx, request{method: http.MethodGet, path: "images/v1/keys"})
}

// CreateKey creates a signing key, and returns all.
func (c *Client) CreateKey(ctx context.Context, name string) ([]Key, error) {
	return c.keys(ctx, request{method: http.MethodPut, path: "images/v1/keys/" + url.PathEscape(name)})
}

// DeleteKey deletes a signing key, and returns the others.
func (c *Client) DeleteKey(ctx context.Context, name string) ([]Key, error) {
	return c.keys(ctx, request{method: http.MethodDelete, path: "images/v1/keys/" + url.PathEscape(name)})
}

func (c *Client) keys(ctx context.Context, r request) ([]Key, error) {
	var answer struct {
		Keys []Key `json:"keys"`
	}
	err := c.call(ctx, r, &answer)
	return answer.Keys, err
}

// NoLimit is the allowed number of a Count without a limit.
const NoLimit = 1<<53 - 1

// A Count is a number and its limit, NoLimit without one.
type Count struct {
	Current int64 `json:"current"`
	Allowed int64 `json:"allowed"`
}

// Stats has the counts of the account.
type Stats struct {
	Count  Count  `json:"count"`  // images
	Drafts *Count `json:"drafts"` // nil from a server that does not count them
	Bytes  *Count `json:"bytes"`  // those that open drafts reserve included; nil likewise
}

// Stats returns the counts of the account.
func (c *Client) Stats(ctx context.Context) (s Stats, err error) {
	err = c.call(ctx, request{method: http.MethodGet, path: "images/v1/stats"}, &s)
	return s, err
}

// Settings are the settings of an account.
type Settings struct {
	FlexibleVariants bool  `json:"flexible_variants"`
	BrowserTTL       int64 `json:"browser_ttl"` // seconds
	PrivateOptions   bool  `json:"private_options"`
	PrivateCustomIDs bool  `json:"private_custom_ids"`
	LenientOptions   bool  `json:"lenient_options"`

	StripOriginals string `json:"strip_originals"` // "" from Cloudflare
	AutoQuality    bool   `json:"auto_quality"`
}

// Settings returns the settings of the account.
func (c *Client) Settings(ctx context.Context) (s Settings, err error) {
	err = c.call(ctx, request{method: http.MethodGet, path: "images/v1/config"}, &s)
	return s, err
}

// A VerifiedToken describes the token of the client.
type VerifiedToken struct {
	ID      string    `json:"id"`
	Status  string    `json:"status"`
	Expires time.Time `json:"expires_on"` // zero: never
}

// Verify returns the token of the client, or the refusal of the server.
func (c *Client) Verify(ctx context.Context) (t VerifiedToken, err error) {
	err = c.call(ctx, request{method: http.MethodGet, path: "tokens/verify"}, &t)
	return t, err
}
