package conformance

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cloudflare/cloudflare-go"
)

// patience is how long the program waits for what must come, or be listed, at once.
const patience = 20 * time.Second

// A receiver is the backend of an app, and keeps what is posted to it. This SDK hands out nothing
// to verify a signature with, but the secret that it was given comes back in a header.
type receiver struct {
	url string

	mu       sync.Mutex
	messages []message
}

type message struct {
	auth, body string
	event, id  string
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	path := "/hook/" + rand.Text()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, q.Body, 1<<20))
		var told struct{ Data struct{ Event, ID string } }
		if err != nil || q.URL.Path != path || json.Unmarshal(body, &told) != nil {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.messages = append(r.messages, message{
			q.Header.Get("cf-webhook-auth"), string(body), told.Data.Event, told.Data.ID,
		})
	}))
	t.Cleanup(server.Close)
	r.url = server.URL + path
	return r
}

// wait waits for a message with the secret in its header.
func (r *receiver) wait(t *testing.T, secret, event, id string) (found message) {
	t.Helper()
	eventually(t, "no message "+event+" came to the receiver", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		at := slices.IndexFunc(r.messages, func(m message) bool {
			return m.event == event && m.id == id
		})
		if at >= 0 {
			found = r.messages[at]
		}
		return at >= 0
	})
	if found.auth != secret {
		t.Errorf("cf-webhook-auth is %q, want the secret %q", found.auth, secret)
	}
	return found
}

// eventually asks again and again until it is so.
func eventually(t *testing.T, otherwise string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !so(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(otherwise)
		}
	}
}

// TestWebhooks makes, reads, lists, changes and deletes a destination and a policy. An upload is sent
// to it, and is in the history.
func TestWebhooks(t *testing.T) {
	s, ctx, began := newService(t), context.Background(), time.Now().Truncate(time.Second)
	account, r := s.account.Identifier, newReceiver(t)
	hook := cloudflare.NotificationUpsertWebhooks{Name: "backend", URL: r.url, Secret: rand.Text()}
	made, err := s.CreateNotificationWebhooks(ctx, account, &hook)
	if err != nil || !made.Success || made.Result.ID == "" {
		t.Fatalf("creating a destination: %+v (%v)", made, err)
	}
	id := made.Result.ID
	t.Cleanup(func() { _, _ = s.DeleteNotificationWebhooks(ctx, account, id) })
	r.wait(t, hook.Secret, "test", "")
	s.wantDestination(t, id, hook)
	// This SDK always sends a secret, an empty one if not given: that must not take the old away.
	hook.Name = "new name"
	change := cloudflare.NotificationUpsertWebhooks{Name: hook.Name, URL: hook.URL}
	if changed, err := s.UpdateNotificationWebhooks(ctx, account, id, &change); err != nil ||
		changed.Result.ID != id {
		t.Fatalf("changing the destination: %+v (%v)", changed, err)
	}
	s.wantDestination(t, id, hook)
	s.wantOffers(t)

	policy := s.testPolicy(t, id, func() {
		image := s.directUpload(t)
		told := r.wait(t, hook.Secret, "image.upload.succeeded", image)
		s.wantHistory(t, began, told)
	})
	if gone, err := s.DeleteNotificationPolicy(ctx, account, policy); err != nil || !gone.Success {
		t.Fatalf("deleting the policy: %+v (%v)", gone, err)
	}
	_, err = s.GetNotificationPolicy(ctx, account, policy)
	wantGone(t, "policy", err)
	if gone, err := s.DeleteNotificationWebhooks(ctx, account, id); err != nil || !gone.Success {
		t.Fatalf("deleting the destination: %+v (%v)", gone, err)
	}
	_, err = s.GetNotificationWebhooks(ctx, account, id)
	wantGone(t, "destination", err)
}

func wantGone(t *testing.T, what string, err error) {
	t.Helper()
	var missing *cloudflare.NotFoundError
	if !errors.As(err, &missing) {
		t.Errorf("the deleted %s gives %T %v", what, err, err)
	}
}

// wantDestination wants the destination alone and in the list.
func (s service) wantDestination(
	t *testing.T, id string, want cloudflare.NotificationUpsertWebhooks,
) {
	t.Helper()
	ctx, account := context.Background(), s.account.Identifier
	alone, err := s.GetNotificationWebhooks(ctx, account, id)
	if err != nil {
		t.Fatal("the destination:", err)
	}
	list, err := s.ListNotificationWebhooks(ctx, account)
	if err != nil {
		t.Fatal("the list of destinations:", err)
	}
	at := slices.IndexFunc(list.Result, func(w cloudflare.NotificationWebhookIntegration) bool {
		return w.ID == id
	})
	if at < 0 {
		t.Fatalf("the list of destinations lacks the new one: %+v", list)
	}
	for _, got := range []cloudflare.NotificationWebhookIntegration{alone.Result, list.Result[at]} {
		if got.ID != id || got.Name != want.Name || got.URL != want.URL || got.Type != "generic" ||
			time.Since(got.CreatedAt) > time.Hour || got.LastFailure != nil {
			t.Errorf("the destination is %+v, want %+v", got, want)
		}
	}
}

// wantOffers wants the alert among those available.
func (s service) wantOffers(t *testing.T) {
	t.Helper()
	available, err := s.GetAvailableNotificationTypes(context.Background(), s.account.Identifier)
	if err != nil {
		t.Fatal("the available alerts:", err)
	}
	for _, ofProduct := range available.Result {
		for _, alert := range ofProduct {
			if alert.Type == "image_notification" {
				return
			}
		}
	}
	t.Errorf("among the available alerts is no image_notification: %+v", available)
}

// testPolicy makes a policy that subscribes a destination, reads, lists and changes it, and calls
// enabled while it is enabled. This SDK sends all fields each time, also those without a value: an
// empty id, conditions and filters of null, times of year 1, mechanisms with names.
func (s service) testPolicy(t *testing.T, destination string, enabled func()) (id string) {
	t.Helper()
	ctx, account := context.Background(), s.account.Identifier
	policy := cloudflare.NotificationPolicy{
		Name: "uploads", Description: "all of them", Enabled: true, AlertType: "image_notification",
		Mechanisms: map[string]cloudflare.NotificationMechanismIntegrations{
			"webhooks": {{ID: destination}},
		},
	}
	made, err := s.CreateNotificationPolicy(ctx, account, policy)
	if err != nil || !made.Success || made.Result.ID == "" {
		t.Fatalf("creating a policy: %+v (%v)", made, err)
	}
	policy.ID = made.Result.ID
	t.Cleanup(func() { _, _ = s.DeleteNotificationPolicy(ctx, account, policy.ID) })
	read := s.wantPolicy(t, policy)
	enabled()
	// What was read is changed and sent back, as Terraform did.
	read.Enabled, read.Name = false, "new name"
	if changed, err := s.UpdateNotificationPolicy(ctx, account, &read); err != nil ||
		changed.Result.ID != policy.ID {
		t.Fatalf("changing the policy: %+v (%v)", changed, err)
	}
	s.wantPolicy(t, read)
	return policy.ID
}

// wantPolicy wants the policy alone and in the list.
func (s service) wantPolicy(t *testing.T, want cloudflare.NotificationPolicy,
) cloudflare.NotificationPolicy {
	t.Helper()
	ctx, account := context.Background(), s.account.Identifier
	alone, err := s.GetNotificationPolicy(ctx, account, want.ID)
	if err != nil {
		t.Fatal("the policy:", err)
	}
	list, err := s.ListNotificationPolicies(ctx, account)
	if err != nil {
		t.Fatal("the list of policies:", err)
	}
	at := slices.IndexFunc(list.Result, func(p cloudflare.NotificationPolicy) bool {
		return p.ID == want.ID
	})
	if at < 0 {
		t.Fatalf("the list of policies lacks the new one: %+v", list)
	}
	for _, got := range []cloudflare.NotificationPolicy{alone.Result, list.Result[at]} {
		told := got.Mechanisms["webhooks"]
		if got.Name != want.Name || got.Description != want.Description ||
			got.Enabled != want.Enabled || got.AlertType != want.AlertType || got.Created.IsZero() ||
			len(told) != 1 || told[0].ID != want.Mechanisms["webhooks"][0].ID {
			t.Errorf("the policy is %+v, want %+v", got, want)
		}
	}
	return alone.Result
}

// directUpload uploads by a one-time URL and returns the image's id.
func (s service) directUpload(t *testing.T) (id string) {
	t.Helper()
	made, err := s.CreateImageDirectUploadURL(context.Background(), s.account,
		cloudflare.CreateImageDirectUploadURLParams{})
	if err != nil {
		t.Fatal(err)
	}
	if status := post(t, made.UploadURL); status != http.StatusOK {
		t.Fatalf("the upload was answered with %d", status)
	}
	return made.ID
}

// wantHistory wants a message in the history since a time.
func (s service) wantHistory(t *testing.T, began time.Time, m message) {
	t.Helper()
	filter := cloudflare.AlertHistoryFilter{
		TimeRange:         cloudflare.TimeRange{Since: began.UTC().Format(time.RFC3339)},
		PaginationOptions: cloudflare.PaginationOptions{Page: 1, PerPage: 100},
	}
	// An attempt is listed when it is over, which is after the receiver had the message.
	eventually(t, "the history lacks what was sent", func() bool {
		entries, info, err := s.ListNotificationHistory(context.Background(), s.account.Identifier,
			filter)
		if err != nil || info.Page != 1 || info.PerPage != 100 || info.Count != len(entries) {
			t.Fatalf("the history: %+v (%v)", info, err)
		}
		return slices.ContainsFunc(entries, func(h cloudflare.NotificationHistory) bool {
			return h.AlertBody == m.body && h.AlertType == "image_notification" &&
				h.MechanismType == "webhook" && !h.Sent.Before(began)
		})
	})
}
