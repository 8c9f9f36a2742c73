package api

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"calotype/internal/cfapi"
	"calotype/internal/images"
	"calotype/internal/notify"
	"calotype/internal/text"
	"calotype/internal/webhooks"
)

const (
	historyPage = 25      // default entries of a page
	historySkip = 100_000 // maximal number of skipped entries
)

// historyEntry is one attempt in an answer: Cloudflare's fields, and ours.
type historyEntry struct {
	ID            string `json:"id"`
	AlertBody     string `json:"alert_body"` // the JSON that was posted
	AlertType     string `json:"alert_type"`
	Description   string `json:"description"` // of the policy
	Mechanism     string `json:"mechanism"`   // id of the webhook or stream
	MechanismType string `json:"mechanism_type"`
	Name          string `json:"name"` // of the policy or stream
	PolicyID      string `json:"policy_id"`
	Sent          string `json:"sent"`

	EventID     string             `json:"event_id"`
	Event       webhooks.EventType `json:"event"`
	Destination string             `json:"destination"` // name of the webhook or stream
	Attempt     int                `json:"attempt"`
	Status      int                `json:"status"` // 0: no answer
	Error       string             `json:"error"`
	DurationMS  int64              `json:"duration_ms"`
	Answer      string             `json:"answer"`
	Outcome     string             `json:"outcome"`
	NextAttempt *string            `json:"next_attempt"`
}

func (a *api) newHistoryEntry(
	h webhooks.HistoryEntry, descriptions map[string]string,
) (historyEntry, error) {
	at, d := h.Attempt, h.Delivery
	body, err := a.Notifier.Body(d)
	if err != nil {
		return historyEntry{}, err
	}
	name := d.PolicyName
	if name == "" {
		name = d.Webhook.Name
	}
	return historyEntry{
		ID:        fmt.Sprintf("%s.%s.%d", at.EventID, at.WebhookID, at.Number),
		AlertBody: string(body), AlertType: notify.AlertType,
		Description: descriptions[d.PolicyID], Mechanism: at.WebhookID,
		MechanismType: webhookMechanism, Name: name, PolicyID: d.PolicyID,
		Sent: cfapi.FormatTime(at.Began), EventID: at.EventID, Event: d.Event.Type,
		Destination: d.Webhook.Name, Attempt: at.Number, Status: at.Status, Error: at.Error,
		DurationMS: at.Took.Milliseconds(), Answer: at.Answer, Outcome: h.Outcome,
		NextAttempt: optionalTime(h.Next),
	}, nil
}

// listHistory answers with a page of attempts, the newest first.
func (a *api) listHistory(c *call) (any, error) {
	query, page, err := historyQuery(c.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	policies, err := a.Core.Webhooks.Policies(c.Context(), c.account)
	if err != nil {
		return nil, err
	}
	descriptions := map[string]string{}
	for _, p := range policies {
		descriptions[p.ID] = p.Description
	}
	p, err := openPage[webhooks.HistoryEntry](c.Context(), a, c.account, a.bounds.numbered,
		int64(query.Most), maxEventRow, eventRow)
	if err != nil {
		return nil, err
	}
	defer p.close()
	entry := func(h webhooks.HistoryEntry) (any, error) { return a.newHistoryEntry(h, descriptions) }
	query.Fits = func(h webhooks.HistoryEntry) bool {
		value, err := entry(h)
		p.err = errors.Join(p.err, err)
		return p.add(h, value, 0, heldByEvent(h.Delivery.Event)+int64(len(h.Attempt.Answer)))
	}
	_, total, err := a.Core.Webhooks.History(c.Context(), c.account, query)
	switch {
	case err != nil || p.err != nil:
		return nil, errors.Join(err, p.err)
	case p.full:
		return nil, p.tooMuch(", or for a time by since and before")
	}
	return p.answer(cfapi.WithInfo{
		Result: cfapi.ItemsHere{}, Info: pageInfo{page, query.Most, len(p.rows), total},
	}, entry), nil
}

const (
	// maxEventRow is an upper bound of an event's memory: the names of 100 variants, the image's text and
	// the receiver's answer.
	maxEventRow = 32 << 10
	// eventRow is the memory of an event without its text.
	eventRow = 6 << 10
)

// heldByEvent estimates the memory of an event, in bytes.
func heldByEvent(e webhooks.Event) int64 {
	n := heldBy(images.ImageOf(e)) + eventRow - imageRow
	for _, name := range e.Facts.Variants {
		n += int64(len(name))
	}
	return n
}

// historyQuery reads the parameters of the history; page is the number of the page.
func historyQuery(raw string) (q webhooks.HistoryQuery, page int, err error) {
	values, err := listParameters(raw, "page", "per_page", "since", "before", "webhook_id")
	if err != nil {
		return q, 0, err
	}
	if q.Most, err = values.number("per_page", historyPage, webhooks.MaxHistory); err != nil {
		return q, 0, err
	}
	if page, err = values.number("page", 1, historySkip); err != nil {
		return q, 0, err
	}
	if q.Skip = (page - 1) * q.Most; q.Skip > historySkip {
		return q, 0, invalid("page: pages may lie behind at most %d entries. Ask for what is older by "+
			"before.", historySkip)
	}
	set(&q.Since, values.time, "since", &err)
	set(&q.Before, values.time, "before", &err)
	q.Webhook = values.Get("webhook_id")
	return q, page, err
}

// number returns a parameter from 1 to most.
func (p parameters) number(name string, otherwise, most int) (int, error) {
	given := p.Get(name)
	if given == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text.WholeNumber(given))
	if err != nil || n < 1 || n > most {
		return 0, invalid("%s must be a number from 1 to %d.", name, most)
	}
	return n, nil
}

// time returns a parameter that is a time; zero if absent.
func (p parameters) time(name string) (time.Time, error) {
	text := p.Get(name)
	if text == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, invalid("%s must be a time as in RFC 3339, such as 2030-01-31T15:04:05Z (in a query "+
			"a plus sign is %%2B).", name)
	}
	return t, nil
}

// replay sends deliveries again that match all of the fields.
func (a *api) replay(c *call) (any, error) {
	query, err := readForm(c, replayQuery)
	if err != nil {
		return nil, err
	}
	replayed, more, err := a.Core.Webhooks.LimitedReplay(c.Context(), c.account, query)
	return replayResult{replayed, more}, err
}

// A replayResult is the result of a replay.
type replayResult struct {
	Replayed int  `json:"replayed"`
	More     bool `json:"more,omitempty"` // deliveries are left for a later replay
}

func replayQuery(f form) (q webhooks.ReplayQuery, err error) {
	var event, webhook *string
	var from, to *time.Time
	set(&event, f.text, "event_id", &err)
	set(&webhook, f.text, "webhook_id", &err)
	set(&from, f.time, "from", &err)
	set(&to, f.time, "to", &err)
	set(&q.Failed, f.flag, "failed", &err)
	if err == nil && event == nil && webhook == nil && from == nil && to == nil && !q.Failed {
		err = invalid("Say what to replay: event_id, webhook_id, from, to, or \"failed\": true. " +
			"What fits all that is given is sent again.")
	}
	q.Event, q.Webhook = deref(event), deref(webhook)
	q.From, q.To = deref(from), deref(to)
	return q, err
}

// deref returns the zero value for nil.
func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
