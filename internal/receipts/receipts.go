// Package receipts signs the receipts of uploads. A receipt states what an upload has stored: it is a JSON Web
// Signature, which the browser that uploads hands to the backend of its page. The backend verifies it with the public
// keys of the installation, without a request to the server.
//
// keys.go has the keys: the table receipt_keys, their rotation and the set that is published. metadata.go has the hash
// of metadata. A node has the keys in memory, so that no step after the commit of an upload depends on the database:
// Signer returns the present key before the commit, and Sign only computes.
package receipts

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"

	"calotype/internal/accounts"
	"calotype/internal/errs"
	"calotype/internal/sqldb"
)

// Lifetime is the time from an upload until its receipt expires. The answer of an upload can be repeated for the same
// time, and a repeat has the same receipt.
const Lifetime = time.Hour

// Type is the header typ of a receipt. It distinguishes a receipt from all other tokens.
const Type = "upload-receipt+jwt"

// Claims are the facts of an upload, which a receipt states.
type Claims struct {
	Issuer   string `json:"iss"`           // base URL of the API
	Audience string `json:"aud,omitempty"` // chosen at the creation of the draft; "" for none
	IssuedAt int64  `json:"iat"`           // time of the upload, in seconds since 1970
	Expires  int64  `json:"exp"`           // Lifetime later
	Image    string `json:"image"`         // id of the image
	Draft    string `json:"draft"`         // id that was given at the creation of the one-time URL
	Account  string `json:"account"`       // hash of the account
	SHA256   string `json:"sha256"`        // of the original, in hex
	Bytes    int64  `json:"bytes"`         // of the original
	Format   string `json:"format"`
	Width    int    `json:"width"` // as shown, in pixels
	Height   int    `json:"height"`
	// MetadataSHA256 is the MetadataHash of the metadata at the creation of the draft; "" without metadata.
	MetadataSHA256 string `json:"metadataSha256,omitempty"`
}

// Config configures a Service. All fields must be set.
type Config struct {
	DB       *sqldb.DB
	Accounts *accounts.Service // makes the transactions
	Issuer   string            // base URL of the API
	Now      func() time.Time
	Log      *slog.Logger
}

// A Service signs receipts, and owns the keys. It is safe for concurrent use.
type Service struct {
	config Config
	keys   atomic.Pointer[keySet] // nil before the first Rotate
}

// New returns a Service without keys: Rotate reads them.
func New(c Config) *Service { return &Service{config: c} }

// A Signer signs receipts by one key.
type Signer struct {
	service *Service
	signer  jose.Signer
	account string
}

// Signer returns the signer for uploads of an account, by its hash. It does not wait for the database, except if no
// key was read since the start. Error: Busy without a key; NoSpace.
func (s *Service) Signer(ctx context.Context, account string) (*Signer, error) {
	set := s.keys.Load()
	if set == nil {
		if err := s.Rotate(ctx); err != nil {
			return nil, err
		}
		set = s.keys.Load()
	}
	if set == nil || len(set.keys) == 0 {
		return nil, errs.AtCapacity("The server has no key for receipts yet", nil)
	}
	return &Signer{service: s, signer: set.at(s.config.Now()).signer, account: account}, nil
}

// Sign returns the receipt of an upload at a time, in compact form. The caller sets the facts of the upload in c, and
// Sign the others. Sign cannot fail: each key has signed before it is used. If it fails nevertheless, it logs the error
// and returns "", because the upload is committed.
func (s *Signer) Sign(c Claims, uploaded time.Time) string {
	c.Issuer, c.Account = s.service.config.Issuer, s.account
	c.IssuedAt, c.Expires = uploaded.Unix(), uploaded.Add(Lifetime).Unix()
	receipt, err := sign(s.signer, c)
	if err != nil {
		s.service.config.Log.Error("a receipt was not signed", "image", c.Image, "err", err)
		return ""
	}
	return receipt
}

func sign(by jose.Signer, c Claims) (string, error) {
	payload, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("encoding a receipt: %w", err)
	}
	signed, err := by.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("signing a receipt: %w", err)
	}
	return signed.CompactSerialize()
}
