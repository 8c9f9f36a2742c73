package images

import (
	"context"
	"errors"
	"fmt"
	"time"

	"calotype/internal/blob"
	"calotype/internal/sqldb"
)

// planSample is the number of originals that a DeletionPlan looks at in the store.
const planSample = 16

// A DeletionPlan is what a deletion would delete.
type DeletionPlan struct {
	Images int64
	Drafts int64
	Bytes  int64         // of originals
	Time   time.Duration // expected: requests to the store take as long as those for a sample of the originals
}

// PlanErasure returns what Erase would delete. It changes nothing.
func (s *Service) PlanErasure(ctx context.Context, account string, q ErasureQuery) (DeletionPlan, error) {
	condition, value := q.where()
	return s.planDeletion(ctx, condition, account, value)
}

// PlanAccountDeletion returns what DeleteAccount would delete, besides the rows of the account. It changes nothing.
func (s *Service) PlanAccountDeletion(ctx context.Context, account string) (DeletionPlan, error) {
	return s.planDeletion(ctx, `account = ?1 AND draft IN (0, 1)`, account)
}

func (s *Service) planDeletion(ctx context.Context, condition string, args ...any) (p DeletionPlan, err error) {
	err = s.db.QueryRow(ctx, `SELECT coalesce(sum(1 - draft), 0), coalesce(sum(draft), 0),
		coalesce(sum(CASE WHEN draft = 0 THEN size ELSE 0 END), 0) FROM images WHERE `+condition,
		args...).Scan(&p.Images, &p.Drafts, &p.Bytes)
	if err != nil {
		return p, fmt.Errorf("counting the images to delete: %w", err)
	}
	sample, err := sqldb.Select(s.db.Reader(ctx), func(r sqldb.Row) (key string, err error) {
		err = r.Scan(&key)
		return key, err
	}, fmt.Sprintf(`SELECT blob FROM images WHERE %s AND draft = 0 LIMIT %d`, condition, planSample), args...)
	if err != nil {
		return p, fmt.Errorf("choosing a sample of the images to delete: %w", err)
	}
	p.Time, err = s.storeTime(ctx, sample, int(p.Images))
	return p, err
}

// storeTime returns the expected time of the deletion of n originals in the store, from the time of a request for each
// of a sample.
func (s *Service) storeTime(ctx context.Context, sample []string, n int) (time.Duration, error) {
	if len(sample) == 0 {
		return 0, nil
	}
	began := time.Now()
	for _, key := range sample {
		if _, err := s.blobs.Stat(ctx, key); err != nil && !errors.Is(err, blob.ErrNotExist) {
			return 0, fmt.Errorf("looking at a sample of the originals: %w", err)
		}
	}
	each := time.Since(began) / time.Duration(len(sample))
	return each * time.Duration(n) / blob.DeletesAtOnce, nil
}
