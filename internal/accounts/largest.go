package accounts

import (
	"context"
	"fmt"

	"calotype/internal/sqldb"
)

// An AccountUsage is the usage of one account.
type AccountUsage struct {
	ID                    string
	Images, Bytes, Drafts int64
}

// Largest holds the usage of all accounts of the database at one moment.
type Largest struct {
	Accounts int64          // their number
	Top      []AccountUsage // those with the most images, the largest first
	Rest     AccountUsage   // the sum of all others, without an ID
}

// Largest returns the usage of the accounts with the most images, at most most, and the sum of all others. It reads the
// rows of all accounts, and no rows of images. The error has no Kind.
func (s *Service) Largest(ctx context.Context, most int) (Largest, error) {
	var all Largest
	top, err := sqldb.Select(s.db.Reader(ctx), func(r sqldb.Row) (u AccountUsage, err error) {
		err = r.Scan(&u.ID, &u.Images, &u.Bytes, &u.Drafts, &all.Accounts, &all.Rest.Images, &all.Rest.Bytes,
			&all.Rest.Drafts)
		return u, err
	}, `SELECT id, used_images, used_bytes, used_drafts, COUNT(*) OVER (),
		CAST(SUM(used_images) OVER () AS BIGINT), CAST(SUM(used_bytes) OVER () AS BIGINT),
		CAST(SUM(used_drafts) OVER () AS BIGINT)
		FROM accounts ORDER BY used_images DESC, id LIMIT ?1`, most)
	if err != nil {
		return Largest{}, fmt.Errorf("reading the largest accounts: %w", err)
	}
	for _, u := range top {
		all.Rest.Images -= u.Images
		all.Rest.Bytes -= u.Bytes
		all.Rest.Drafts -= u.Drafts
	}
	all.Top = top
	return all, nil
}
