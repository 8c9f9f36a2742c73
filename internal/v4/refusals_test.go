package v4

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"calotype/internal/images"
)

// TestRefusals walks the kinds: every one has its wire form.
func TestRefusals(t *testing.T) {
	t.Parallel()
	kinds := images.Kinds()
	if len(refusals) != len(kinds) {
		t.Fatalf("the table holds %d kinds, the core has %d", len(refusals), len(kinds))
	}
	for _, k := range kinds {
		w := refusals[k]
		if w.status < 400 || w.status > 599 || w.code < 1000 || w.code > 99999 {
			t.Errorf("kind %v: %+v", k, w)
		}
		e := Refusal(fmt.Errorf("doing it: %w", images.Errorf(k, "why")))
		if e.Status != w.status || e.Code != w.code || (e.Message == "why") == (k == images.Internal) {
			t.Errorf("kind %v: %+v", k, e)
		}
		if e := Refusal(&images.Error{Kind: k}); e.Message == "" {
			t.Errorf("kind %v without a message says nothing", k)
		}
		again := []images.Kind{images.Internal, images.TicketCrowded, images.TooSlow,
			images.Aborted, images.Busy, images.RateReached}
		if slices.Contains(again, k) == w.final {
			t.Errorf("kind %v: final %v", k, w.final)
		}
	}
	if e := Refusal(errors.New("CANARY")); e.Status != 500 || e.Message != "Internal Server Error" {
		t.Errorf("the unforeseen is told: %+v", e)
	}
}
