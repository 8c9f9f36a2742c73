package notify_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/webhooks"
)

func kindOf(err error) errs.Kind { return errs.AsError(err).Kind }

// TestClaimsThatWaitAreBounded has two accounts take all that they get: a third always gets in.
func TestClaimsThatWaitAreBounded(t *testing.T) {
	t.Parallel()
	core := imagestest.New(t)
	n := newNotifier(core)
	var others []string
	for range 2 {
		other, err := core.Accounts.Create(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		others = append(others, other.ID)
	}
	open := func(account string) webhooks.Webhook {
		t.Helper()
		w, err := core.Webhooks.OpenStream(t.Context(), account, "dev", nil)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	ours, theirs, third := open(account), open(others[0]), open(others[1])
	ctx, cancel := context.WithCancel(t.Context())
	var waiting sync.WaitGroup
	wait := func(w webhooks.Webhook) {
		waiting.Go(func() {
			if _, err := n.Claim(ctx, w, 1, time.Hour); kindOf(err) != errs.Aborted {
				t.Errorf("a claim whose caller left: %v", err)
			}
		})
	}
	const most = 100
	for range most {
		wait(ours)
	}
	eventually(t, "all to wait", func() bool { return n.Waiting() == most })
	if _, err := n.Claim(ctx, ours, 1, time.Second); kindOf(err) != errs.Busy ||
		errs.AsError(err).RetryAfter <= 0 {
		t.Errorf("one more: %v", err)
	}
	// Who does not wait takes no place.
	if got, err := n.Claim(ctx, ours, 1, 0); err != nil || len(got) != 0 {
		t.Errorf("without waiting: %d, %v", len(got), err)
	}
	for range most / 2 {
		wait(theirs)
	}
	eventually(t, "another account", func() bool { return n.Waiting() == most+most/2 })
	if _, err := n.Claim(ctx, theirs, 1, time.Second); kindOf(err) != errs.Busy {
		t.Errorf("one more of another account: %v", err)
	}
	wait(third)
	eventually(t, "a third account", func() bool { return n.Waiting() == most+most/2+1 })
	cancel()
	waiting.Wait()
	if n.Waiting() != 0 {
		t.Errorf("%d wait for ever", n.Waiting())
	}
}

// TestClaimersShareAStream: each delivery goes to one of those who wait.
func TestClaimersShareAStream(t *testing.T) {
	t.Parallel()
	core := imagestest.New(t)
	n := newNotifier(core)
	w, err := core.Webhooks.OpenStream(t.Context(), account, "dev", nil)
	if err != nil {
		t.Fatal(err)
	}
	const uploads, claimers = 12, 4
	var mu sync.Mutex
	claimed := map[string]int{}
	var group sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	for range claimers {
		group.Go(func() {
			for ctx.Err() == nil {
				got, err := n.Claim(ctx, w, 2, time.Hour)
				if err != nil && ctx.Err() == nil {
					t.Error(err)
					return
				}
				mu.Lock()
				for _, d := range got {
					claimed[d.Event.ID]++
				}
				mu.Unlock()
			}
		})
	}
	for i := range uploads {
		upload(t, core, images.NewDraft{}, i)
	}
	eventually(t, "all events", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(claimed) == uploads
	})
	cancel()
	group.Wait()
	for id, times := range claimed {
		if times != 1 {
			t.Errorf("%s was claimed %d times within its lease", id, times)
		}
	}
}

// TestAClaimEndsWithRun: claims that would wait for an hour end with the server, and new ones are refused.
func TestAClaimEndsWithRun(t *testing.T) {
	t.Parallel()
	core := imagestest.New(t)
	n := newNotifier(core)
	stop := run(t, n)
	w, err := core.Webhooks.OpenStream(t.Context(), account, "dev", nil)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		got, err := n.Claim(t.Context(), w, 1, time.Hour)
		if len(got) != 0 {
			t.Errorf("claimed %d", len(got))
		}
		ended <- err
	}()
	eventually(t, "it to wait", func() bool { return n.Waiting() == 1 })
	stop()
	if err := <-ended; err != nil {
		t.Errorf("at the end: %v", err)
	}
	upload(t, core, images.NewDraft{}, 1)
	if _, err := n.Claim(t.Context(), w, 1, 0); kindOf(err) != errs.Busy {
		t.Errorf("after the end: %v", err)
	}
	// The delivery is released for the next claim.
	if got, err := core.Webhooks.Claim(t.Context(), w.ID, 1); err != nil || len(got) != 1 {
		t.Errorf("left are %d, %v", len(got), err)
	}
}
