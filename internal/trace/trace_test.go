package trace

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"testing"
	"time"
)

// TestOffCostsNothing: without a Tracer nothing is allocated, and the request and its context stay the same.
func TestOffCostsNothing(t *testing.T) {
	var tracer *Tracer
	r := httptest.NewRequest("GET", "/", nil)
	ctx, began := r.Context(), time.Now()
	allocations := testing.AllocsPerRun(100, func() {
		same, root := tracer.Serve(r, "request", began, true)
		below, span := Start(same.Context(), "work")
		Record(below, "part", began, context.Canceled)
		_, sent := tracer.Send(below, "webhook", r.Header)
		sent.Set()
		span.End(nil)
		root.Name("other")
		if same != r || below != ctx || Carry(ctx, below) != ctx || root.Recording() || root.Attrs(nil) != nil {
			t.Error("something was traced")
		}
		root.End(nil)
	})
	if allocations != 0 {
		t.Errorf("%v allocations", allocations)
	}
	(*Span)(nil).Set(slog.Int("n", 1))
}
