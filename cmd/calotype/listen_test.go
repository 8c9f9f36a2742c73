package main

import (
	"errors"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"calotype/internal/images"
)

// TestStreamName: the same machine and URL have the same name, others have others, and no name holds
// what may be secret or is longer than streams' names may be.
func TestStreamName(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	plain := regexp.MustCompile(`^[A-Za-z0-9.-]{1,100}$`)
	for _, to := range []string{
		"http://localhost:3000/hook", "http://localhost:3000/hook/", "http://localhost:3001/hook",
		"https://localhost:3000/hook", "http://localhost:3000/hook?key=canary",
		"http://user:canary@localhost:3000/hook", "http://[::1]:3000/", "http://x/" +
			strings.Repeat("a", 200), "http://x/" + strings.Repeat("a", 201), "http://x/%2e%2f/ä",
	} {
		u, err := url.Parse(to)
		if err != nil {
			t.Fatal(err)
		}
		for _, host := range []string{"laptop", "Ann's laptop"} {
			name := streamName(host, u)
			if name != streamName(host, u) || seen[name] || !plain.MatchString(name) ||
				strings.Contains(name, "canary") {
				t.Errorf("%s on %s has the name %q", to, host, name)
			}
			seen[name] = true
		}
	}
}

func TestIsFinal(t *testing.T) {
	t.Parallel()
	for status, final := range map[int]bool{
		301: true, 400: true, 401: true, 403: true, 404: true, 408: false, 429: false, 500: false,
		502: false, 503: false,
	} {
		if isFinal(errors.Join(&apiError{status: status})) != final {
			t.Errorf("status %d: final is not %v", status, final)
		}
	}
	if isFinal(errors.New("connection refused")) {
		t.Error("no connection is final")
	}
}

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

func TestVisible(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"user/7/ä": "user/7/ä", "a\x1b[2J": `"a\x1b[2J"`, "a\nb": `"a\nb"`, "": "",
		`the host "a" was not found`: `the host "a" was not found`, "\u009b2J\u202e": `"\u009b2J\u202e"`,
		"\xff": `"\xff"`,
	} {
		if got := visible(text); got != want {
			t.Errorf("%q is shown as %s", text, got)
		}
	}
}

// TestHistoryLine: what clients and receivers say does nothing to the operator's terminal.
func TestHistoryLine(t *testing.T) {
	t.Parallel()
	const bad = "\x1b]0;title\a\u009b2J\r\u202e"
	for _, a := range []images.Attempt{{Error: bad}, {Status: 500, Answer: bad}} {
		e := images.HistoryEntry{Attempt: a}
		e.Delivery.Event.Image.ID, e.Delivery.Webhook.Name = bad, bad
		line := historyLine(e)
		if !strings.Contains(line, "title") ||
			strings.ContainsFunc(line, func(r rune) bool { return !strconv.IsPrint(r) }) {
			t.Errorf("%+v is shown as %q", a, line)
		}
	}
}
