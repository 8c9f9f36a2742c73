package cfapi

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"calotype/internal/errs"
)

// TestRefusals: every kind has a wire form.
func TestRefusals(t *testing.T) {
	t.Parallel()
	if len(refusals) != int(errs.KindCount) {
		t.Fatalf("the table holds %d kinds, the core has %d", len(refusals), errs.KindCount)
	}
	for k := range errs.KindCount {
		w := refusals[k]
		if w.status < 400 || w.status > 599 || w.code < 1000 || w.code > 99999 {
			t.Errorf("kind %v: %+v", k, w)
		}
		e := Refusal(fmt.Errorf("doing it: %w", errs.Errorf(k, "why")))
		if e.Status != w.status || e.Code != w.code || (e.Message == "why") == (k == errs.Internal) {
			t.Errorf("kind %v: %+v", k, e)
		}
		if e := Refusal(&errs.Error{Kind: k}); e.Message == "" {
			t.Errorf("kind %v without a message says nothing", k)
		}
		again := []errs.Kind{errs.Internal, errs.TicketBusy, errs.PartialBusy, errs.TooSlow,
			errs.Aborted, errs.RateLimited, errs.Busy}
		if slices.Contains(again, k) == w.final {
			t.Errorf("kind %v: final %v", k, w.final)
		}
	}
	if e := Refusal(errors.New("CANARY")); e.Status != 500 || e.Message != "Internal Server Error" {
		t.Errorf("an internal error shows its cause: %+v", e)
	}
}
