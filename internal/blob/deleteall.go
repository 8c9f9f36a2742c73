package blob

import (
	"context"

	"golang.org/x/sync/errgroup"
)

// DeletesAtOnce bounds the concurrent deletions of a DeleteAll.
const DeletesAtOnce = 8

// DeleteAll deletes objects, and returns an error for each key, nil for a deleted one.
func DeleteAll(ctx context.Context, s Store, keys []string) []error {
	failed := make([]error, len(keys))
	var group errgroup.Group
	group.SetLimit(DeletesAtOnce)
	for i, key := range keys {
		group.Go(func() error {
			failed[i] = s.Delete(ctx, key)
			return nil
		})
	}
	_ = group.Wait()
	return failed
}
