package images_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
)

type waitedFor struct {
	img images.Image
	err error
}

// wait waits for an image on the side.
func wait(ctx context.Context, core *imagestest.Core, id string, most time.Duration) chan waitedFor {
	ended := make(chan waitedFor, 1)
	go func() {
		img, err := core.WaitImage(ctx, account, id, images.Wait{AtMost: most})
		ended <- waitedFor{img, err}
	}()
	return ended
}

// until waits for a condition.
func until(t *testing.T, condition func() bool) {
	t.Helper()
	for !condition() {
		if err := context.Cause(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestWait(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		const long = time.Hour // longer than the test may take
		made, ticket := imagestest.Draft(t, core, images.NewDraft{})
		cancelled, _ := imagestest.Draft(t, core, images.NewDraft{})
		still, _ := imagestest.Draft(t, core, images.NewDraft{})
		ctx, leave := context.WithCancel(t.Context())
		first := wait(t.Context(), core, made.ID, long)
		second := wait(t.Context(), core, made.ID, long)
		gone := wait(t.Context(), core, cancelled.ID, long)
		left := wait(ctx, core, still.ID, long)
		until(t, func() bool { return core.Waiting() == 4 })
		if got, err := core.WaitImage(t.Context(), account, still.ID, images.Wait{AtMost: time.Millisecond}); err != nil ||
			!got.Draft {
			t.Errorf("after the time: %+v, %v", got, err)
		}
		leave()
		imagestest.WantKind(t, (<-left).err, errs.Aborted)
		if err := core.DeleteImage(t.Context(), account, cancelled.ID); err != nil {
			t.Fatal(err)
		}
		imagestest.WantKind(t, (<-gone).err, errs.ImageNotFound)
		if _, err := imagestest.Post(t.Context(), core, images.UploadRequest{Ticket: ticket},
			imagestest.JPEG(t, 1)); err != nil {
			t.Fatal(err)
		}
		for _, ended := range []chan waitedFor{first, second} {
			if got := <-ended; got.err != nil || got.img.Draft || got.img.Original == nil {
				t.Errorf("got %+v", got)
			}
		}
		if n := core.Waiting(); n != 0 {
			t.Errorf("%d still wait", n)
		}
		if got, err := core.WaitImage(t.Context(), account, made.ID, images.Wait{AtMost: long}); err != nil || got.Draft {
			t.Errorf("an image: %+v, %v", got, err)
		}
		_, err := core.WaitImage(t.Context(), account, "unknown", images.Wait{AtMost: long})
		imagestest.WantKind(t, err, errs.ImageNotFound)
	})
}

// TestWaitersAreBounded: the calls of an account may wait until it has its share; one more is Busy. At the end
// of the server all calls return the draft, later ones too. limit.TestPollIsBounded counts the queries.
func TestWaitersAreBounded(t *testing.T) {
	t.Parallel()
	core := imagestest.New(t)
	var drafts []images.Image
	for range 10 {
		made, _ := imagestest.Draft(t, core, images.NewDraft{})
		drafts = append(drafts, made)
	}
	var waiting []chan waitedFor
	for i := range 500 {
		waiting = append(waiting, wait(t.Context(), core, drafts[i%len(drafts)].ID, time.Hour))
	}
	until(t, func() bool { return core.Waiting() == 500 })
	_, err := core.WaitImage(t.Context(), account, drafts[0].ID, images.Wait{AtMost: time.Hour})
	imagestest.WantKind(t, err, errs.Busy)
	if errs.AsError(err).RetryAfter == 0 {
		t.Error("it is not said when to come again")
	}
	// Another account takes what it gets; a third one still waits for its own.
	ids := imagestest.Accounts(t, core, 2)
	greedy, _ := ticketOf(t, core, ids[0])
	ctx, leave := context.WithCancel(t.Context())
	var rest sync.WaitGroup
	for range 250 {
		rest.Go(func() {
			_, err := core.WaitImage(ctx, ids[0], greedy.ID, images.Wait{AtMost: time.Hour})
			if errs.AsError(err).Kind != errs.Aborted {
				t.Errorf("who leaves: %v", err)
			}
		})
	}
	until(t, func() bool { return core.Waiting() == 750 })
	_, err = core.WaitImage(t.Context(), ids[0], greedy.ID, images.Wait{AtMost: time.Hour})
	imagestest.WantKind(t, err, errs.Busy)
	third, _ := ticketOf(t, core, ids[1])
	if img, err := core.WaitImage(t.Context(), ids[1], third.ID, images.Wait{AtMost: time.Millisecond}); err != nil || !img.Draft {
		t.Errorf("a third account: %+v, %v", img, err)
	}
	leave()
	rest.Wait()
	running, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- core.Run(running) }()
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	for _, w := range waiting {
		if got := <-w; got.err != nil || !got.img.Draft {
			t.Fatalf("at the server's end: %+v", got)
		}
	}
	if img, err := core.WaitImage(t.Context(), account, drafts[0].ID, images.Wait{AtMost: time.Hour}); err != nil ||
		!img.Draft {
		t.Errorf("after the server's end: %+v, %v", img, err)
	}
}

// TestWaitFollowsAnotherID: a request that waits for a draft gets its image, although an edit has given
// it another id.
func TestWaitFollowsAnotherID(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		made, ticket := imagestest.Draft(t, core, images.NewDraft{})
		ended := wait(t.Context(), core, made.ID, time.Hour)
		until(t, func() bool { return core.Waiting() == 1 })
		_, err := imagestest.Post(t.Context(), core, images.UploadRequest{Ticket: ticket}, imagestest.JPEG(t, 1))
		if err != nil {
			t.Fatal(err)
		}
		edited, err := core.EditImage(t.Context(), account, made.ID,
			images.Edit{RequireSignedURLs: imagestest.Ptr(true)})
		if err != nil {
			t.Fatal(err)
		}
		if got := <-ended; got.err != nil || got.img.Key != edited.Key || edited.ID == made.ID {
			t.Errorf("got %+v, want the image that is %s now", got, edited.ID)
		}
	})
}
