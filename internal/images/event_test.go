package images_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
)

// webhook adds a webhook and a policy that subscribes it, and returns the webhook.
func webhook(t *testing.T, core *imagestest.Core, events ...images.EventType) images.Webhook {
	t.Helper()
	w, err := core.CreateWebhook(t.Context(), account, images.WebhookChange{
		Name: ptr("hook"), URL: ptr("https://example.com/hook"), Events: events}, nil)
	if err != nil {
		t.Fatal(err)
	}
	policy(t, core, "uploads", w.ID)
	return w
}

func policy(t *testing.T, core *imagestest.Core, name string, webhooks ...string) images.NotificationPolicy {
	t.Helper()
	p, err := core.CreateNotificationPolicy(t.Context(), account, images.PolicyChange{
		Name: &name, Enabled: ptr(true), Webhooks: &webhooks})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// claim claims all that is due for a webhook, in the order of the events.
func claim(t *testing.T, core *imagestest.Core, w images.Webhook) (all []images.Delivery) {
	t.Helper()
	for {
		some, err := core.ClaimDeliveries(t.Context(), w.ID, images.ClaimAtOnce)
		if err != nil {
			t.Fatal(err)
		}
		if all = append(all, some...); len(some) == 0 {
			return all
		}
	}
}

// types are the types of what was claimed, with the attempt at the one-time URL and its end.
func types(all []images.Delivery) string {
	var names []string
	for _, d := range all {
		name := strings.TrimPrefix(string(d.Event.Type), "image.")
		if f := d.Event.Failure; f != nil {
			name += " " + f.Kind.String()
			if f.Final {
				name += " final"
			}
		}
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}

// runningClock gives each event a different time.
func runningClock(core *imagestest.Core) *clock {
	c := newClock()
	core.SetNow(func() time.Time {
		c.forward(time.Microsecond)
		return c.now()
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
	wantKind(t, err, errs.Unsupported)
}

func TestEventsOfAnUpload(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		runningClock(core)
		upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1)) // before a webhook is subscribed
		w := webhook(t, core)
		second := policy(t, core, "a second one", w.ID)
		deaf, err := core.CreateWebhook(t.Context(), account, images.WebhookChange{
			Name: ptr("of no policy"), URL: ptr("https://example.com/")}, nil)
		if err != nil {
			t.Fatal(err)
		}
		d := images.NewDraft{Meta: json.RawMessage(`{"key":"value"}`), Creator: ptr("someone")}
		made, ticket := draft(t, core, d)
		refused(t, core, ticket)
		img, err := post(t.Context(), core, images.UploadRequest{Ticket: ticket}, imagestest.JPEG(t, 2))
		if err != nil {
			t.Fatal(err)
		}
		all := claim(t, core, w)
		if got := types(all); got != "upload.failed unsupported, upload.succeeded" {
			t.Fatalf("the events are %q", got)
		}
		fail := all[0].Event
		if fail.Failure.Attempt != 1 || fail.Failure.Message == "" || !fail.Image.Draft ||
			fail.Image.ID != made.ID || fail.Variants != nil {
			t.Errorf("the failure is %+v", fail)
		}
		received := all[1].Event
		if received.Image.ID != img.ID || *received.Image.Filename != "picture.jpg" ||
			string(received.Image.Meta) != `{"key":"value"}` || *received.Image.Creator != "someone" ||
			!received.Image.Uploaded.Equal(img.Uploaded) || received.Image.Original.SHA256 != img.Original.SHA256 ||
			received.Image.Original.Width != 64 || received.Image.Original.Header.Format != "jpeg" ||
			!slices.Equal(received.Variants, []string{"public"}) || received.Image.Key != img.Key {
			t.Errorf("the success is %+v", received)
		}
		if all[1].PolicyID == second.ID || all[1].PolicyName != "uploads" || all[1].AccountHash == "" ||
			all[1].Webhook.ID != w.ID || all[1].Attempt != 1 {
			t.Errorf("the delivery is %+v", all[1])
		}
		if got := claim(t, core, deaf); len(got) != 0 {
			t.Errorf("a webhook without a policy got %q", types(got))
		}
		// A disabled policy sends nothing, and neither does an upload without a one-time URL.
		for _, p := range []string{all[1].PolicyID, second.ID} {
			_, err := core.ChangeNotificationPolicy(t.Context(), account, p,
				images.PolicyChange{Enabled: ptr(false)})
			if err != nil {
				t.Fatal(err)
			}
		}
		upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 3))
		if _, err := core.ChangeNotificationPolicy(t.Context(), account, second.ID,
			images.PolicyChange{Enabled: ptr(true)}); err != nil {
			t.Fatal(err)
		}
		if _, err := create(t, core, account, images.NewDraft{}, imagestest.JPEG(t, 4)); err != nil {
			t.Fatal(err)
		}
		if got := claim(t, core, w); len(got) != 0 {
			t.Errorf("the events are %q", types(got))
		}
	})
}

// TestNoEventWithoutItsUpload: a rolled back upload has no event.
func TestNoEventWithoutItsUpload(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		w := webhook(t, core)
		_, ticket := draft(t, core, images.NewDraft{})
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
		wantKind(t, err, errs.AccountSuspended)
		if got := claim(t, core, w); len(got) != 0 {
			t.Errorf("the events are %q", types(got))
		}
	})
}

func TestLastRefusalIsFinal(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		clock := runningClock(core)
		w := webhook(t, core, images.EventTypes...)
		_, ticket := draft(t, core, images.NewDraft{})
		for range 10 {
			refused(t, core, ticket)
		}
		all := claim(t, core, w)
		want := strings.Repeat("upload.failed unsupported, ", 9) + "upload.failed unsupported final"
		if got := types(all); got != want {
			t.Errorf("the events are %q", got)
		}
		// Its end brings no second final failure.
		clock.forward(time.Hour)
		if err := core.ReleaseExpiredDrafts(t.Context()); err != nil {
			t.Fatal(err)
		}
		settle(t, core, attemptAll(all, 200)...)
		if got := types(claim(t, core, w)); got != "draft.expired" {
			t.Errorf("the events at the end are %q", got)
		}
	})
}

func TestExpiryIsTold(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		clock := runningClock(core)
		everything, uploads := webhook(t, core, images.EventTypes...), webhook(t, core)
		_, hopeful := draft(t, core, images.NewDraft{})
		refused(t, core, hopeful)
		draft(t, core, images.NewDraft{})
		draft(t, core, images.NewDraft{ID: ptr("replaced")})
		clock.forward(31 * time.Minute)
		draft(t, core, images.NewDraft{ID: ptr("replaced")})
		clock.forward(10 * time.Minute)
		for range 2 { // the second time there is no new event
			if err := core.ReleaseExpiredDrafts(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		clock.forward(25 * time.Hour)
		if err := core.DeleteExpiredDrafts(t.Context()); err != nil {
			t.Fatal(err)
		}
		count := map[string]int{}
		for _, d := range claim(t, core, everything) {
			count[types([]images.Delivery{d})]++
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
		if got := types(claim(t, core, uploads)); got !=
			"upload.failed unsupported, upload.failed ticket-dead final" {
			t.Errorf("the default events are %q", got)
		}
	})
}

func TestOptionalEvents(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		runningClock(core)
		w := webhook(t, core, images.ImageUpdated, images.ImageDeleted)
		img := upload(t, core, images.NewDraft{Creator: ptr("c")}, imagestest.JPEG(t, 1))
		edited, err := core.EditImage(t.Context(), account, img.ID,
			images.Edit{RequireSignedURLs: ptr(true)})
		if err != nil {
			t.Fatal(err)
		}
		if err := core.DeleteImage(t.Context(), account, edited.ID); err != nil {
			t.Fatal(err)
		}
		cancelled, _ := draft(t, core, images.NewDraft{})
		if err := core.DeleteImage(t.Context(), account, cancelled.ID); err != nil {
			t.Fatal(err)
		}
		all := claim(t, core, w)
		if got := types(all); got != "updated, deleted, deleted" {
			t.Fatalf("the events are %q", got)
		}
		if e := all[0].Event; e.PreviousID != img.ID || e.Image.ID != edited.ID || e.Variants == nil {
			t.Errorf("the change is %+v", e)
		}
		if e := all[1].Event; e.Image.ID != edited.ID || *e.Image.Creator != "c" ||
			e.Image.Original == nil || e.Variants != nil || e.Image.Draft {
			t.Errorf("the deletion is %+v", e)
		}
		if e := all[2].Event; e.Image.ID != cancelled.ID || !e.Image.Draft {
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
		w, quiet := webhook(t, core, images.EventTypes...), webhook(t, core)
		gone := upload(t, core, images.NewDraft{Creator: ptr("gone")}, imagestest.JPEG(t, 1))
		before := upload(t, core, images.NewDraft{Creator: ptr("gone")}, imagestest.JPEG(t, 2))
		renamed := upload(t, core, images.NewDraft{Creator: ptr("gone")}, imagestest.JPEG(t, 3))
		stays := upload(t, core, images.NewDraft{Creator: ptr("stays")}, imagestest.JPEG(t, 4))
		if err := core.DeleteImage(t.Context(), account, before.ID); err != nil {
			t.Fatal(err)
		}
		other := ptr("other")
		_, err := core.EditImage(t.Context(), account, renamed.ID, images.Edit{Creator: &other})
		if err != nil {
			t.Fatal(err)
		}
		r := erase(t, core, images.ErasureQuery{Creator: "gone"})
		if r.Images != 1 || r.Ended.IsZero() {
			t.Errorf("the receipt is %+v", r)
		}
		all := claim(t, core, w)
		// Of renamed the change that took its creator away is left, as it is another's now.
		if got := types(all); got != "upload.succeeded, updated, deleted" {
			t.Fatalf("left is %q", got)
		}
		if e := all[0].Event; e.Image.ID != stays.ID {
			t.Errorf("left is %+v", e)
		}
		e := all[2].Event
		if !e.Erased() || e.Image.ID != gone.ID || e.Image.Creator != nil || e.Image.Filename != nil ||
			e.Image.Original != nil {
			t.Errorf("the event of the erasure is %+v", e)
		}
		if got := types(claim(t, core, quiet)); got != "upload.succeeded" {
			t.Errorf("left for the other is %q", got)
		}
		settle(t, core, attempt(all[2], 200))
		if n, err := core.Replay(t.Context(), account, images.ReplayQuery{Event: e.ID}); err != nil || n != 0 {
			t.Errorf("the event of an erasure exists after its delivery: %d, %v", n, err)
		}
		one := erase(t, core, images.ErasureQuery{ID: stays.ID})
		if one.Images != 1 {
			t.Errorf("the receipt is %+v", one)
		}
		if got := types(claim(t, core, w)); got != "deleted" {
			t.Errorf("after the erasure of an image there is %q", got)
		}
	})
}

func attempt(d images.Delivery, status int) images.Attempt {
	return images.Attempt{EventID: d.Event.ID, WebhookID: d.Webhook.ID, Number: d.Attempt,
		Began: d.Event.At, Took: time.Millisecond, Status: status, Answer: "an answer"}
}

func attemptAll(all []images.Delivery, status int) (attempts []images.Attempt) {
	for _, d := range all {
		attempts = append(attempts, attempt(d, status))
	}
	return attempts
}

// settle settles attempts, all of which must count.
func settle(t *testing.T, core *imagestest.Core, attempts ...images.Attempt) {
	t.Helper()
	n, err := core.CompleteDeliveries(context.WithoutCancel(t.Context()), attempts)
	if err != nil || n != len(attempts) {
		t.Fatalf("settled %d of %d, %v", n, len(attempts), err)
	}
}
