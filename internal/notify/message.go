package notify

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"calotype/internal/cfapi"
	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/webhooks"
)

const (
	// AlertType is the only alert type here; the name is Cloudflare's.
	AlertType = "image_notification"
	// secretHeader carries the secret of a webhook, unchanged.
	secretHeader = "cf-webhook-auth"
	// secretPrefix is the prefix of signing secrets in the Standard Webhooks libraries.
	secretPrefix = "whsec_"
)

// SigningSecret returns a signing key in the form for its receiver: "whsec_" and base64.
func SigningSecret(key string) string { return secretPrefix + key }

// SigningKey is the reverse of SigningSecret; false unless the key has 24 to 64 bytes.
func SigningKey(secret string) (string, bool) {
	key, found := strings.CutPrefix(secret, secretPrefix)
	raw, err := base64.StdEncoding.DecodeString(key)
	return key, found && err == nil && len(raw) >= 24 && len(raw) <= 64
}

// SigningSecretForm describes the form of a signing secret, for error messages.
const SigningSecretForm = "whsec_ and the base64 of 24 to 64 random bytes, as " +
	"'echo whsec_$(head -c 32 /dev/urandom | base64)' prints"

// NewSigningSecret requests a new secret. The webhook is then paused until its receiver, which needs the
// secret first, has accepted a test event.
const NewSigningSecret = "new"

// SetSigningSecret sets the signing secret of a new webhook from a client's text. For NewSigningSecret it marks the
// webhook as untested; else it stores the client's secret. Error: Invalid.
func SetSigningSecret(c *webhooks.WebhookChange, secret string) error {
	if secret == NewSigningSecret {
		c.Untested = true
		return nil
	}
	key, ok := SigningKey(secret)
	if !ok { // not quoted: it may be a secret
		return errs.Errorf(errs.Invalid, "the signing secret must be %q, or %s", NewSigningSecret,
			SigningSecretForm)
	}
	c.SigningKey = key
	return nil
}

// A Message is a request to a receiver, without the address.
type Message struct {
	ID     string // the same in every attempt
	Header http.Header
	Body   []byte
}

// body is the body of a message: Cloudflare's generic fields.
type body struct {
	Name             string `json:"name"`
	Text             string `json:"text"`
	Data             any    `json:"data"`
	TS               int64  `json:"ts"` // of the event, seconds since 1970
	AccountID        string `json:"account_id"`
	PolicyID         string `json:"policy_id,omitempty"`
	PolicyName       string `json:"policy_name,omitempty"`
	AlertType        string `json:"alert_type"`
	AlertCorrelation string `json:"alert_correlation_id,omitempty"`
	AlertEvent       string `json:"alert_event"`
}

// eventStart is the state of all alerts here, because none of them lasts.
const eventStart = "ALERT_STATE_EVENT_START"

// data is the field data of a message, documented in docs/webhooks.md: the owner's Image object, and the
// fields of the event.
type data struct {
	Event string `json:"event"`
	cfapi.Image
	PreviousID string   `json:"previous_id,omitempty"`
	DraftID    string   `json:"draft_id,omitempty"` // of the link that the image was uploaded to
	Error      *failure `json:"error,omitempty"`
}

// erased is the data of the event for an erased image.
type erased struct {
	Event string `json:"event"`
	ID    string `json:"id"`
}

// failure says why an upload failed.
type failure struct {
	Code    int    `json:"code"` // as in the answer to the uploader
	Message string `json:"message"`
	Reason  string `json:"reason"` // a constant for programs
	Attempt int    `json:"attempt"`
	Final   bool   `json:"final"`
}

// Message returns the message of a delivery, signed with the present time and keys.
func (n *Notifier) Message(d webhooks.Delivery) (Message, error) {
	content, err := n.Body(d)
	if err != nil {
		return Message{}, err
	}
	return sign(d.Webhook, d.Event.ID, content, n.Now())
}

// Body returns the body of a delivery's messages. It depends only on the event, the policy and the public
// base URLs.
func (n *Notifier) Body(d webhooks.Delivery) ([]byte, error) {
	e := d.Event
	content, err := json.Marshal(body{
		Name: cmp.Or(d.PolicyName, d.Webhook.Name), Text: text(e), Data: n.data(d),
		TS: e.At.Unix(), AccountID: e.Account,
		PolicyID: d.PolicyID, PolicyName: d.PolicyName, AlertType: AlertType,
		AlertCorrelation: correlation(e.Image), AlertEvent: eventStart,
	})
	if err != nil {
		return nil, fmt.Errorf("writing the message of event %s: %w", e.ID, err)
	}
	return content, nil
}

func (n *Notifier) data(d webhooks.Delivery) any {
	e := d.Event
	if e.Erasure {
		return erased{string(e.Type), e.Facts.ID}
	}
	var variants []string
	if e.Facts.Draft == nil && e.Type != webhooks.ImageDeleted {
		variants = n.URLs.Variants(d.AccountHash, e.Facts.ID, e.Facts.Variants)
	}
	content := data{
		Event: string(e.Type), Image: cfapi.OwnerImage(images.ImageOf(e), variants),
		PreviousID: e.Facts.PreviousID, DraftID: e.Facts.DraftID,
	}
	if f := e.Facts.Failure; f != nil {
		kind := errs.KindNamed(f.Kind)
		wire := cfapi.Refusal(&errs.Error{Kind: kind, Msg: f.Message})
		content.Error = &failure{wire.Code, wire.Message, kind.String(), f.Attempt, f.Final}
	}
	return content
}

// correlation is the same for all events of one image, also after its id has changed.
func correlation(key string) string {
	sum := sha256.Sum256([]byte("correlation\x00" + key))
	return hex.EncodeToString(sum[:16])
}

// text describes an event in a sentence, for receivers that are chats.
func text(e webhooks.Event) string {
	id := e.Facts.ID
	switch e.Type {
	case webhooks.UploadSucceeded:
		return "Image " + id + " was uploaded"
	case webhooks.UploadFailed:
		return "The upload of image " + id + " failed: " + e.Facts.Failure.Message
	case webhooks.DraftExpired:
		if d := e.Facts.Draft; d != nil && d.Used > 0 {
			return fmt.Sprintf("The one-time URL of draft %s expired after %d of %d uploads", id, d.Used, d.Uses)
		}
		return "The one-time URL of image " + id + " expired without an upload"
	case webhooks.ImageDeleted:
		if e.Facts.Draft != nil {
			return "The draft " + id + " was cancelled"
		}
		return "Image " + id + " was deleted"
	case webhooks.ImageUpdated:
		return "Image " + id + " was changed"
	}
	return string(e.Type) + " " + id
}

// testBody is the body of a test event.
func testBody(w webhooks.Webhook, now time.Time) ([]byte, error) {
	content, err := json.Marshal(body{
		Name: w.Name, Text: "This is a test of the webhook " + w.Name + ". No image is behind it.",
		Data: map[string]string{"event": "test"}, TS: now.Unix(), AccountID: w.Account,
		AlertType: AlertType, AlertEvent: eventStart,
	})
	if err != nil {
		return nil, fmt.Errorf("writing a test message: %w", err)
	}
	return content, nil
}

// sign returns a message with its headers: the secret, unchanged, and the signature of Standard Webhooks
// by each key that is valid now.
func sign(w webhooks.Webhook, id string, content []byte, now time.Time) (Message, error) {
	header := http.Header{}
	header.Set("Content-Type", "application/json")
	if w.Secret != "" {
		header.Set(secretHeader, w.Secret)
	}
	header.Set(standardwebhooks.HeaderWebhookID, id)
	header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
	var signatures []string
	for _, key := range w.SigningKeys {
		signer, err := standardwebhooks.NewWebhook(key)
		if err != nil {
			return Message{}, fmt.Errorf("reading a signing key of webhook %s: %w", w.ID, err)
		}
		signature, err := signer.Sign(id, now, content)
		if err != nil {
			return Message{}, fmt.Errorf("signing for webhook %s: %w", w.ID, err)
		}
		signatures = append(signatures, signature)
	}
	header.Set(standardwebhooks.HeaderWebhookSignature, strings.Join(signatures, " "))
	return Message{ID: id, Header: header, Body: content}, nil
}
