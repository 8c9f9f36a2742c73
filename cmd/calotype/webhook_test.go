package main

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"calotype/internal/webhooks"
)

func TestPastDay(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"2026-01-31": "2026-01-31T00:00:00Z", "2026-01-31T12:00:00+01:00": "2026-01-31T11:00:00Z",
	} {
		var p pastDay
		if err := p.UnmarshalText([]byte(text)); err != nil || p.UTC().Format(time.RFC3339) != want {
			t.Errorf("%s is %v, %v", text, p, err)
		}
	}
	var p pastDay
	if err := p.UnmarshalText([]byte("90m")); err != nil || time.Since(p.Time) < 90*time.Minute ||
		time.Since(p.Time) > 2*time.Hour {
		t.Errorf("90m is %v, %v", p, err)
	}
	for _, text := range []string{"", "yesterday", "-1h", "31.1.2026", "1738000000"} {
		if err := p.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), "24h") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestHistoryLine: what clients and receivers say does nothing to the operator's terminal.
func TestHistoryLine(t *testing.T) {
	t.Parallel()
	const bad = "\x1b]0;title\a\u009b2J\r\u202e"
	for _, a := range []webhooks.Attempt{{Error: bad}, {Status: 500, Answer: bad}} {
		e := webhooks.HistoryEntry{Attempt: a}
		e.Delivery.Event.Facts.ID, e.Delivery.Webhook.Name = bad, bad
		line := historyLine(e)
		if !strings.Contains(line, "title") ||
			strings.ContainsFunc(line, func(r rune) bool { return !strconv.IsPrint(r) }) {
			t.Errorf("%+v is shown as %q", a, line)
		}
	}
}

// TestHistoryOfOneEvent: what follows stands at the newest attempt only.
func TestHistoryOfOneEvent(t *testing.T) {
	t.Parallel()
	next := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		entry webhooks.HistoryEntry
		want  string
	}{
		{webhooks.HistoryEntry{Attempt: webhooks.Attempt{Number: 1, Status: 500, Answer: "x"},
			Outcome: "delivered", Attempts: 2}, `attempt 1: status 500 "x" (0s)`},
		{webhooks.HistoryEntry{Attempt: webhooks.Attempt{Number: 2, Status: 204},
			Outcome: "delivered", Attempts: 2}, `attempt 2: status 204 (0s); delivered`},
		{webhooks.HistoryEntry{Attempt: webhooks.Attempt{Number: 2, Status: 500},
			Outcome: "pending", Attempts: 2, Next: next},
			`attempt 2: status 500 (0s); next 2026-11-25T12:00:00Z`},
		{webhooks.HistoryEntry{Attempt: webhooks.Attempt{Number: 8, Error: "it is away"},
			Outcome: "failed", Attempts: 8}, `attempt 8: it is away (0s); failed`},
	} {
		if got := historyLine(test.entry); !strings.HasSuffix(got, test.want) {
			t.Errorf("got %q, want %q at the end", got, test.want)
		}
	}
}
