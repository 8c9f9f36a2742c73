package api

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"calotype/internal/images/imagestest"
)

const (
	history   = alerting + "history"
	replaying = alerting + "replay"
)

func (f *fixture) history(query string) []historyEntry {
	f.t.Helper()
	return result[[]historyEntry](f.t, f.ask("GET", history+query, "", ""))
}

func TestHistory(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		to := newReceiver(t)
		hook, signing := f.hook(to, `, "secret": "s3cret"`)
		policy := f.policy(hook)
		f.want(f.json("PUT", policies+"/"+policy, `{"description": "of users"}`), 200, 0)
		to.status.Store(500)
		draft := f.draft("creator", "ann")
		f.upload(draft, "a.jpg", imagestest.JPEG(t, 1))
		f.run()
		f.eventually("the first attempt", func() bool { return len(f.history("")) == 1 })
		failed := f.history("")[0]
		if failed.Status != 500 || failed.Answer != "the receiver's answer" || failed.Attempt != 1 ||
			failed.Outcome != "pending" || failed.NextAttempt == nil || failed.Mechanism != hook ||
			failed.MechanismType != "webhook" || failed.Name != "uploads" || failed.PolicyID != policy ||
			failed.Description != "of users" || failed.Destination != "backend" ||
			failed.AlertType != "image_notification" || failed.Event != "image.upload.succeeded" ||
			failed.ID != fmt.Sprintf("%s.%s.1", failed.EventID, hook) {
			t.Errorf("the failure: %+v", failed)
		}
		if sent := to.last(t); failed.AlertBody != sent.body || sent.verify(signing) != nil ||
			!strings.Contains(sent.body, draft.ID) {
			t.Errorf("posted %s\nshown %s", sent.body, failed.AlertBody)
		}
		// What is to be sent within a minute anyway is left to that.
		replay := func() string {
			return compactResult(t, f.json("POST", replaying, `{"event_id": "`+failed.EventID+`"}`))
		}
		if got := replay(); got != `{"replayed":0}` {
			t.Errorf("replay of what is due: %s", got)
		}
		to.status.Store(0)
		later := time.Now().Add(10 * time.Second)
		f.now.at.Store(&later)
		delivered := func(attempts int) func() bool {
			return func() bool {
				all := f.history("")
				return len(all) == attempts && all[0].Outcome == "delivered"
			}
		}
		f.eventually("the delivery", delivered(2))
		if got := replay(); got != `{"replayed":1}` {
			t.Errorf("replay: %s", got)
		}
		f.eventually("the delivery again", delivered(3))
		all := f.history("")
		for i, h := range all {
			if h.Attempt != 3-i || h.EventID != failed.EventID || h.NextAttempt != nil ||
				i < 2 && h.Status != 204 {
				t.Errorf("after the replay: %+v", h)
			}
		}
		f.pagesOfHistory(all)
		for _, body := range []string{f.ask("GET", history, "", "").body, f.log.String()} {
			if strings.Contains(body, "s3cret") || strings.Contains(body, signing[6:]) {
				t.Errorf("the history holds a secret: %s", body)
			}
		}
	})
}

// pagesOfHistory asks for the three entries in parts.
func (f *fixture) pagesOfHistory(all []historyEntry) {
	f.t.Helper()
	r := f.ask("GET", history+"?per_page=1&page=2", "", "")
	var whole struct {
		Info pageInfo `json:"result_info"`
	}
	if err := json.Unmarshal([]byte(r.body), &whole); err != nil {
		f.t.Fatal(err)
	}
	if got := result[[]historyEntry](f.t, r); len(got) != 1 || got[0].ID != all[1].ID ||
		whole.Info != (pageInfo{2, 1, 1, 3}) {
		f.t.Errorf("the second page: %+v, %+v", got, whole.Info)
	}
	hour := func(n int) string {
		return url.QueryEscape(time.Now().Add(time.Duration(n) * time.Hour).Format(time.RFC3339))
	}
	for query, want := range map[string]int{
		"?since=" + hour(-1): 3, "?since=" + hour(1): 0, "?before=" + hour(-1): 0,
		"?before=" + hour(1) + "&since=" + hour(-1): 3, "?webhook_id=" + all[0].Mechanism: 3,
		"?webhook_id=other": 0, "?page=4&per_page=1": 0,
	} {
		if got := len(f.history(query)); got != want {
			f.t.Errorf("%s: %d entries, want %d", query, got, want)
		}
	}
	for query, word := range map[string]string{
		"?page=0": "page must", "?per_page=1001": "per_page must", "?page=x": "page must",
		"?since=yesterday": "since must", "?before=2026-11-25": "before must",
		"?page=100000&per_page=1000": "before", "?webhook_id=%00": "webhook_id must",
		"?page=1&page=2": "twice",
	} {
		f.refused(f.ask("GET", history+query, "", ""), 400, 5400, word)
	}
}

func TestReplay(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		to := newReceiver(t)
		hook, _ := f.hook(to, "")
		f.policy(hook)
		for i := range 3 {
			f.upload(f.draft(), "a.jpg", imagestest.JPEG(t, i))
		}
		f.run()
		f.eventually("all events", func() bool { return len(f.history("")) == 3 })
		for body, want := range map[string]int{
			`{"failed": true}`: 0, `{"webhook_id": "other"}`: 0, `{"event_id": "evt_other"}`: 0,
			`{"event_id": "\u0000"}`: 0, `{"from": "2100-01-01T00:00:00Z"}`: 0,
			`{"to": "2000-01-01T00:00:00Z"}`:                               0,
			`{"webhook_id": "` + hook + `", "to": "2000-01-01T00:00:00Z"}`: 0,
		} {
			if got := result[map[string]int](t, f.json("POST", replaying, body)); got["replayed"] != want {
				t.Errorf("%s: %v", body, got)
			}
		}
		got := result[map[string]int](t, f.ask("POST", replaying, urlencoded,
			"from=2000-01-01T00:00:00Z&to=2100-01-01T00:00:00Z&webhook_id="+hook))
		if got["replayed"] != 3 {
			t.Errorf("replayed %v", got)
		}
		f.eventually("all again", func() bool { return len(to.all()) == 1+6 })
		ids := map[string]int{}
		for _, m := range to.all()[1:] {
			ids[m.header.Get("webhook-id")]++
		}
		if len(ids) != 3 {
			t.Errorf("the ids of what came twice: %v", ids)
		}
		for body, word := range map[string]string{
			`{}`: "Say what", `{"failed": false}`: "Say what", `{"event_id": ""}`: "Say what",
			`{"from": "now"}`: "from must", `{"failed": 2}`: "failed must",
			`{"event_id": 5}`: "event_id must",
		} {
			f.refused(f.json("POST", replaying, body), 400, 5400, word)
		}
	})
}
