package accounts

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"calotype/internal/sqldb"
)

// The last use of a token is stored to the hour. A request adds the key of its token to a set in memory if the row has
// an earlier hour, which the request has read anyway. A job writes the set, so a use costs no write in a request, and
// a row is written once an hour, by the first node.

const (
	tokenUseStep  = time.Hour
	maxTokenUses  = 10_000 // keys in the set; further ones are left to later requests
	tokenUsesOnce = 500    // rows of one transaction
	expiredKept   = 7 * 24 * time.Hour
)

// tokenUses is the set of the tokens whose use is not written yet. The zero value is an empty set.
type tokenUses struct {
	mu   sync.Mutex
	hour map[string]int64 // by the token's key; microseconds
}

// note adds a use of a token, whose row has the use of a time.
func (u *tokenUses) note(key string, stored, now time.Time) {
	hour := now.Truncate(tokenUseStep)
	if !stored.Before(hour) {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, there := u.hour[key]; !there && len(u.hour) >= maxTokenUses {
		return
	}
	if u.hour == nil {
		u.hour = map[string]int64{}
	}
	u.hour[key] = sqldb.Micros(hour)
}

// take returns the set and empties it.
func (u *tokenUses) take() map[string]int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	taken := u.hour
	u.hour = nil
	return taken
}

// put adds uses that could not be written, unless later ones were added since.
func (u *tokenUses) put(uses map[string]int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.hour == nil {
		u.hour = map[string]int64{}
	}
	for key, hour := range uses {
		if len(u.hour) < maxTokenUses {
			u.hour[key] = max(hour, u.hour[key])
		}
	}
}

// RecordTokenUses writes the uses of tokens since the last call. On a full disk it writes nothing: they are written
// later.
func (s *Service) RecordTokenUses(ctx context.Context) error {
	if s.CheckSpace() != nil {
		return nil
	}
	uses := s.uses.take()
	for keys := range slices.Chunk(slices.Sorted(maps.Keys(uses)), tokenUsesOnce) {
		err := s.Change(ctx, func(tx *Change) error {
			for _, key := range keys {
				_, err := tx.Exec(`UPDATE tokens SET used = ?2 WHERE key = ?1 AND (used IS NULL OR used < ?2)`,
					key, uses[key])
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			s.uses.put(uses)
			return fmt.Errorf("recording the uses of tokens: %w", err)
		}
		for _, key := range keys {
			delete(uses, key)
		}
	}
	return nil
}

// DeleteExpiredTokens deletes tokens that have expired a week ago, so that temporary ones do not accumulate. It never
// deletes the last tokens of an account: the next start would create a first one again.
func (s *Service) DeleteExpiredTokens(ctx context.Context) error {
	now := s.now()
	_, err := s.ChangeInSteps(ctx, func(tx *Change) (int, error) {
		gone, err := tx.Exec(`DELETE FROM tokens WHERE key IN (SELECT t.key FROM tokens t WHERE t.expires <= ?1
			AND EXISTS (SELECT 1 FROM tokens o WHERE o.account = t.account
				AND (o.expires IS NULL OR o.expires > ?2)) LIMIT 500)`,
			sqldb.Micros(now.Add(-expiredKept)), sqldb.Micros(now))
		return int(gone), err
	})
	if err != nil {
		return fmt.Errorf("deleting expired tokens: %w", err)
	}
	return nil
}
