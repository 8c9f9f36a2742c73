package outbound

import (
	"fmt"
	"net/http"
	"testing"
	"time"
)

// TestStale: a stale answer is used within the time that its headers permit, after the errors that they permit.
func TestStale(t *testing.T) {
	t.Parallel()
	reached, refused := &Error{Cause: CauseStatus, Status: 503}, &Error{Cause: CauseStatus, Status: 404}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for control, want := range map[string]struct{ unreachable, errors time.Duration }{
		"":                               {24 * time.Hour, 0},
		"max-age=7200":                   {24 * time.Hour, 0},
		"max-age=7200, stale-if-error=9": {9 * time.Second, 9 * time.Second},
		"stale-if-error=999999999":       {24 * time.Hour, 24 * time.Hour},
		// The host counts from its own 60 seconds, and not from the hour that is the least here.
		"max-age=60, stale-if-error=3600":         {time.Minute, time.Minute},
		"max-age=60, stale-if-error=60":           {0, 0},
		"stale-if-error=-1":                       {24 * time.Hour, 0},
		`max-age=7200, Stale-If-Error="5"`:        {5 * time.Second, 5 * time.Second},
		"s-maxage=7200, stale-if-error=9":         {0, 0},
		"must-revalidate, stale-if-error=9":       {0, 0},
		"proxy-revalidate":                        {0, 0},
		"no-cache, stale-if-error=9":              {0, 0},
		"private, max-age=7200, stale-if-error=9": {0, 0},
		"no-store, stale-if-error=9":              {0, 0},
	} {
		c := CachingOf(http.Header{"Cache-Control": {control}}, now)
		for _, cause := range []Cause{CauseConnection, CauseName, CauseTime} {
			wantStale(t, control, c, &Error{Cause: cause}, want.unreachable)
		}
		wantStale(t, control, c, reached, want.errors)
		wantStale(t, control, c, fmt.Errorf("wrapped: %w", reached), want.errors)
		for _, err := range []error{refused, &Error{Cause: CauseRedirect}, &Error{Cause: CauseAddress}, ErrTooLarge} {
			wantStale(t, control, c, err, 0)
		}
	}
	if Refuses(reached) || !Refuses(refused) || Refuses(&Error{Cause: CauseTime}) || Refuses(ErrTooLarge) {
		t.Error("another error is taken for a refusal")
	}
}

func wantStale(t *testing.T, control string, c Caching, err error, want time.Duration) {
	t.Helper()
	for stale, usable := range map[time.Duration]bool{want - 1: want > 0, want: false, want + 1: false} {
		if got := c.UsableAfter(err, max(stale, 0)); got != usable {
			t.Errorf("%q, %v after %v: %v", control, err, stale, got)
		}
	}
}
