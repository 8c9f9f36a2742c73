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
		ID: w.ID, Name: w.Name, Type: "generic", URL: w.URL, CreatedAt: cfapi.FormatTime(w.Created),
		LastSuccess: optionalTime(w.LastSuccess), LastFailure: optionalTime(w.LastFailure),
		Events: w.Events,
	}
	if !w.Paused.IsZero() {
		d.Paused = &pause{cfapi.FormatTime(w.Paused), w.PauseReason}
	}
	return d
}

// optionalTime is nil for the zero time.
func optionalTime(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	return new(cfapi.FormatTime(t))
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
	return listOf(all, newDestination), err
}

// createWebhook adds a webhook whose receiver accepts the test event, or one that is paused until it does.
func (a *api) createWebhook(c *call) (any, error) {
	change, err := readForm(c, readNewWebhook)
	if err != nil {
		return nil, err
	}
	w, err := a.Core.Webhooks.Create(c.Context(), c.account, change, a.Notifier.Test)
	if err != nil {
		return nil, err
	}
	return cfapi.Created{Result: createdWebhook{w.ID, notify.SigningSecret(w.SigningKeys[0])}}, nil
}

func missing(name, what string) error { return invalid("missing field `%s`: %s.", name, what) }

// readNewWebhook reads the fields of a new webhook. Only a new webhook accepts a signing secret; the secret
// of others is rotated.
func readNewWebhook(f form) (change webhooks.WebhookChange, err error) {
	secret, err := f.textOrEmpty("signing_secret")
	if err == nil && secret != nil {
		err = notify.SetSigningSecret(&change, *secret)
	}
	f.setWebhook(&change, &err)
	switch {
	case err != nil:
		return change, err
	case change.Name == nil:
		return change, missing("name", "what the destination is called")
	case change.URL == nil:
		return change, missing("url", "the URL of the receiver, such as https://example.com/hook")
	}
	return change, nil
}

// readWebhook reads the fields of a changed webhook.
func readWebhook(f form) (change webhooks.WebhookChange, err error) {
	secret, err := f.textOrEmpty("signing_secret")
	if err == nil && secret != nil {
		err = invalid("signing_secret cannot be changed here: POST to the destination's " +
			"signing_secret makes a new one.")
	}
	f.setWebhook(&change, &err)
	return change, err
}

// setWebhook sets the fields that new and changed webhooks have.
func (f form) setWebhook(change *webhooks.WebhookChange, err *error) {
	set(&change.Name, f.text, "name", err)
	set(&change.URL, f.text, "url", err)
	set(&change.Secret, f.textOrEmpty, "secret", err)
	set(&change.Events, f.events, "events", err)
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

// events returns the types of events in a field, nil if absent: in JSON a list, in a form
// a list as JSON, names between commas, or the field several times as events[].
func (f form) events(name string) (types []webhooks.EventType, err error) {
	v, err := f.one(name)
	if err != nil {
		return nil, err
	}
	var names []string
	switch {
	case v == nil:
		for _, v := range f {
			if v.name == name+"[]" {
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
	return newDestination(w), err
}

// changeWebhook changes the given fields of a webhook.
func (a *api) changeWebhook(c *call) (any, error) {
	change, err := readForm(c, readWebhook)
	if err != nil {
		return nil, err
	}
	w, err := a.Core.Webhooks.Update(c.Context(), c.account, c.name, change, a.Notifier.Test)
	return onlyID{w.ID}, err
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
