package images

import (
	"context"
	"sync"
	"time"
)

// jobs returns the background jobs. Each node runs all of them, and each is idempotent. The first sweep of
// orphans is delayed, so that an operator has time to stop a bad restore.
func (s *Service) jobs() []job {
	return []job{
		{"release expired drafts", false, 0, time.Minute, s.releaseExpiredDrafts},
		{"delete batch tokens without a parent", false, time.Hour, time.Hour,
			s.Accounts.DeleteOrphanedBatchTokens},
		{"record the uses of tokens", false, time.Minute, time.Minute, s.Accounts.RecordTokenUses},
		{"delete expired tokens", false, 10 * time.Minute, time.Hour, s.Accounts.DeleteExpiredTokens},
		{"follow deletions", false, 0, 10 * time.Second, s.followDeletions},
		{"forget old deletions", false, 10 * time.Minute, time.Hour, s.forgetDeletions},
		{"recount kept records", false, 0, 10 * time.Minute, s.Accounts.RecountKept},
		{"delete ended records of accounts near their limit", false, 0, 10 * time.Second,
			s.Webhooks.TrimKept},
		{"make the ballast", false, 0, time.Minute, func(context.Context) error { return s.disk.MakeBallast() }},
		{"rotate the keys for receipts", false, time.Minute, time.Minute, s.Receipts.Rotate},
		{"delete streams without claims", false, 0, time.Minute, s.Webhooks.EndStreams},
		{"forget old events", false, 10 * time.Minute, time.Hour, s.Webhooks.DeleteOldEvents},
		{"delete originals left over", true, 0, time.Minute, s.retryBlobDeletions},
		{"delete expired resumable uploads", false, 0, time.Minute, s.Partials.DeleteExpired},
		{"delete parts of ended uploads", true, 0, 10 * time.Second, s.Partials.DeleteParts},
		{"scrub the database", true, 0, 10 * time.Second, s.scrub},
		{"delete expired drafts", true, 0, 10 * time.Minute, s.deleteExpiredDrafts},
		{"sweep orphaned originals", true, time.Hour, 6 * time.Hour, s.sweepUnconfirmed},
	}
}

type job struct {
	name         string
	slow         bool // it may wait for the blob store or for other writers; slow jobs have a separate loop
	first, every time.Duration
	do           func(context.Context) error
}

const (
	jobTick      = 10 * time.Second // between two checks for due jobs
	lastUsesTime = 5 * time.Second  // for the uses of tokens that a server writes at its end
)

// Run runs the background jobs until ctx ends. Then it ends all waits for drafts.
func (s *Service) Run(ctx context.Context) error {
	defer s.draftWaiters.Close()
	defer context.AfterFunc(ctx, s.draftWaiters.Close)() // at once, also while jobs run
	s.runJobs(ctx, s.jobs(), jobTick)
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastUsesTime)
	defer cancel()
	if err := s.Accounts.RecordTokenUses(last); err != nil {
		s.log.Warn("the uses of tokens in the last minute are lost", "err", err)
	}
	return nil
}

// runJobs runs jobs until ctx ends: quick jobs and slow jobs in two concurrent loops, the jobs of a loop one after
// another. The loops check for due jobs at an interval.
func (s *Service) runJobs(ctx context.Context, jobs []job, every time.Duration) {
	var loops sync.WaitGroup
	for _, slow := range []bool{false, true} {
		loops.Go(func() { s.runLoop(ctx, jobs, slow, every) })
	}
	loops.Wait()
}

func (s *Service) runLoop(ctx context.Context, jobs []job, slow bool, every time.Duration) {
	next := make([]time.Time, len(jobs))
	for i, job := range jobs {
		next[i] = time.Now().Add(job.first)
	}
	tick := time.Tick(every)
	for {
		for i, job := range jobs {
			if job.slow != slow {
				continue
			}
			if now := time.Now(); !now.Before(next[i]) {
				next[i] = now.Add(job.every - every/2) // so that a job as frequent as the checks is not late by one
				if err := job.do(ctx); err != nil && ctx.Err() == nil {
					s.log.Error("a background job failed", "job", job.name, "err", err)
				}
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick:
		}
	}
}
