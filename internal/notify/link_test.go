package notify_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/webhooks"
)

// TestMessagesOfALink: the message of an image has the id of the link, that of an expired link the number of its uses.
func TestMessagesOfALink(t *testing.T) {
	t.Parallel()
	core := imagestest.New(t)
	clock := imagestest.NewClock()
	core.SetNow(clock.Now)
	w := imagestest.Webhook(t, core, webhooks.EventTypes...)
	img := upload(t, core, images.NewDraft{ID: ptr("trip"), Policy: json.RawMessage(`{"uses":3}`)}, 1)
	_, _, err := core.CreateDraft(t.Context(), account, images.NewDraft{ID: ptr("plain")})
	if err != nil {
		t.Fatal(err)
	}
	clock.Forward(time.Hour)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- core.Run(ctx) }() // a job records the expiry
	var all []webhooks.Delivery
	eventually(t, "the events", func() bool {
		all = append(all, imagestest.Claim(t, core, w)...)
		return len(all) >= 3
	})
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	n, got := newNotifier(core), map[string]string{}
	for _, d := range all {
		body, err := n.Body(d)
		if err != nil {
			t.Fatal(err)
		}
		var m struct {
			Text string
			Data struct {
				ID      string
				DraftID *string `json:"draft_id"`
				Upload  struct{ Uses *struct{ Allowed, Used int } }
			}
		}
		if err := json.Unmarshal(body, &m); err != nil {
			t.Fatal(err)
		}
		got[m.Data.ID] = m.Text
		if m.Data.DraftID != nil {
			got[m.Data.ID] += ", of " + *m.Data.DraftID
		}
		if m.Data.Upload.Uses != nil {
			got[m.Data.ID] += fmt.Sprintf(", %+v", *m.Data.Upload.Uses)
		}
	}
	for id, want := range map[string]string{
		img.ID:  "Image trip/1 was uploaded, of trip",
		"trip":  "The one-time URL of draft trip expired after 1 of 3 uploads, {Allowed:3 Used:1}",
		"plain": "The one-time URL of image plain expired without an upload",
	} {
		if got[id] != want {
			t.Errorf("%s: %q, want %q", id, got[id], want)
		}
	}
}
