package receipts

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"

	"calotype/internal/accounts"
	"calotype/internal/sqldb"
)

// The life of a key. A new key is published for publishedBefore before it signs, and an old one for publishedAfter
// after its last receipt, which is longer than Lifetime and the differences of clocks together. A backend that reads
// the published keys once within publishedBefore therefore knows the key of every receipt.
const (
	signsFor        = 30 * 24 * time.Hour
	publishedBefore = 7 * 24 * time.Hour
	publishedAfter  = 24 * time.Hour
)

// A key signs from a time on, until the next one does.
type key struct {
	signs  time.Time
	signer jose.Signer
	public jose.JSONWebKey
}

// A keySet has the keys of the installation, at least one, the oldest first, and their published form.
type keySet struct {
	keys      []key
	published []byte // JSON Web Key Set
}

// at returns the key that signs at a time. If the clock of this node is before all of them, it is the oldest one.
func (k *keySet) at(now time.Time) key {
	signs := k.keys[0]
	for _, key := range k.keys[1:] {
		if !key.signs.After(now) {
			signs = key
		}
	}
	return signs
}

// Published returns the public keys as a JSON Web Key Set: the key that signs, the next one before it signs, and the
// one before. It returns nil if no key was read yet.
func (s *Service) Published() []byte {
	if set := s.keys.Load(); set != nil {
		return set.published
	}
	return nil
}

// Rotate makes the first key, or the next one when it is due, deletes keys whose receipts are all expired, and reads
// the keys. Every node calls it at its start and each minute. Nodes that call it concurrently make one key.
func (s *Service) Rotate(ctx context.Context) error {
	all, err := s.read(ctx)
	if err != nil {
		return err
	}
	now := s.config.Now()
	last := len(all) - 1
	if last < 0 || !all[last].signs.After(lastOfOld(now)) {
		if err := s.insertNext(ctx, now); err != nil {
			return err
		}
	}
	if last > 0 && !all[1].signs.After(now.Add(-publishedAfter)) {
		if err := s.deleteOld(ctx, now); err != nil {
			return err
		}
	}
	if all, err = s.read(ctx); err != nil {
		return err
	}
	set, err := newKeySet(all)
	if err == nil {
		s.keys.Store(set)
	}
	return err
}

// lastOfOld returns a time: the next key is due if the newest one signs since then or longer.
func lastOfOld(now time.Time) time.Time { return now.Add(publishedBefore - signsFor) }

// insertNext inserts the next key, which signs when it was published for long enough, or the first one, which signs at
// once. If another node has inserted it, insertNext changes nothing: a concurrent insertion has the same number.
func (s *Service) insertNext(ctx context.Context, now time.Time) error {
	err := s.config.Accounts.ChangeInReserve(ctx, func(tx *accounts.Change) error { return insert(tx, now) })
	if err != nil {
		return fmt.Errorf("making a key for receipts: %w", err)
	}
	return nil
}

func insert(tx *accounts.Change, now time.Time) error {
	seed := make([]byte, ed25519.SeedSize)
	rand.Read(seed)
	_, err := tx.Exec(`INSERT INTO receipt_keys (number, seed, created, signs)
		SELECT (SELECT COALESCE(MAX(number), 0) + 1 FROM receipt_keys), CAST(?1 AS TEXT), CAST(?2 AS BIGINT),
			CASE WHEN EXISTS (SELECT 1 FROM receipt_keys) THEN CAST(?3 AS BIGINT) ELSE CAST(?2 AS BIGINT) END
		WHERE NOT EXISTS (SELECT 1 FROM receipt_keys WHERE signs > CAST(?4 AS BIGINT))
		ON CONFLICT DO NOTHING`, base64.RawURLEncoding.EncodeToString(seed), sqldb.Micros(now),
		sqldb.Micros(now.Add(publishedBefore)), sqldb.Micros(lastOfOld(now)))
	return err
}

// Replace deletes all keys, because they may be stolen, and makes one that signs at once. It returns the id of the new
// key. Nodes that run sign by it when they call Rotate next. Receipts of the old keys are not valid any longer.
func (s *Service) Replace(ctx context.Context) (id string, err error) {
	err = s.config.Accounts.ChangeInReserve(ctx, func(tx *accounts.Change) error {
		tx.Scrub()
		if _, err := tx.Exec(`DELETE FROM receipt_keys`); err != nil {
			return err
		}
		return insert(tx, s.config.Now())
	})
	if err == nil {
		err = s.Rotate(ctx)
	}
	if err != nil {
		return "", fmt.Errorf("replacing the keys for receipts: %w", err)
	}
	return s.keys.Load().at(s.config.Now()).public.KeyID, nil
}

// deleteOld deletes the keys whose next one signs for longer than publishedAfter.
func (s *Service) deleteOld(ctx context.Context, now time.Time) error {
	err := s.config.Accounts.ChangeInReserve(ctx, func(tx *accounts.Change) error {
		tx.Scrub() // of the private key: a backend may trust it for longer
		_, err := tx.Exec(`DELETE FROM receipt_keys WHERE EXISTS (SELECT 1 FROM receipt_keys AS newer
			WHERE newer.number > receipt_keys.number AND newer.signs <= ?1)`, sqldb.Micros(now.Add(-publishedAfter)))
		return err
	})
	if err != nil {
		return fmt.Errorf("deleting old keys for receipts: %w", err)
	}
	return nil
}

// A storedKey is a row of receipt_keys.
type storedKey struct {
	seed  string
	signs time.Time
}

func (s *Service) read(ctx context.Context) ([]storedKey, error) {
	all, err := sqldb.Select(s.config.DB.Reader(ctx), func(r sqldb.Row) (k storedKey, err error) {
		var signs int64
		err = r.Scan(&k.seed, &signs)
		k.signs = sqldb.FromMicros(signs)
		return k, err
	}, `SELECT seed, signs FROM receipt_keys ORDER BY number`)
	if err != nil {
		return nil, fmt.Errorf("reading the keys for receipts: %w", err)
	}
	return all, nil
}

// newKeySet returns the set of stored keys. Each has signed a receipt before newKeySet returns it.
func newKeySet(all []storedKey) (*keySet, error) {
	set := &keySet{}
	var published jose.JSONWebKeySet
	for _, stored := range all {
		k, err := newKey(stored)
		if err != nil {
			return nil, err
		}
		set.keys = append(set.keys, k)
		published.Keys = append(published.Keys, k.public)
	}
	if len(set.keys) == 0 {
		return nil, errors.New("the database has no key for receipts, although one was just made")
	}
	var err error
	set.published, err = json.Marshal(published)
	return set, err
}

func newKey(stored storedKey) (key, error) {
	seed, err := base64.RawURLEncoding.DecodeString(stored.seed)
	if err != nil || len(seed) != ed25519.SeedSize {
		return key{}, errors.New("a stored key for receipts is not the base64url of 32 bytes")
	}
	private := ed25519.NewKeyFromSeed(seed)
	public := jose.JSONWebKey{Key: private.Public(), Algorithm: string(jose.EdDSA), Use: "sig"}
	thumbprint, err := public.Thumbprint(crypto.SHA256)
	if err != nil {
		return key{}, fmt.Errorf("naming a key for receipts: %w", err)
	}
	public.KeyID = base64.RawURLEncoding.EncodeToString(thumbprint)
	by, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA,
		Key: jose.JSONWebKey{Key: private, KeyID: public.KeyID}}, (&jose.SignerOptions{}).WithType(Type))
	if err == nil {
		_, err = sign(by, Claims{})
	}
	if err != nil {
		return key{}, fmt.Errorf("trying a key for receipts: %w", err)
	}
	return key{signs: stored.signs, signer: by, public: public}, nil
}
