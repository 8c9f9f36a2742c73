package accounts

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"regexp"

	"calotype/internal/errs"
	"calotype/internal/sqldb"
)

// A SigningKey signs delivery URLs. Its value is used as raw text, never decoded.
type SigningKey struct{ Name, Value string }

// Sign returns the signature of an escaped path with its query, if it has one: its HMAC-SHA-256 in hex.
func (k SigningKey) Sign(target string) string {
	mac := hmac.New(sha256.New, []byte(k.Value))
	mac.Write([]byte(target))
	return hex.EncodeToString(mac.Sum(nil))
}

// MaxSigningKeys bounds the keys of an account, because a delivery checks a wrong signature with each of them.
const MaxSigningKeys = 50

// defaultSigningKey is the name of the key that is created when an account has no key.
const defaultSigningKey = "default"

var (
	keyName  = regexp.MustCompile(`^[A-Za-z0-9_-]{1,20}$`)
	errNoKey = errs.Errorf(errs.KeyNotFound, "Signing key not found: the account has none of this name")
)

// CreateSigningKey adds a key with a random value. Errors: Invalid, Exists, LimitReached, NoSpace,
// AccountUnknown.
func (s *Service) CreateSigningKey(ctx context.Context, account, name string) error {
	if !keyName.MatchString(name) {
		return errs.Errorf(errs.Invalid, "the name of a signing key must be 1 to 20 letters, digits, "+
			"dashes and underscores")
	}
	if err := s.CheckSpace(); err != nil {
		return err
	}
	err := s.Change(ctx, func(tx *Change) error {
		if err := tx.Lock(account); err != nil {
			return err
		}
		tx.Invalidate(nil)
		made, err := s.insertKeyBelow(tx, account, name, MaxSigningKeys)
		if err != nil || made {
			return err
		}
		exists, err := sqldb.Exists(tx, `signing_keys WHERE account = ?1 AND name = ?2`, account, name)
		switch {
		case err != nil:
			return err
		case exists:
			return errs.Errorf(errs.Exists, "Resource already exists: there is a signing key of this name. "+
				"For a new value, delete it first")
		}
		return errs.Errorf(errs.LimitReached, "The account has %d signing keys already, which is the limit: "+
			"delete one first", MaxSigningKeys)
	})
	if err != nil {
		return fmt.Errorf("making a signing key: %w", err)
	}
	return nil
}

// DeleteSigningKey deletes a key. This node refuses its signatures from the next request on, other nodes within a
// second. An account always has a key: the deletion of the last one creates a new default key. Errors:
// KeyNotFound, AccountUnknown.
func (s *Service) DeleteSigningKey(ctx context.Context, account, name string) error {
	if !keyName.MatchString(name) {
		return errNoKey
	}
	err := s.ChangeInReserve(ctx, func(tx *Change) error {
		if err := tx.Lock(account); err != nil {
			return err
		}
		tx.Invalidate(privateStale(account))
		tx.Scrub() // of its value
		gone, err := tx.Exec(`DELETE FROM signing_keys WHERE account = ?1 AND name = ?2`,
			account, name)
		if err != nil {
			return err
		}
		if gone == 0 {
			return errNoKey
		}
		return s.insertSigningKey(tx, account, defaultSigningKey)
	})
	if err != nil {
		return fmt.Errorf("deleting a signing key: %w", err)
	}
	return nil
}

// insertSigningKey adds a key, unless the account has one.
func (s *Service) insertSigningKey(tx *Change, account, name string) error {
	_, err := s.insertKeyBelow(tx, account, name, 1)
	return err
}

// insertKeyBelow adds a key with a random value, unless the account has a key of this name, or most keys already;
// made reports which. The account must be locked.
func (s *Service) insertKeyBelow(
	tx *Change, account, name string, most int,
) (made bool, err error) {
	value := make([]byte, 24)
	rand.Read(value)
	changed, err := tx.Exec(`INSERT INTO signing_keys (account, name, value, created)
		SELECT CAST(?1 AS TEXT), CAST(?2 AS TEXT), CAST(?3 AS TEXT), CAST(?4 AS BIGINT)
		WHERE (SELECT count(*) FROM signing_keys WHERE account = ?1) < CAST(?5 AS BIGINT)
		ON CONFLICT DO NOTHING`,
		account, name, base64.StdEncoding.EncodeToString(value), sqldb.Micros(s.now()), most)
	return changed > 0, err
}

// SigningKeys returns the keys of an account, oldest first.
func (s *Service) SigningKeys(ctx context.Context, account string) ([]SigningKey, error) {
	return signingKeys(s.db.Reader(ctx), account)
}

func signingKeys(from sqldb.Reader, account string) ([]SigningKey, error) {
	keys, err := sqldb.Select(from, func(r sqldb.Row) (k SigningKey, err error) {
		err = r.Scan(&k.Name, &k.Value)
		return k, err
	}, `SELECT name, value FROM signing_keys WHERE account = ?1 ORDER BY created, name`, account)
	if err != nil {
		return nil, fmt.Errorf("reading the signing keys: %w", err)
	}
	return keys, nil
}
