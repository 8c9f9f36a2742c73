package images_test

import (
	"crypto/rand"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/webhooks"
)

// runningClock gives each event a different time.
func runningClock(core *imagestest.Core) *imagestest.Clock {
	c := imagestest.NewClock()
	core.SetNow(func() time.Time {
		c.Forward(time.Microsecond)
		return c.Now()
	})
	return c
}

// refused posts a body that is no picture, another one each time: a repeat would not count.
func refused(t *testing.T, core *imagestest.Core, ticket string) {
	t.Helper()
	u, err := core.BeginUpload(t.Context(), images.UploadRequest{Ticket: ticket})
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	if _, err := u.Write([]byte("no picture " + rand.Text())); err != nil {
		t.Fatal(err)
	}
	_, err = u.Finish(t.Context(), "cat.txt")
	imagestest.WantKind(t, err, errs.Unsupported)
}

func TestEventsOfAnUpload(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		runningClock(core)
		imagestest.Upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1)) // before a webhook is subscribed
		w := imagestest.Webhook(t, core)
		second := imagestest.Policy(t, core, "a second one", w.ID)
		deaf, err := core.Webhooks.Create(t.Context(), account, webhooks.WebhookChange{
			Name: imagestest.Ptr("of no policy"), URL: imagestest.Ptr("https://example.com/")}, nil)
		if err != nil {
			t.Fatal(err)
		}
		d := images.NewDraft{Meta: json.RawMessage(`{"key":"value"}`), Creator: imagestest.Ptr("someone")}
		made, ticket := imagestest.Draft(t, core, d)
		refused(t, core, ticket)
		img, err := imagestest.Post(t.Context(), core, images.UploadRequest{Ticket: ticket}, imagestest.JPEG(t, 2))
		if err != nil {
			t.Fatal(err)
		}
		all := imagestest.Claim(t, core, w)
		if got := imagestest.Types(all); got != "upload.failed unsupported, upload.succeeded" {
			t.Fatalf("the events are %q", got)
		}
		fail := all[0].Event
		if fail.Facts.Failure.Attempt != 1 || fail.Facts.Failure.Message == "" || fail.Facts.Draft == nil ||
			fail.Facts.ID != made.ID || fail.Facts.Variants != nil {
			t.Errorf("the failure is %+v", fail)
		}
		received := all[1].Event
		if received.Facts.ID != img.ID || *received.Facts.Filename != "picture.jpg" ||
			string(received.Facts.Meta) != `{"key":"value"}` || *received.Facts.Creator != "someone" ||
			!images.ImageOf(received).Uploaded.Equal(img.Uploaded) || received.Facts.Original.SHA256 != img.Original.SHA256 ||
			received.Facts.Original.Width != 64 || received.Facts.Original.Format != "jpeg" ||
			!slices.Equal(received.Facts.Variants, []string{"public"}) || received.Image != img.Key {
			t.Errorf("the success is %+v", received)
		}
		if all[1].PolicyID == second.ID || all[1].PolicyName != "uploads" || all[1].AccountHash == "" ||
			all[1].Webhook.ID != w.ID || all[1].Attempt != 1 {
			t.Errorf("the delivery is %+v", all[1])
		}
		if got := imagestest.Claim(t, core, deaf); len(got) != 0 {
			t.Errorf("a webhook without a policy got %q", imagestest.Types(got))
		}
		// A disabled policy sends nothing, and neither does an upload without a one-time URL.
		for _, p := range []string{all[1].PolicyID, second.ID} {
			_, err := core.Webhooks.UpdatePolicy(t.Context(), account, p,
				webhooks.PolicyChange{Enabled: imagestest.Ptr(false)})
			if err != nil {
				t.Fatal(err)
			}
		}
		imagestest.Upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 3))
		if _, err := core.Webhooks.UpdatePolicy(t.Context(), account, second.ID,
			webhooks.PolicyChange{Enabled: imagestest.Ptr(true)}); err != nil {
			t.Fatal(err)
		}
		if _, err := imagestest.Create(t, core, account, images.NewDraft{}, imagestest.JPEG(t, 4)); err != nil {
			t.Fatal(err)
		}
		if got := imagestest.Claim(t, core, w); len(got) != 0 {
			t.Errorf("the events are %q", imagestest.Types(got))
		}
	})
}

// TestNoEventWithoutItsUpload: a rolled back upload has no event.
func TestNoEventWithoutItsUpload(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		w := imagestest.Webhook(t, core)
		_, ticket := imagestest.Draft(t, core, images.NewDraft{})
		// The draft has reserved less than the image takes, and the limit is reached.
		u, err := core.BeginUpload(t.Context(), images.UploadRequest{Ticket: ticket})
		if err != nil {
			t.Fatal(err)
		}
		defer u.Close()
		if _, err := u.Write(imagestest.JPEG(t, 1)); err != nil {
			t.Fatal(err)
		}
		if err := core.Accounts.Suspend(t.Context(), account, true); err != nil {
			t.Fatal(err)
		}
		_, err = u.Finish(t.Context(), "x.jpg")
		imagestest.WantKind(t, err, errs.AccountSuspended)
		if got := imagestest.Claim(t, core, w); len(got) != 0 {
			t.Errorf("the events are %q", imagestest.Types(got))
		}
	})
}

func TestLastRefusalIsFinal(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		clock := runningClock(core)
		w := imagestest.Webhook(t, core, webhooks.EventTypes...)
		_, ticket := imagestest.Draft(t, core, images.NewDraft{})
		for range 10 {
			refused(t, core, ticket)
		}
		all := imagestest.Claim(t, core, w)
		want := strings.Repeat("upload.failed unsupported, ", 9) + "upload.failed unsupported final"
		if got := imagestest.Types(all); got != want {
			t.Errorf("the events are %q", got)
		}
		// Its end brings no second final failure.
		clock.Forward(time.Hour)
		if err := core.ReleaseExpiredDrafts(t.Context()); err != nil {
			t.Fatal(err)
		}
		imagestest.Complete(t, core, imagestest.Attempts(all, 200)...)
		if got := imagestest.Types(imagestest.Claim(t, core, w)); got != "draft.expired" {
			t.Errorf("the events at the end are %q", got)
		}
	})
}

func TestExpiryIsTold(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		clock := runningClock(core)
		everything, uploads := imagestest.Webhook(t, core, webhooks.EventTypes...), imagestest.Webhook(t, core)
		_, hopeful := imagestest.Draft(t, core, images.NewDraft{})
		refused(t, core, hopeful)
		imagestest.Draft(t, core, images.NewDraft{})
		imagestest.Draft(t, core, images.NewDraft{ID: imagestest.Ptr("replaced")})
		clock.Forward(31 * time.Minute)
		imagestest.Draft(t, core, images.NewDraft{ID: imagestest.Ptr("replaced")})
		clock.Forward(10 * time.Minute)
		for range 2 { // the second time there is no new event
			if err := core.ReleaseExpiredDrafts(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		clock.Forward(25 * time.Hour)
		if err := core.DeleteExpiredDrafts(t.Context()); err != nil {
			t.Fatal(err)
		}
		count := map[string]int{}
		for _, d := range imagestest.Claim(t, core, everything) {
			count[imagestest.Types([]webhooks.Delivery{d})]++
		}
		// Four drafts have ended: the last one a day later.
		want := map[string]int{"upload.failed unsupported": 1, "draft.expired": 4,
			"upload.failed ticket-dead final": 1}
		if len(count) != len(want) {
			t.Errorf("the events are %v, want %v", count, want)
		}
		for name, n := range want {
			if count[name] != n {
				t.Errorf("the events are %v, want %v", count, want)
			}
		}
		if got := imagestest.Types(imagestest.Claim(t, core, uploads)); got !=
			"upload.failed unsupported, upload.failed ticket-dead final" {
			t.Errorf("the default events are %q", got)
		}
	})
}

func TestOptionalEvents(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		runningClock(core)
		w := imagestest.Webhook(t, core, webhooks.ImageUpdated, webhooks.ImageDeleted)
		img := imagestest.Upload(t, core, images.NewDraft{Creator: imagestest.Ptr("c")}, imagestest.JPEG(t, 1))
		edited, err := core.EditImage(t.Context(), account, img.ID,
			images.Edit{RequireSignedURLs: imagestest.Ptr(true)})
		if err != nil {
			t.Fatal(err)
		}
		if err := core.DeleteImage(t.Context(), account, edited.ID); err != nil {
			t.Fatal(err)
		}
		cancelled, _ := imagestest.Draft(t, core, images.NewDraft{})
		if err := core.DeleteImage(t.Context(), account, cancelled.ID); err != nil {
			t.Fatal(err)
		}
		all := imagestest.Claim(t, core, w)
		if got := imagestest.Types(all); got != "updated, deleted, deleted" {
			t.Fatalf("the events are %q", got)
		}
		if e := all[0].Event; e.Facts.PreviousID != img.ID || e.Facts.ID != edited.ID || e.Facts.Variants == nil {
			t.Errorf("the change is %+v", e)
		}
		if e := all[1].Event; e.Facts.ID != edited.ID || *e.Facts.Creator != "c" ||
			e.Facts.Original == nil || e.Facts.Variants != nil || e.Facts.Draft != nil {
			t.Errorf("the deletion is %+v", e)
		}
		if e := all[2].Event; e.Facts.ID != cancelled.ID || e.Facts.Draft == nil {
			t.Errorf("the cancelled draft is %+v", e)
		}
	})
}

// TestErasureErasesEvents: no event of an erased creator is left, except the event of the erasure, which holds
// the id only, until it is delivered.
func TestErasureErasesEvents(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		runningClock(core)
		w, quiet := imagestest.Webhook(t, core, webhooks.EventTypes...), imagestest.Webhook(t, core)
		gone := imagestest.Upload(t, core, images.NewDraft{Creator: imagestest.Ptr("gone")}, imagestest.JPEG(t, 1))
		before := imagestest.Upload(t, core, images.NewDraft{Creator: imagestest.Ptr("gone")}, imagestest.JPEG(t, 2))
		renamed := imagestest.Upload(t, core, images.NewDraft{Creator: imagestest.Ptr("gone")}, imagestest.JPEG(t, 3))
		stays := imagestest.Upload(t, core, images.NewDraft{Creator: imagestest.Ptr("stays")}, imagestest.JPEG(t, 4))
		if err := core.DeleteImage(t.Context(), account, before.ID); err != nil {
			t.Fatal(err)
		}
		other := imagestest.Ptr("other")
		_, err := core.EditImage(t.Context(), account, renamed.ID, images.Edit{Creator: &other})
		if err != nil {
			t.Fatal(err)
		}
		r := imagestest.Erase(t, core, images.ErasureQuery{Creator: "gone"})
		if r.Images != 1 || r.Ended.IsZero() {
			t.Errorf("the receipt is %+v", r)
		}
		all := imagestest.Claim(t, core, w)
		// Of renamed the change that took its creator away is left, as it is another's now.
		if got := imagestest.Types(all); got != "upload.succeeded, updated, deleted" {
			t.Fatalf("left is %q", got)
		}
		if e := all[0].Event; e.Facts.ID != stays.ID {
			t.Errorf("left is %+v", e)
		}
		e := all[2].Event
		if !e.Erasure || e.Facts.ID != gone.ID || e.Facts.Creator != nil || e.Facts.Filename != nil ||
			e.Facts.Original != nil {
			t.Errorf("the event of the erasure is %+v", e)
		}
		if got := imagestest.Types(imagestest.Claim(t, core, quiet)); got != "upload.succeeded" {
			t.Errorf("left for the other is %q", got)
		}
		imagestest.Complete(t, core, imagestest.Attempt(all[2], 200))
		if n, err := core.Webhooks.Replay(t.Context(), account, webhooks.ReplayQuery{Event: e.ID}); err != nil || n != 0 {
			t.Errorf("the event of an erasure exists after its delivery: %d, %v", n, err)
		}
		one := imagestest.Erase(t, core, images.ErasureQuery{ID: stays.ID})
		if one.Images != 1 {
			t.Errorf("the receipt is %+v", one)
		}
		if got := imagestest.Types(imagestest.Claim(t, core, w)); got != "deleted" {
			t.Errorf("after the erasure of an image there is %q", got)
		}
	})
}
