package delivery_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"calotype/internal/delivery"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/purges"
)

// TestALateAnswerIsNotStored: an answer that took long may come after the last purge of the image, so a cache must not
// store it.
func TestALateAnswerIsNotStored(t *testing.T) {
	t.Parallel()
	core := imagestest.New(t)
	account, err := core.Accounts.ByID(t.Context(), imagestest.AccountID)
	if err != nil {
		t.Fatal(err)
	}
	img := imagestest.Upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1))
	var step, calls atomic.Int64 // the clock advances by step at each call
	server := httptest.NewServer(delivery.New(delivery.Config{
		Renditions: core.Renditions, Log: slog.New(slog.DiscardHandler), URL: "http://images.example.com",
		Now: func() time.Time { return now.Add(time.Duration(step.Load() * calls.Add(1))) },
	}))
	defer server.Close()
	for took, want := range map[time.Duration]string{
		purges.RepeatAfter / 2:                    "public, max-age=",
		purges.RepeatAfter/2 + time.Millisecond:   "no-store",
		purges.RepeatAfter + 100*time.Millisecond: "no-store",
	} {
		step.Store(int64(took))
		response, err := http.Get(server.URL + "/" + account.Hash + "/" + img.ID + "/public")
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if got := response.Header.Get("Cache-Control"); response.StatusCode != http.StatusOK || !strings.HasPrefix(got, want) {
			t.Errorf("an answer after %s: status %d, %q, want %s", took, response.StatusCode, got, want)
		}
	}
}
