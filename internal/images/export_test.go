package images

import "context"

// DeleteExpiredDrafts lets tests run the job by itself.
func (s *Service) DeleteExpiredDrafts(ctx context.Context) error { return s.deleteExpiredDrafts(ctx) }

// ParseManifest lets tests read a manifest.
var ParseManifest = parseManifest

// The jobs about deletions, each by itself.

// FollowDeletions is a node's look at what others have deleted.
func (s *Service) FollowDeletions(ctx context.Context) error { return s.followDeletions(ctx) }

// DeleteLeftOver tries again what the blob store refused.
func (s *Service) DeleteLeftOver(ctx context.Context) error { return s.deleteLeftOver(ctx) }

// ForgetDeletions ends what is kept of deletions.
func (s *Service) ForgetDeletions(ctx context.Context) error { return s.forgetDeletions(ctx) }

// Scrub rids the database of what was deleted.
func (s *Service) Scrub(ctx context.Context) error { return s.scrub(ctx) }
