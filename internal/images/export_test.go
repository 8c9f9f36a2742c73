package images

import "context"

// DeleteExpiredDrafts lets tests run the job by itself.
func (s *Service) DeleteExpiredDrafts(ctx context.Context) error { return s.deleteExpiredDrafts(ctx) }

// ParseManifest lets tests read a manifest.
var ParseManifest = parseManifest

// Waiting lets tests know that somebody waits for a draft by now.
func (s *Service) Waiting() int {
	s.waits.mu.Lock()
	defer s.waits.mu.Unlock()
	return s.waits.askers
}

// Polls lets tests count how often the database was asked for them.
func (s *Service) Polls() int {
	s.waits.mu.Lock()
	defer s.waits.mu.Unlock()
	return s.waits.polls
}
