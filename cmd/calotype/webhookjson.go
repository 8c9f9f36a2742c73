package main

import (
	"time"

	"calotype/internal/terminal"
	"calotype/internal/webhooks"
)

// A webhookItem is the JSON of a webhook or stream. Its URL may hold a secret, so it has the host only.
type webhookItem struct {
	ID          string               `json:"id"`
	Name        string               `json:"name"`
	Host        string               `json:"host"`
	Stream      bool                 `json:"stream"` // of calotype listen
	Events      []webhooks.EventType `json:"events"`
	State       string               `json:"state"` // ok, failing or paused
	Paused      terminal.Time        `json:"paused"`
	PauseReason string               `json:"pauseReason"`
	LastSuccess terminal.Time        `json:"lastSuccess"`
	LastFailure terminal.Time        `json:"lastFailure"`
	Pending     int                  `json:"pending"` // deliveries, counted up to a bound
}

func newWebhookItem(w webhooks.Webhook, pending int) webhookItem {
	item := webhookItem{
		ID: w.ID, Name: w.Name, Host: host(w), Stream: w.Stream, Events: w.Events, State: "ok",
		Paused: terminal.Time(w.Paused), PauseReason: w.PauseReason, LastSuccess: terminal.Time(w.LastSuccess),
		LastFailure: terminal.Time(w.LastFailure), Pending: pending,
	}
	switch {
	case !w.Paused.IsZero():
		item.State = "paused"
	case w.Failing:
		item.State = "failing"
	}
	if item.Events == nil {
		item.Events = []webhooks.EventType{}
	}
	return item
}

// addedWebhook is the JSON of a new webhook, with its secret.
type addedWebhook struct {
	webhookItem
	SigningSecret string `json:"signingSecret"`
}

// An attemptItem is the JSON of an attempt to deliver an event; attempt 0 has not begun.
type attemptItem struct {
	Event        string        `json:"event"` // its id
	Type         string        `json:"type"`
	Image        string        `json:"image"` // its id
	Webhook      string        `json:"webhook"`
	Attempt      int           `json:"attempt"`
	Began        terminal.Time `json:"began"`
	Milliseconds int64         `json:"milliseconds"`
	Status       int           `json:"status"` // 0: there was no answer
	Error        string        `json:"error"`
	Answer       string        `json:"answer"`
	Outcome      string        `json:"outcome"` // of the delivery: pending, delivered or failed
	Next         terminal.Time `json:"next"`    // the next attempt of the delivery
}

func newAttemptItem(e webhooks.HistoryEntry) attemptItem {
	a, d := e.Attempt, e.Delivery
	return attemptItem{
		Event: a.EventID, Type: string(d.Event.Type), Image: d.Event.Facts.ID, Webhook: d.Webhook.Name,
		Attempt: a.Number, Began: terminal.Time(a.Began), Milliseconds: int64(a.Took / time.Millisecond),
		Status: a.Status, Error: a.Error, Answer: a.Answer, Outcome: e.Outcome, Next: terminal.Time(e.Next),
	}
}

// attemptList is the JSON of the history. Total counts the attempts that the filters select.
type attemptList struct {
	Items []attemptItem `json:"items"`
	Total int           `json:"total"`
}
