package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"calotype/internal/images/imagestest"
)

const streams = alerting + "streams"

type claimed struct{ Deliveries []claimedDelivery }

func (f *fixture) claim(name, body string) []claimedDelivery {
	f.t.Helper()
	return result[claimed](f.t, f.json("POST", streams+"/"+name+"/claim", body)).Deliveries
}

func (f *fixture) settle(name string, attempts ...reportedAttempt) int {
	f.t.Helper()
	body, err := json.Marshal(map[string]any{"attempts": attempts})
	if err != nil {
		f.t.Fatal(err)
	}
	r := f.json("POST", streams+"/"+name+"/attempts", string(body))
	return result[map[string]int](f.t, r)["settled"]
}

func TestStreams(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		path := streams + "/ann%20%2F%20laptop"
		opened := result[eventStream](t, f.ask("PUT", path, "", ""))
		if opened.Name != "ann / laptop" || len(opened.Events) != 5 ||
			!strings.HasPrefix(opened.SigningSecret, "whsec_") {
			t.Errorf("opened %+v", opened)
		}
		again := result[eventStream](t, f.json("PUT", path, `{"events": ["image.upload.succeeded"]}`))
		if again.ID != opened.ID || again.SigningSecret != opened.SigningSecret ||
			len(again.Events) != 1 {
			t.Errorf("opened again %+v", again)
		}
		all := result[[]eventStream](t, f.ask("GET", streams, "", ""))
		if len(all) != 1 || all[0].ID != opened.ID || all[0].SigningSecret != "" {
			t.Errorf("there are %+v", all)
		}
		// The other routes do not find it.
		for _, r := range []reply{
			f.ask("GET", hooks+"/"+opened.ID, "", ""), f.ask("DELETE", hooks+"/"+opened.ID, "", ""),
			f.ask("POST", hooks+"/"+opened.ID+"/test", "", ""),
			f.ask("POST", hooks+"/"+opened.ID+"/signing_secret", "", ""),
			f.json("PUT", hooks+"/"+opened.ID, `{"name": "x"}`),
		} {
			f.want(r, 404, 5404)
		}
		f.refused(f.json("PUT", streams+"/"+strings.Repeat("x", 101), ""), 400, 5400, "100")
		f.refused(f.json("PUT", path, `{"events": ["image.eaten"]}`), 400, 5400, "image.eaten")
		f.want(f.ask("PUT", streams+"/"+strings.Repeat("x", 100), "", ""), 200, 0)
		f.want(f.ask("DELETE", path, "", ""), 200, 0)
		f.refused(f.json("POST", path+"/claim", "{}"), 404, 5404, "open it first")
		f.want(f.ask("DELETE", path, "", ""), 404, 5404)
	})
}

func TestAStreamIsClaimedAndSettled(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		opened := result[eventStream](t, f.ask("PUT", streams+"/dev", "", ""))
		if got := f.claim("dev", ""); len(got) != 0 {
			t.Errorf("at first there are %+v", got)
		}
		draft := f.draft()
		f.upload(draft, "a.jpg", imagestest.JPEG(t, 1))
		f.upload(f.draft(), "b.jpg", imagestest.JPEG(t, 2))
		one := f.claim("dev", `{"limit": 1, "wait": 5}`)
		if len(one) != 1 || one[0].Attempt != 1 {
			t.Fatalf("claimed %+v", one)
		}
		m := received{http.Header{}, one[0].Body}
		for name, value := range one[0].Headers {
			m.header.Set(name, value)
		}
		if err := m.verify(opened.SigningSecret); err != nil ||
			one[0].Headers["webhook-id"] != one[0].EventID ||
			one[0].Headers["content-type"] != "application/json" {
			t.Errorf("%v: %+v", err, one[0])
		}
		two := f.claim("dev", `{"wait": 0}`)
		if len(two) != 1 || two[0].EventID == one[0].EventID {
			t.Fatalf("claimed next %+v", two)
		}
		// What is not answered for comes again when its lease ends, and the late answer changes nothing.
		if n := f.settle("dev", reportedAttempt{EventID: one[0].EventID, Attempt: 1, Status: 200,
			DurationMS: 12, Answer: "thanks"}); n != 1 {
			t.Errorf("settled %d", n)
		}
		later := time.Now().Add(2 * time.Minute)
		f.now.at.Store(&later)
		back := f.claim("dev", "{}")
		if len(back) != 1 || back[0].EventID != two[0].EventID || back[0].Attempt != 2 {
			t.Fatalf("after the lease: %+v", back)
		}
		if n := f.settle("dev",
			reportedAttempt{EventID: two[0].EventID, Attempt: 1, Status: 200},            // late
			reportedAttempt{EventID: two[0].EventID, Attempt: 3, Status: 200},            // never claimed
			reportedAttempt{EventID: one[0].EventID, Attempt: 1, Status: 200},            // twice
			reportedAttempt{EventID: "evt_of_nobody", Attempt: 1, Status: 200}); n != 0 { // none
			t.Errorf("settled %d of what is not to be", n)
		}
		if n := f.settle("dev", reportedAttempt{EventID: two[0].EventID, Attempt: 2,
			Error: "connection refused"}); n != 1 {
			t.Errorf("settled %d", n)
		}
		var seen []string
		for _, h := range f.history("?webhook_id=" + opened.ID) {
			seen = append(seen, fmt.Sprintf("%d %d %q %s", h.Attempt, h.Status, h.Error, h.Outcome))
		}
		want := `2 0 "connection refused" pending; 1 200 "" pending; 1 200 "" delivered`
		if got := strings.Join(seen, "; "); got != want {
			t.Errorf("the history is\n%s\nwant\n%s", got, want)
		}
	})
}

func TestReportsAreRefused(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		f.want(f.ask("PUT", streams+"/dev", "", ""), 200, 0)
		many := strings.TrimSuffix(strings.Repeat(`{"event_id": "e", "attempt": 1},`, 65), ",")
		for attempts, word := range map[string]string{
			"5": "attempts must be a list", `[5]`: "attempts must be a list", "[" + many + "]": "at most 64",
			"null": "`attempts`", `[{"attempt": 1}]`: "event_id must",
			`[{"event_id": "a\u0000", "attempt": 1}]`:                    "event_id must",
			`[{"event_id": "evt_a"}]`:                                    "attempt must",
			`[{"event_id": "evt_a", "attempt": 1, "status": 1000}]`:      "status must",
			`[{"event_id": "evt_a", "attempt": 1, "status": -1}]`:        "status must",
			`[{"event_id": "evt_a", "attempt": 1, "duration_ms": -1}]`:   "duration_ms must",
			`[{"event_id": "evt_a", "attempt": 99999999999999999999}]`:   "attempts must be a list",
			`[{"event_id": "evt_a", "attempt": 1, "duration_ms": 1e18}]`: "must",
		} {
			f.refused(f.json("POST", streams+"/dev/attempts", `{"attempts": `+attempts+`}`), 400, 5400, word)
		}
		for _, body := range []string{`{"wait": 51}`, `{"wait": -1}`, `{"limit": 65}`, `{"limit": 0}`,
			`{"limit": "x"}`} {
			f.refused(f.json("POST", streams+"/dev/claim", body), 400, 5400, "must be a whole number")
		}
		// Text that a receiver answered may be anything.
		n := f.settle("dev", reportedAttempt{EventID: "evt_a", Attempt: 1, Answer: "\x00\xff"})
		if n != 0 {
			t.Errorf("settled %d", n)
		}
	})
}

// TestAClaimThatWaits is answered when something comes, and when the server ends.
func TestAClaimThatWaits(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		f.want(f.ask("PUT", streams+"/dev", "", ""), 200, 0)
		stop := f.run()
		asked := func() chan []claimedDelivery {
			answered := make(chan []claimedDelivery)
			other := *f
			go func() { answered <- other.claim("dev", `{"wait": 50}`) }()
			return answered
		}
		first := asked()
		draft := f.draft()
		f.upload(draft, "a.jpg", imagestest.JPEG(t, 1))
		if got := <-first; len(got) != 1 || !strings.Contains(got[0].Body, draft.ID) {
			t.Errorf("claimed %+v", got)
		}
		second := asked()
		f.eventually("the wait", func() bool { return f.notifier.Waiting() == 1 })
		stop() // notify.TestAClaimEndsWithRun shows that the claim does not wait longer
		if got := <-second; len(got) != 0 {
			t.Errorf("at the end: %+v", got)
		}
		busy := f.json("POST", streams+"/dev/claim", `{"wait": 50}`)
		f.want(busy, 503, 5503)
		if busy.header.Get("Retry-After") == "" {
			t.Error("without Retry-After")
		}
	})
}
