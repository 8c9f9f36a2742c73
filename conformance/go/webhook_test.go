package conformance

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudflare/cloudflare-go/v7/alerting"
)

// A hook is a destination and what its receiver was given to check messages with.
type hook struct {
	*receiver
	id, name, secret, signingSecret string
}

// newHook makes a destination of a receiver, which gets a test event.
func newHook(t *testing.T, s *service) *hook {
	t.Helper()
	h := &hook{receiver: newReceiver(t), name: "backend " + rand.Text(), secret: rand.Text()}
	made, err := s.createDestination(t, h)
	if err != nil {
		t.Fatal("creating a destination:", err)
	}
	h.id = made.ID
	t.Cleanup(func() { _ = s.deleteDestination(t, h.id) })
	// The SDK's type lacks it: there are receivers that need none.
	raw := made.JSON.ExtraFields["signing_secret"].Raw()
	if err := json.Unmarshal([]byte(raw), &h.signingSecret); err != nil || h.id == "" {
		t.Fatalf("the new destination has no id or no signing secret: %s", made.JSON.RawJSON())
	}
	return h
}

func (s *service) createDestination(t *testing.T, h *hook,
) (*alerting.DestinationWebhookNewResponse, error) {
	t.Helper()
	var params alerting.DestinationWebhookNewParams
	params.AccountID.Value, params.AccountID.Present = s.account, true
	params.Name.Value, params.Name.Present = h.name, true
	params.URL.Value, params.URL.Present = h.url, true
	params.Secret.Value, params.Secret.Present = h.secret, true
	return s.alerting.Destinations.Webhooks.New(t.Context(), params)
}

func (s *service) destination(t *testing.T, id string) (*alerting.Webhooks, error) {
	t.Helper()
	var query alerting.DestinationWebhookGetParams
	query.AccountID.Value, query.AccountID.Present = s.account, true
	return s.alerting.Destinations.Webhooks.Get(t.Context(), id, query)
}

// deleteDestination also runs when the test is over.
func (s *service) deleteDestination(t *testing.T, id string) error {
	var params alerting.DestinationWebhookDeleteParams
	params.AccountID.Value, params.AccountID.Present = s.account, true
	_, err := s.alerting.Destinations.Webhooks.Delete(context.WithoutCancel(t.Context()), id, params)
	return err
}

// TestWebhookDestination makes, reads, lists, changes and deletes a destination.
func TestWebhookDestination(t *testing.T) {
	s := newService(t)
	h := newHook(t, s)
	tested, sent := h.find("test", "")
	if !sent {
		t.Fatal("the test event was not sent")
	}
	wantGenuine(t, tested, h.secret, h.signingSecret)
	h.want(t, s)

	var change alerting.DestinationWebhookUpdateParams
	change.AccountID.Value, change.AccountID.Present = s.account, true
	change.Name.Value, change.Name.Present = "new name", true
	change.URL.Value, change.URL.Present = h.url, true
	updated, err := s.alerting.Destinations.Webhooks.Update(t.Context(), h.id, change)
	if err != nil || updated.ID != h.id {
		t.Fatalf("the answer to the change is %+v (%v)", updated, err)
	}
	h.name = "new name"
	h.want(t, s)

	refusing := &hook{receiver: newReceiver(t), name: "broken"}
	refusing.answer(http.StatusInternalServerError)
	wantRefusal(t, s, http.StatusBadRequest, func() error {
		made, err := s.createDestination(t, refusing)
		if err == nil {
			_ = s.deleteDestination(t, made.ID)
		}
		return err
	})

	if err := s.deleteDestination(t, h.id); err != nil {
		t.Fatal(err)
	}
	wantRefusal(t, s, http.StatusNotFound, func() error {
		_, err := s.destination(t, h.id)
		return err
	})
}

// want wants the destination alone and in the list, and none of its secrets with it.
func (h *hook) want(t *testing.T, s *service) {
	t.Helper()
	alone, err := s.destination(t, h.id)
	if err != nil {
		t.Fatal(err)
	}
	var query alerting.DestinationWebhookListParams
	query.AccountID.Value, query.AccountID.Present = s.account, true
	list, err := s.alerting.Destinations.Webhooks.List(t.Context(), query)
	if err != nil {
		t.Fatal("the list of destinations:", err)
	}
	at := slices.IndexFunc(list.Result, func(w alerting.Webhooks) bool { return w.ID == h.id })
	if at < 0 {
		t.Fatalf("the list of destinations lacks the new one: %s", list.JSON.RawJSON())
	}
	for _, got := range []alerting.Webhooks{*alone, list.Result[at]} {
		raw := got.JSON.RawJSON()
		if got.ID != h.id || got.Name != h.name || got.URL != h.url ||
			got.Type != alerting.WebhooksTypeGeneric || time.Since(got.CreatedAt) > time.Hour {
			t.Errorf("the destination is %s", raw)
		}
		if got.JSON.ExtraFields["signing_secret"].Raw() != "" ||
			strings.Contains(raw, h.secret) || strings.Contains(raw, h.signingSecret) {
			t.Errorf("the destination shows a secret: %s", raw)
		}
	}
}

// newPolicy makes a policy that subscribes a hook.
func newPolicy(t *testing.T, s *service, h *hook) (id string) {
	t.Helper()
	var params alerting.PolicyNewParams
	params.AccountID.Value, params.AccountID.Present = s.account, true
	params.AlertType.Value = alerting.PolicyNewParamsAlertTypeImageNotification
	params.AlertType.Present = true
	params.Enabled.Value, params.Enabled.Present = true, true
	params.Name.Value, params.Name.Present = h.name, true
	params.Description.Value, params.Description.Present = "about "+h.name, true
	target := alerting.MechanismWebhookParam{}
	target.ID.Value, target.ID.Present = h.id, true
	webhooks := &params.Mechanisms.Value.Webhooks
	webhooks.Value, webhooks.Present = []alerting.MechanismWebhookParam{target}, true
	params.Mechanisms.Present = true
	made, err := s.alerting.Policies.New(t.Context(), params)
	if err != nil || made.ID == "" {
		t.Fatalf("creating a policy: %+v (%v)", made, err)
	}
	t.Cleanup(func() { _ = s.deletePolicy(t, made.ID) })
	return made.ID
}

// deletePolicy also runs when the test is over.
func (s *service) deletePolicy(t *testing.T, id string) error {
	var params alerting.PolicyDeleteParams
	params.AccountID.Value, params.AccountID.Present = s.account, true
	_, err := s.alerting.Policies.Delete(context.WithoutCancel(t.Context()), id, params)
	return err
}

// changePolicy sends what set sets, and nothing else.
func (s *service) changePolicy(t *testing.T, id string, set func(*alerting.PolicyUpdateParams)) {
	t.Helper()
	var params alerting.PolicyUpdateParams
	params.AccountID.Value, params.AccountID.Present = s.account, true
	set(&params)
	if got, err := s.alerting.Policies.Update(t.Context(), id, params); err != nil || got.ID != id {
		t.Fatalf("the answer to the change of the policy is %+v (%v)", got, err)
	}
}

func (s *service) enable(t *testing.T, policy string, enabled bool) {
	t.Helper()
	s.changePolicy(t, policy, func(p *alerting.PolicyUpdateParams) {
		p.Enabled.Value, p.Enabled.Present = enabled, true
	})
}

func (s *service) policy(t *testing.T, id string) (*alerting.Policy, error) {
	t.Helper()
	var query alerting.PolicyGetParams
	query.AccountID.Value, query.AccountID.Present = s.account, true
	return s.alerting.Policies.Get(t.Context(), id, query)
}

// TestWebhookPolicy makes, reads, lists, changes and deletes a policy: a change may carry one
// field.
func TestWebhookPolicy(t *testing.T) {
	s := newService(t)
	h := newHook(t, s)
	var alerts alerting.AvailableAlertListParams
	alerts.AccountID.Value, alerts.AccountID.Present = s.account, true
	available, err := s.alerting.AvailableAlerts.List(t.Context(), alerts)
	if err != nil || !offers(*available, "image_notification") {
		t.Fatalf("among the available alerts is no image_notification: %+v (%v)", available, err)
	}

	id := newPolicy(t, s, h)
	want := alerting.Policy{ID: id, Name: h.name, Description: "about " + h.name, Enabled: true}
	wantPolicy(t, s, want, h.id)
	s.enable(t, id, false)
	want.Enabled = false
	wantPolicy(t, s, want, h.id)
	s.changePolicy(t, id, func(p *alerting.PolicyUpdateParams) {
		p.Name.Value, p.Name.Present = "new name", true
	})
	want.Name = "new name"
	wantPolicy(t, s, want, h.id)

	if err := s.deletePolicy(t, id); err != nil {
		t.Fatal(err)
	}
	wantRefusal(t, s, http.StatusNotFound, func() error {
		_, err := s.policy(t, id)
		return err
	})
}

// offers reports whether an alert of a type is available for a product.
func offers(alerts alerting.AvailableAlertListResponse, alertType string) bool {
	for _, ofProduct := range alerts {
		for _, alert := range ofProduct {
			if alert.Type == alertType && alert.DisplayName != "" {
				return true
			}
		}
	}
	return false
}

// wantPolicy wants the policy alone and in the list.
func wantPolicy(t *testing.T, s *service, want alerting.Policy, target string) {
	t.Helper()
	alone, err := s.policy(t, want.ID)
	if err != nil {
		t.Fatal(err)
	}
	var query alerting.PolicyListParams
	query.AccountID.Value, query.AccountID.Present = s.account, true
	list, err := s.alerting.Policies.List(t.Context(), query)
	if err != nil {
		t.Fatal("the list of policies:", err)
	}
	at := slices.IndexFunc(list.Result, func(p alerting.Policy) bool { return p.ID == want.ID })
	if at < 0 {
		t.Fatalf("the list of policies lacks the new one: %s", list.JSON.RawJSON())
	}
	for _, got := range []alerting.Policy{*alone, list.Result[at]} {
		targets := got.Mechanisms.Webhooks
		if got.ID != want.ID || got.Name != want.Name || got.Description != want.Description ||
			got.Enabled != want.Enabled || got.AlertType != "image_notification" ||
			got.Created.IsZero() || got.Modified.Before(got.Created) ||
			len(targets) != 1 || targets[0].ID != target {
			t.Errorf("the policy is %s, want %+v", got.JSON.RawJSON(), want)
		}
	}
}

// TestWebhookDelivery: an end user uploads by one-time URLs, and the app's backend gets the events.
func TestWebhookDelivery(t *testing.T) {
	s := newService(t)
	h := newHook(t, s)
	policy := newPolicy(t, s, h)
	began := time.Now().Truncate(time.Second)
	image, err := s.createUploadURL(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	if status := post(t, image.UploadURL, []byte("no picture")); status != 415 {
		t.Fatalf("what is no picture was answered with %d", status)
	}
	failed := h.wait(t, "image.upload.failed", image.ID)
	h.wantTold(t, failed, s, policy)
	if e := failed.Data.Error; e.Code == 0 || e.Attempt != 1 {
		t.Errorf("the event of the failure is %s", failed.body)
	}
	if status := post(t, image.UploadURL, newPicture(t)); status != http.StatusOK {
		t.Fatalf("the upload was answered with %d", status)
	}
	succeeded := h.wait(t, "image.upload.succeeded", image.ID)
	h.wantTold(t, succeeded, s, policy)
	if succeeded.Data.Filename != "picture.jpg" {
		t.Errorf("the event of the image is %s", succeeded.body)
	}
	wantHistory(t, s, began, policy, failed, succeeded)

	s.enable(t, policy, false)
	untold := upload(t, s, "webhook")
	s.enable(t, policy, true)
	told := upload(t, s, "webhook")
	h.wait(t, "image.upload.succeeded", told)
	if _, found := h.find("image.upload.succeeded", untold); found {
		t.Error("an upload was sent while the policy was disabled")
	}
	for _, id := range []string{image.ID, untold, told} {
		if err := s.delete(t, id); err != nil {
			t.Error(err)
		}
	}
}

// wantTold wants a genuine message under a policy.
func (h *hook) wantTold(t *testing.T, m message, s *service, policy string) {
	t.Helper()
	wantGenuine(t, m, h.secret, h.signingSecret)
	if m.AlertType != "image_notification" || m.AccountID != s.account || m.PolicyID != policy {
		t.Errorf("the message is %s", m.body)
	}
}

// wantHistory wants messages in the history since a time, and none of the policy's before it.
func wantHistory(t *testing.T, s *service, began time.Time, policy string, messages ...message) {
	t.Helper()
	var params alerting.HistoryListParams
	params.AccountID.Value, params.AccountID.Present = s.account, true
	params.PerPage.Value, params.PerPage.Present = 2, true
	params.Since.Value, params.Since.Present = began, true
	var found map[string]alerting.History
	// An attempt is listed when it is over, which is after the receiver had the message.
	eventually(t, "the history lacks what was sent", func() bool {
		found = s.history(t, params, policy)
		return len(found) >= len(messages)
	})
	for _, m := range messages {
		entry := found[string(m.body)]
		if entry.AlertType != "image_notification" || entry.MechanismType != "webhook" ||
			entry.ID == "" || entry.Mechanism == "" || entry.Name == "" || entry.Sent.Before(began) {
			t.Errorf("the history has %s for %s", entry.JSON.RawJSON(), m.body)
		}
	}
	params.Since.Present, params.Before.Present = false, true
	params.Before.Value = began
	if earlier := s.history(t, params, policy); len(earlier) > 0 {
		t.Errorf("the history has %d messages before the first", len(earlier))
	}
}

// history returns a policy's entries by message, page by page. Concurrent messages move entries to later
// pages: some may be returned twice.
func (s *service) history(t *testing.T, params alerting.HistoryListParams, policy string,
) map[string]alerting.History {
	t.Helper()
	found, seen := map[string]alerting.History{}, 0
	pages := s.alerting.History.ListAutoPaging(t.Context(), params)
	for pages.Next() {
		if seen++; seen > 1000 {
			t.Fatal("the history does not end")
		}
		if entry := pages.Current(); entry.PolicyID == policy {
			found[entry.AlertBody] = entry
		}
	}
	if err := pages.Err(); err != nil {
		t.Fatal("the history:", err)
	}
	return found
}
