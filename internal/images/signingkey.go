package images

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"

	"calotype/internal/sqldb"
)

// A SigningKey signs delivery URLs. Its value is used as raw text, never decoded.
type SigningKey struct{ Name, Value string }

// Sign returns the signature of an escaped path, with its query if it has one: HMAC-SHA-256, hex.
func (k SigningKey) Sign(target string) string {
	mac := hmac.New(sha256.New, []byte(k.Value))
	mac.Write([]byte(target))
	return hex.EncodeToString(mac.Sum(nil))
}

const defaultSigningKey = "default"

func (s *Service) insertSigningKey(tx *sqldb.Tx, account, name string) error {
	value := make([]byte, 24)
	rand.Read(value)
	_, err := tx.Exec(`INSERT INTO signing_keys (account, name, value, created)
		VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING`,
		account, name, base64.StdEncoding.EncodeToString(value), micros(s.Now()))
	return err
}

// SigningKeys returns the keys of an account, oldest first.
func (s *Service) SigningKeys(ctx context.Context, account string) ([]SigningKey, error) {
	rows, err := s.DB.Query(ctx, `SELECT name, value FROM signing_keys
		WHERE account = ?1 ORDER BY created, name`, account)
	if err != nil {
		return nil, fmt.Errorf("reading the signing keys: %w", err)
	}
	return collect(rows, func(r row) (k SigningKey, err error) {
		err = r.Scan(&k.Name, &k.Value)
		return k, err
	})
}
