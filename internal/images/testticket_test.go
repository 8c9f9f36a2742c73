package images_test

import (
	"encoding/json"
	"testing"
	"time"

	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/webhooks"
)

// ticketOfTest creates a draft whose URL behaves as name says.
func ticketOfTest(t *testing.T, core *imagestest.Core, name string) (images.Image, string) {
	t.Helper()
	return imagestest.Draft(t, core, images.NewDraft{Policy: json.RawMessage(`{"test":"` + name + `"}`)})
}

// TestTicketsOfTestsEnd: a test ticket ends and counts as any other does.
func TestTicketsOfTestsEnd(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		ctx := t.Context()
		hook := imagestest.Webhook(t, core, webhooks.EventTypes...)
		post := func(ticket string, seed int, want errs.Kind) {
			t.Helper()
			_, err := imagestest.Post(ctx, core, images.UploadRequest{Ticket: ticket, IdempotencyKey: "key"},
				imagestest.JPEG(t, seed))
			imagestest.WantKind(t, err, want)
		}
		expired, ticket := ticketOfTest(t, core, "expired")
		post(ticket, 1, errs.TicketInvalid)
		if err := core.ReleaseExpiredDrafts(ctx); err != nil {
			t.Fatal(err)
		}
		due := imagestest.Claim(t, core, hook)
		if len(due) != 1 || due[0].Event.Type != webhooks.DraftExpired || due[0].Event.Facts.ID != expired.ID {
			t.Errorf("events of an expired ticket: %+v", due)
		}

		_, ticket = ticketOfTest(t, core, "used")
		post(ticket, 1, errs.TicketUsed)
		post(ticket, 1, errs.TicketUsed) // the key is of no earlier request

		busy, ticket := ticketOfTest(t, core, "busy")
		for seed := range 12 {
			post(ticket, seed, errs.Busy)
		}
		if img, err := core.Image(ctx, account, busy.ID); err != nil || img.Ticket.Refusals != 0 {
			t.Errorf("%+v, %v", img.Ticket, err)
		}

		for name, kind := range map[string]errs.Kind{"undecodable": errs.Undecodable, "too_large": errs.TooLarge} {
			draft, ticket := ticketOfTest(t, core, name)
			for seed := range 10 {
				post(ticket, seed, kind)
				if seed < 9 {
					post(ticket, seed, kind) // does not count
				}
			}
			post(ticket, 10, errs.TicketInvalid)
			img, err := core.Image(ctx, account, draft.ID)
			if err != nil || img.Ticket.Refusals != 10 || img.Ticket.LastKind != kind {
				t.Errorf("%s: %+v, %v", name, img.Ticket, err)
			}
			due := imagestest.Claim(t, core, hook)
			if len(due) != 10 || due[9].Event.Facts.Failure == nil || !due[9].Event.Facts.Failure.Final ||
				due[0].Event.Facts.Failure.Kind != kind.String() || due[0].Event.Facts.Failure.Final {
				t.Errorf("%s: %d events", name, len(due))
			}
		}
		if left := blobs(t, core); len(left) != 0 {
			t.Errorf("%d originals are stored", len(left))
		}
		// What is no picture is refused as such.
		_, ticket = ticketOfTest(t, core, "too_large")
		_, err := imagestest.Post(ctx, core, images.UploadRequest{Ticket: ticket}, []byte("no picture"))
		imagestest.WantKind(t, err, errs.Unsupported)
	})
}

func TestSlowTicket(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: waits ten seconds")
	}
	t.Parallel()
	core := imagestest.New(t)
	_, ticket := ticketOfTest(t, core, "slow")
	began := time.Now()
	if _, err := imagestest.Post(t.Context(), core, images.UploadRequest{Ticket: ticket}, imagestest.JPEG(t, 1)); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < 10*time.Second || took > time.Minute {
		t.Errorf("it took %v", took)
	}
	_, err := imagestest.Post(t.Context(), core, images.UploadRequest{Ticket: ticket}, imagestest.JPEG(t, 2))
	imagestest.WantKind(t, err, errs.TicketUsed)
}

// TestWebhookTwice: the event is delivered twice with one id, also if the first attempts fail, and never a third time.
func TestWebhookTwice(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		clock := imagestest.NewClock()
		core.SetNow(clock.Now)
		hook := imagestest.Webhook(t, core)
		_, plain := imagestest.Draft(t, core, images.NewDraft{})
		_, twice := ticketOfTest(t, core, "webhook_twice")
		for i, ticket := range []string{plain, twice} {
			if _, err := imagestest.Post(t.Context(), core, images.UploadRequest{Ticket: ticket},
				imagestest.JPEG(t, i)); err != nil {
				t.Fatal(err)
			}
			clock.Forward(time.Second)
		}
		due := imagestest.Claim(t, core, hook)
		if len(due) != 2 {
			t.Fatalf("%d events", len(due))
		}
		imagestest.Complete(t, core, imagestest.Attempt(due[0], 200), imagestest.Attempt(due[1], 500))
		clock.Forward(time.Minute)
		id := due[1].Event.ID
		for attempt, want := range []int{1, 1, 0} {
			due = imagestest.Claim(t, core, hook)
			if len(due) != want {
				t.Fatalf("round %d: %d deliveries are due, want %d", attempt, len(due), want)
			}
			if want == 0 {
				break
			}
			if due[0].Event.ID != id || due[0].Attempt != attempt+2 {
				t.Errorf("round %d: event %s, attempt %d", attempt, due[0].Event.ID, due[0].Attempt)
			}
			// The same result, sent repeatedly, counts once.
			imagestest.Complete(t, core, imagestest.Attempt(due[0], 200))
			if n, err := core.Webhooks.Complete(t.Context(), []webhooks.Attempt{
				imagestest.Attempt(due[0], 200)}); n != 0 || err != nil {
				t.Errorf("round %d: a repeated result settles %d, %v", attempt, n, err)
			}
		}
		if n := imagestest.Count(t, core, `deliveries WHERE outcome = 'delivered'`); n != 2 {
			t.Errorf("%d deliveries are delivered, want 2", n)
		}
	})
}
