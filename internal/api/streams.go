package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"calotype/internal/cfapi"
	"calotype/internal/notify"
	"calotype/internal/text"
	"calotype/internal/webhooks"
)

// eventStream is a stream in an answer. Unlike the signing secret of a webhook, its secret is in the answer of each
// opening, because a client that may open the stream gets all signed messages.
type eventStream struct {
	ID            string               `json:"id"`
	Name          string               `json:"name"`
	Events        []webhooks.EventType `json:"events"`
	CreatedAt     string               `json:"created_at"`
	SigningSecret string               `json:"signing_secret,omitempty"`
}

func newEventStream(w webhooks.Webhook) eventStream {
	return eventStream{ID: w.ID, Name: w.Name, Events: w.Events, CreatedAt: cfapi.FormatTime(w.Created)}
}

// listStreams answers with all streams.
func (a *api) listStreams(c *call) (any, error) {
	all, err := a.Core.Webhooks.Streams(c.Context(), c.account)
	return listOf(all, newEventStream), err
}

// openStream creates a stream, or opens the existing one.
func (a *api) openStream(c *call) (any, error) {
	events, err := readForm(c, func(f form) ([]webhooks.EventType, error) { return f.events("events") })
	if err != nil {
		return nil, err
	}
	w, err := a.Core.Webhooks.OpenStream(c.Context(), c.account, c.name, events)
	if err != nil {
		return nil, err
	}
	shown := newEventStream(w)
	shown.SigningSecret = notify.SigningSecret(w.SigningKeys[0])
	return shown, nil
}

// deleteStream deletes a stream with its pending deliveries.
func (a *api) deleteStream(c *call) (any, error) {
	w, err := a.Core.Webhooks.Stream(c.Context(), c.account, c.name)
	if err != nil {
		return nil, err
	}
	return nil, a.Core.Webhooks.Delete(c.Context(), c.account, w.ID)
}

// claimedDelivery is a message for a receiver, in the form of a webhook's message.
type claimedDelivery struct {
	EventID string            `json:"event_id"`
	Attempt int               `json:"attempt"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
}

// maxClaimWait limits the wait of a claim, in seconds.
const maxClaimWait = 50

// claimFromStream claims due deliveries, and waits for a delivery if the client requests it. It releases deliveries
// that do not fit into the answer.
func (a *api) claimFromStream(c *call) (any, error) {
	f, err := c.body.form()
	if err != nil {
		return nil, err
	}
	wait, err := f.number("wait", 0, maxClaimWait)
	if err != nil {
		return nil, err
	}
	most, err := f.number("limit", 1, webhooks.ClaimAtOnce)
	if err != nil {
		return nil, err
	}
	if most == 0 {
		most = webhooks.ClaimAtOnce
	}
	w, err := a.Core.Webhooks.Stream(c.Context(), c.account, c.name)
	if err != nil {
		return nil, err
	}
	claimed, err := a.Notifier.Claim(c.Context(), w, most, time.Duration(wait)*time.Second)
	if err != nil {
		return nil, err
	}
	if len(claimed) == 0 {
		return map[string][]claimedDelivery{"deliveries": {}}, nil
	}
	p, err := openPage[webhooks.Delivery](c.Context(), a, c.account, a.bounds.token, int64(len(claimed)),
		maxEventRow, eventRow)
	if err != nil {
		a.Notifier.Release(c.Context(), claimed)
		return nil, err
	}
	defer p.close()
	for i, d := range claimed {
		shown, err := a.newClaimedDelivery(d)
		fits := p.add(d, shown, 0, heldByEvent(d.Event))
		if err := errors.Join(err, p.err); err != nil {
			return nil, err
		}
		if !fits {
			a.Notifier.Release(c.Context(), claimed[i:])
			break
		}
	}
	return p.answer(map[string]cfapi.ItemsHere{"deliveries": {}}, a.newClaimedDelivery), nil
}

// newClaimedDelivery returns a claimedDelivery.
func (a *api) newClaimedDelivery(d webhooks.Delivery) (any, error) {
	m, err := a.Notifier.Message(d)
	return claimedDelivery{d.Event.ID, d.Attempt, plainHeaders(m.Header), string(m.Body)}, err
}

// plainHeaders returns headers with one value each, by their names in lower case.
func plainHeaders(h http.Header) map[string]string {
	plain := make(map[string]string, len(h))
	for name := range h {
		plain[strings.ToLower(name)] = h.Get(name)
	}
	return plain
}

// number returns a whole number from least to most; 0 if the field is absent.
func (f form) number(name string, least, most int) (int, error) {
	v, err := f.one(name)
	if err != nil || v == nil || v.value() == "" {
		return 0, err
	}
	n, err := strconv.Atoi(text.WholeNumber(v.value()))
	if err != nil || n < least || n > most {
		return 0, invalid("%s must be a whole number from %d to %d.", name, least, most)
	}
	return n, nil
}

// reportedAttempt is the result of a delivery that a client reports.
type reportedAttempt struct {
	EventID    string `json:"event_id"`
	Attempt    int    `json:"attempt"`
	Status     int    `json:"status"` // 0: the receiver did not answer
	DurationMS int64  `json:"duration_ms"`
	Error      string `json:"error"`
	Answer     string `json:"answer"`
}

// maxStatus is the largest valid status.
const maxStatus = 999

func (r reportedAttempt) check() error {
	const day = int64(24 * time.Hour / time.Millisecond)
	switch {
	case !isEventID(r.EventID):
		return invalid("event_id must be one that was claimed.")
	case r.Attempt < 1:
		return invalid("attempt must be the number that was claimed.")
	case r.Status < 0 || r.Status > maxStatus:
		return invalid("status must be that of the receiver's answer, or 0 when there was none.")
	case r.DurationMS < 0 || r.DurationMS > day:
		return invalid("duration_ms must be from 0 to %d.", day)
	}
	return nil
}

// isEventID reports whether s may be the id of an event: letters, digits and underscores.
func isEventID(s string) bool {
	return s != "" && len(s) <= 64 && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_'
	})
}

// settleStream records the results of claimed deliveries.
func (a *api) settleStream(c *call) (any, error) {
	reported, err := readForm(c, form.attempts)
	if err != nil {
		return nil, err
	}
	w, err := a.Core.Webhooks.Stream(c.Context(), c.account, c.name)
	if err != nil {
		return nil, err
	}
	attempts := make([]webhooks.Attempt, 0, len(reported))
	for _, r := range reported {
		took := time.Duration(r.DurationMS) * time.Millisecond
		if r.Status == 0 && r.Error == "" {
			r.Error = "there was no answer"
		}
		attempts = append(attempts, webhooks.Attempt{
			Account: c.account, EventID: r.EventID, WebhookID: w.ID, Number: r.Attempt,
			Began: a.Core.Now().Add(-took), Took: took, Status: r.Status, Error: r.Error, Answer: r.Answer,
		})
	}
	settled, err := a.Core.Webhooks.Complete(c.Context(), attempts)
	return map[string]int{"settled": settled}, err
}

// attempts reads the attempts that a client reports.
func (f form) attempts() (reported []reportedAttempt, err error) {
	v, err := f.one("attempts")
	if err != nil {
		return nil, err
	}
	if v == nil {
		return nil, missing("attempts", "a list of the results of claimed deliveries")
	}
	if err := json.Unmarshal([]byte(v.value()), &reported); err != nil {
		return nil, invalid(`attempts must be a list such as [{"event_id":"...","attempt":1,` +
			`"status":200,"duration_ms":12}].`)
	}
	if len(reported) > webhooks.ClaimAtOnce {
		return nil, invalid("attempts must be at most %d at once.", webhooks.ClaimAtOnce)
	}
	for _, r := range reported {
		if err := r.check(); err != nil {
			return nil, err
		}
	}
	return reported, nil
}
