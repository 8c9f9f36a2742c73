package images

import "context"

// DeleteExpiredDrafts lets tests run the job by itself.
func (s *Service) DeleteExpiredDrafts(ctx context.Context) error { return s.deleteExpiredDrafts(ctx) }

// ParseManifest lets tests read a manifest.
var ParseManifest = parseManifest
