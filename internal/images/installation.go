package images

import (
	"context"

	"calotype/internal/blob"
)

// Installation returns the id of the installation, and refuses a blob store of another one or without its mark.
func (s *Service) Installation(ctx context.Context) (id string, err error) {
	return s.checkInstallation(ctx, false)
}

// checkInstallation is Installation; mayMark lets it mark a new store. A store is marked once, and only
// while it is empty: a server with a new or wrong database must never treat the originals of another
// one as orphans.
func (s *Service) checkInstallation(ctx context.Context, mayMark bool) (id string, err error) {
	id, marked, err := s.Accounts.Installation(ctx)
	if err == nil && !marked && mayMark {
		err = blob.MarkNew(ctx, s.blobs, id, s.spool.Dir)
	}
	if err == nil {
		err = blob.VerifyMark(ctx, s.blobs, id)
	}
	if err != nil {
		return "", err
	}
	return id, s.Accounts.MarkInstallation(ctx)
}
