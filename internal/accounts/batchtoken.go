package accounts

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"calotype/internal/errs"
	"calotype/internal/sqldb"
	"calotype/internal/text"
)

// A batch token is a short-lived right to use the batch API. It has the present account and scope of its parent, a
// Token, and is invalid after the deletion of its parent.
const (
	batchTokenLife = time.Hour
	maxBatchTokens = 1000 // unexpired ones of a parent
)

// CreateBatchToken creates a batch token of a token and returns its secret, which is not stored. It expires after an
// hour, or with its parent if that is earlier.
// Errors: LimitReached if the parent has too many, Unauthenticated if the parent was revoked.
func (s *Service) CreateBatchToken(
	ctx context.Context, parent Token,
) (secret string, expires time.Time, err error) {
	secret = "calob_" + rand.Text()
	now := s.now()
	expires = sqldb.FromMicros(sqldb.Micros(now.Add(batchTokenLife)))
	if !parent.Expires.IsZero() && parent.Expires.Before(expires) {
		expires = parent.Expires
	}
	err = s.Change(ctx, func(tx *Change) error {
		dead, err := tx.Exec(`DELETE FROM batch_tokens WHERE parent = ?1 AND expires <= ?2`,
			parent.Key, sqldb.Micros(now))
		if err != nil {
			return err
		}
		// This locks the row of the parent, so that concurrent calls do not exceed the bound together.
		counted, err := tx.Exec(`UPDATE tokens SET batches = batches - CAST(?2 AS BIGINT) + 1
			WHERE key = ?1 AND batches - CAST(?2 AS BIGINT) < ?3`, parent.Key, dead, maxBatchTokens)
		if err != nil {
			return err
		}
		if counted == 0 {
			return whyNoBatchToken(tx, parent.Key)
		}
		_, err = tx.Exec(`INSERT INTO batch_tokens (sha256, parent, created, expires)
			VALUES (?1, ?2, ?3, ?4)`, text.Hash(secret), parent.Key, sqldb.Micros(now), sqldb.Micros(expires))
		return err
	})
	if err != nil {
		return "", time.Time{}, fmt.Errorf("making a batch token: %w", err)
	}
	return secret, expires, nil
}

// whyNoBatchToken returns the reason why a token cannot get another batch token.
func whyNoBatchToken(tx *Change, parent string) error {
	exists, err := sqldb.Exists(tx, `tokens WHERE key = ?1`, parent)
	if err == nil && !exists {
		return errs.Errorf(errs.Unauthenticated, "Authentication error")
	}
	if err != nil {
		return err
	}
	return errs.Errorf(errs.LimitReached, "This token has reached its service limit of %d batch tokens alive: "+
		"use those that it has, or wait for them to expire", maxBatchTokens)
}

// AuthenticateBatch returns the parent of a batch token. Errors: those of Authenticate.
func (s *Service) AuthenticateBatch(ctx context.Context, secret string) (Token, error) {
	return s.authenticate(ctx, secret,
		` WHERE t.key = (SELECT parent FROM batch_tokens WHERE sha256 = ?1 AND expires > ?2)`,
		sqldb.Micros(s.now()))
}

// DeleteOrphanedBatchTokens deletes batch tokens whose parent was deleted. A batch token that is created
// concurrently with the deletion of its parent may remain.
func (s *Service) DeleteOrphanedBatchTokens(ctx context.Context) error {
	_, err := s.Exec(ctx, `DELETE FROM batch_tokens WHERE NOT EXISTS (
		SELECT 1 FROM tokens WHERE key = parent)`)
	if err != nil {
		return fmt.Errorf("deleting batch tokens without a parent: %w", err)
	}
	return nil
}
