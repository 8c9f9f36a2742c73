package cfapi

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"calotype/internal/images"
)

func TestReceipt(t *testing.T) {
	t.Parallel()
	began := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	r := images.Receipt{Key: "k", Began: began, Mark: began, Images: 5, OriginalsDue: 2}
	receiptAt := func(now time.Time) string {
		b, err := json.Marshal(NewReceipt(r, now))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if text := receiptAt(began); !strings.Contains(text, `"complete":false`) ||
		!strings.Contains(text, `"ended":null`) || !strings.Contains(text, `"due":[]`) {
		t.Errorf("before its end: %s", text)
	}
	r.Ended = began.Add(time.Minute)
	text := receiptAt(r.Ended)
	for _, want := range []string{
		`"complete":true`, `"originals":3`, `"count":2`, "copies of the rows in SQLite's files",
		"other nodes", "uploads in flight", `"by":"2026-11-25T13:01:00.000Z"`,
		`"by":"2026-11-25T13:00:00.000Z"`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
	r.OriginalsDue, r.Scrubbed = 0, true
	if text := receiptAt(r.Ended.Add(dueTime)); !strings.Contains(text, `"due":[]`) {
		t.Errorf("an hour later: %s", text)
	}
}
