package images

import "context"

// DeleteExpiredDrafts lets tests run the job by itself.
func (s *Service) DeleteExpiredDrafts(ctx context.Context) error { return s.deleteExpiredDrafts(ctx) }

// ParseManifest lets tests read a manifest.
var ParseManifest = parseManifest

// ReleaseExpiredDrafts lets tests run the job by itself.
func (s *Service) ReleaseExpiredDrafts(ctx context.Context) error { return s.releaseExpiredDrafts(ctx) }

// AccountTables are the tables that a deletion of an account goes through, besides its images.
var AccountTables = accountTables
