package api

import (
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"

	"calotype/internal/cfapi"
	"calotype/internal/notify"
	"calotype/internal/webhooks"
)

// destination is a webhook in an answer. It has neither its secret nor its signing secret.
type destination struct {
	ID          string               `json:"id"`
	Name        string               `json:"name"`
	Type        string               `json:"type"`
	URL         string               `json:"url"`
	CreatedAt   string               `json:"created_at"`
	LastSuccess *string              `json:"last_success"` // null: never
	LastFailure *string              `json:"last_failure"`
	Events      []webhooks.EventType `json:"events"`
	Paused      *pause               `json:"paused,omitempty"`
}

// pause holds the time and the reason of a webhook's pause.
type pause struct {
	Since  string `json:"since"`
	Reason string `json:"reason"`
}

func newDestination(w webhooks.Webhook) destination {
	d := destination{
		ID: w.ID, Name: w.Name, Type: "generic", URL: w.URL, CreatedAt: timeText(w.Created),
		LastSuccess: optionalTime(w.LastSuccess), LastFailure: optionalTime(w.LastFailure),
		Events: w.Events,
	}
	if !w.Paused.IsZero() {
		d.Paused = &pause{timeText(w.Paused), w.PauseReason}
	}
	return d
}

func timeText(t time.Time) string { return t.UTC().Format(cfapi.TimeFormat) }

// optionalTime is nil for the zero time.
func optionalTime(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	text := timeText(t)
	return &text
}

// onlyID is the answer of requests whose result is an id only.
type onlyID struct {
	ID string `json:"id"`
}

// createdWebhook is the answer to a new webhook, the only one with its signing secret.
type createdWebhook struct {
	ID            string `json:"id"`
	SigningSecret string `json:"signing_secret"`
}

// listWebhooks answers with all webhooks.
func (a *api) listWebhooks(c *call) (any, error) {
	all, err := a.Core.Webhooks.All(c.Context(), c.account)
	if err != nil {
		return nil, err
	}
	shown := make([]destination, 0, len(all))
	for _, w := range all {
		shown = append(shown, newDestination(w))
	}
	return shown, nil
}

// createWebhook adds a webhook whose receiver accepts the test event, or one that is paused until it does.
func (a *api) createWebhook(c *call) (any, error) {
	change, err := readWebhook(c, true)
	if err != nil {
		return nil, err
	}
	switch {
	case change.Name == nil:
		return nil, missing("name", "what the destination is called")
	case change.URL == nil:
		return nil, missing("url", "the URL of the receiver, such as https://example.com/hook")
	}
	w, err := a.Core.Webhooks.Create(c.Context(), c.account, change, a.Notifier.Test)
	if err != nil {
		return nil, err
	}
	return cfapi.Created{Result: createdWebhook{w.ID, notify.SigningSecret(w.SigningKeys[0])}}, nil
}

func missing(name, what string) error { return invalid("missing field `%s`: %s.", name, what) }

// readWebhook reads the fields of a new or changed webhook.
func readWebhook(c *call, isNew bool) (change webhooks.WebhookChange, err error) {
	f, err := c.body.form()
	if err != nil {
		return change, err
	}
	if err := f.setSigningSecret(&change, isNew); err != nil {
		return change, err
	}
	if change.Name, err = f.text("name"); err != nil {
		return change, err
	}
	if change.URL, err = f.text("url"); err != nil {
		return change, err
	}
	if change.Secret, err = f.textOrEmpty("secret"); err != nil {
		return change, err
	}
	change.Events, err = f.events()
	return change, err
}

// setSigningSecret sets the signing secret of a new webhook, if the form names one. Only a new
// webhook accepts one; the secret of others is rotated.
func (f form) setSigningSecret(change *webhooks.WebhookChange, isNew bool) error {
	secret, err := f.textOrEmpty("signing_secret")
	switch {
	case err != nil || secret == nil:
		return err
	case !isNew:
		return invalid("signing_secret cannot be changed here: POST to the destination's " +
			"signing_secret makes a new one.")
	}
	return notify.SetSigningSecret(change, *secret)
}

// textOrEmpty is text, except that it returns "" for an empty field, not nil.
func (f form) textOrEmpty(name string) (*string, error) {
	v, err := f.one(name)
	if err == nil && v != nil && v.json == nil && v.text == "" {
		return new(string), nil
	}
	if err != nil {
		return nil, err
	}
	return f.text(name)
}

// events returns the types of events in the form, nil if absent: in JSON a list, in a form
// a list as JSON, names between commas, or the field several times as events[].
func (f form) events() (types []webhooks.EventType, err error) {
	v, err := f.one("events")
	if err != nil {
		return nil, err
	}
	var names []string
	switch {
	case v == nil:
		for _, v := range f {
			if v.name == "events[]" {
				names = append(names, v.value())
			}
		}
	case v.json != nil || strings.HasPrefix(v.text, "["):
		if err := json.Unmarshal([]byte(v.value()), &names); err != nil {
			return nil, invalid("events must be a list of types of events, such as "+
				`["%s","%s"].`, webhooks.UploadSucceeded, webhooks.UploadFailed)
		}
		types = []webhooks.EventType{} // an empty list is refused, it is not an absent one
	case v.text != "":
		names = strings.Split(v.text, ",")
	}
	for _, name := range names {
		if !utf8.ValidString(name) {
			return nil, invalid("events must be UTF-8.")
		}
		types = append(types, webhooks.EventType(strings.TrimSpace(name)))
	}
	return types, nil
}

// showWebhook answers with one webhook.
func (a *api) showWebhook(c *call) (any, error) {
	w, err := a.Core.Webhooks.ByID(c.Context(), c.account, c.name)
	if err != nil {
		return nil, err
	}
	return newDestination(w), nil
}

// changeWebhook changes the given fields of a webhook.
func (a *api) changeWebhook(c *call) (any, error) {
	change, err := readWebhook(c, false)
	if err != nil {
		return nil, err
	}
	w, err := a.Core.Webhooks.Update(c.Context(), c.account, c.name, change, a.Notifier.Test)
	if err != nil {
		return nil, err
	}
	return onlyID{w.ID}, nil
}

// deleteWebhook deletes a webhook. There is no result: the SDKs read the envelope.
func (a *api) deleteWebhook(c *call) (any, error) {
	// This route does not find streams.
	if _, err := a.Core.Webhooks.ByID(c.Context(), c.account, c.name); err != nil {
		return nil, err
	}
	return nil, a.Core.Webhooks.Delete(c.Context(), c.account, c.name)
}

// testWebhook sends a test event, and ends the pause of a webhook if its receiver accepts it.
func (a *api) testWebhook(c *call) (any, error) {
	w, err := a.Core.Webhooks.ByID(c.Context(), c.account, c.name)
	if err != nil {
		return nil, err
	}
	if err := a.Notifier.Test(c.Context(), w); err != nil {
		return nil, err
	}
	if err := a.Core.Webhooks.Resume(c.Context(), c.account, c.name); err != nil {
		return nil, err
	}
	return a.showWebhook(c)
}

// rotateSigningSecret generates a new signing secret of a webhook.
func (a *api) rotateSigningSecret(c *call) (any, error) {
	w, err := a.Core.Webhooks.RotateKey(c.Context(), c.account, c.name)
	if err != nil {
		return nil, err
	}
	return createdWebhook{w.ID, notify.SigningSecret(w.SigningKeys[0])}, nil
}

// mechanism is a kind of notification in Cloudflare's API.
type mechanism struct {
	Eligible bool   `json:"eligible"`
	Ready    bool   `json:"ready"`
	Type     string `json:"type"`
}

// webhookMechanism is the name of the mechanism in SDKs.
const webhookMechanism = "webhook"

// listMechanisms answers that webhooks are the only kind of notification.
func (a *api) listMechanisms(*call) (any, error) {
	return map[string][]mechanism{"webhooks": {{true, true, webhookMechanism}}}, nil
}
