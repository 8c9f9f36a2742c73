package api

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"calotype/internal/accounts"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/lookalikes"
	"calotype/internal/webhooks"
)

// An attempt is a request with a token of another account for a victim's data: the last part of the path,
// with {id} for the victim's image, and a valid body.
type attempt struct{ path, contentType, body string }

// makes is 1 for an attempt that makes something of the victim's id.
func (a attempt) makes() int {
	if strings.HasPrefix(a.body, "id=") {
		return 1
	}
	return 0
}

// attempts has one for each route. A new route needs a line here.
var attempts = map[string]attempt{
	"POST accounts/{account}/images/v2/direct_upload": {"images/v2/direct_upload", urlencoded, "id={id}"},
	"POST accounts/{account}/images/v1/direct_upload": {"images/v1/direct_upload", urlencoded, "id={id}"},
	"GET accounts/{account}/images/v2":                {"images/v2?per_page=100", "", ""},
	"DELETE accounts/{account}/images/v2":             {"images/v2?creator=" + canary, "", ""},
	"GET accounts/{account}/images/v2/blocked":        {"images/v2/blocked?per_page=100", "", ""},
	"PUT accounts/{account}/images/v2/blocked/{name}": {"images/v2/blocked/" + blockedByVictim, jsonType,
		`{"distance": 1}`},
	"DELETE accounts/{account}/images/v2/blocked/{name}": {"images/v2/blocked/" + blockedByVictim, "", ""},
	"GET accounts/{account}/images/v1":                   {"images/v1?per_page=100", "", ""},
	"POST accounts/{account}/images/v1":                  {"images/v1", urlencoded, "id={id}"},
	"GET accounts/{account}/images/v1/stats":             {"images/v1/stats", "", ""},
	"GET accounts/{account}/images/v1/batch_token":       {"images/v1/batch_token", "", ""},
	"GET accounts/{account}/images/v1/variants":          {"images/v1/variants", "", ""},
	"POST accounts/{account}/images/v1/variants": {"images/v1/variants", jsonType,
		`{"id": "theirs", "options": {"width": 5}}`},
	"GET accounts/{account}/images/v1/variants/{name}": {"images/v1/variants/public", "", ""},
	"PATCH accounts/{account}/images/v1/variants/{name}": {"images/v1/variants/public", jsonType,
		`{"options": {"width": 5}}`},
	"DELETE accounts/{account}/images/v1/variants/{name}": {"images/v1/variants/public", "", ""},
	"GET accounts/{account}/images/v1/config":             {"images/v1/config", "", ""},
	"PATCH accounts/{account}/images/v1/config": {"images/v1/config", jsonType,
		`{"flexible_variants": true}`},
	"GET accounts/{account}/images/v1/keys":           {"images/v1/keys", "", ""},
	"PUT accounts/{account}/images/v1/keys/{name}":    {"images/v1/keys/theirs", "", ""},
	"DELETE accounts/{account}/images/v1/keys/{name}": {"images/v1/keys/default", "", ""},
	"PATCH accounts/{account}/images/v1/{id...}": {"images/v1/{id}", jsonType,
		`{"creator": "me"}`},
	"GET accounts/{account}/images/v1/{id...}/blob": {"images/v1/{id}/blob", "", ""},
	"GET accounts/{account}/images/v1/{id...}":      {"images/v1/{id}", "", ""},
	"DELETE accounts/{account}/images/v1/{id...}":   {"images/v1/{id}", "", ""},
	"GET accounts/{account}/tokens/verify":          {"tokens/verify", "", ""},
	"GET user/tokens/verify":                        {"user/tokens/verify", "", ""},

	"GET accounts/{account}/alerting/v3/destinations/webhooks":                        {"alerting/v3/destinations/webhooks", "", ""},
	"POST accounts/{account}/alerting/v3/destinations/webhooks":                       {"alerting/v3/destinations/webhooks", jsonType, `{"name": "theirs", "url": "http://127.0.0.1:9/"}`},
	"GET accounts/{account}/alerting/v3/destinations/webhooks/{name}":                 {"alerting/v3/destinations/webhooks/{hook}", "", ""},
	"PUT accounts/{account}/alerting/v3/destinations/webhooks/{name}":                 {"alerting/v3/destinations/webhooks/{hook}", jsonType, `{"name": "mine"}`},
	"DELETE accounts/{account}/alerting/v3/destinations/webhooks/{name}":              {"alerting/v3/destinations/webhooks/{hook}", "", ""},
	"POST accounts/{account}/alerting/v3/destinations/webhooks/{name}/test":           {"alerting/v3/destinations/webhooks/{hook}/test", "", ""},
	"POST accounts/{account}/alerting/v3/destinations/webhooks/{name}/signing_secret": {"alerting/v3/destinations/webhooks/{hook}/signing_secret", "", ""},
	"GET accounts/{account}/alerting/v3/destinations/eligible":                        {"alerting/v3/destinations/eligible", "", ""},
	"GET accounts/{account}/alerting/v3/policies":                                     {"alerting/v3/policies", "", ""},
	"POST accounts/{account}/alerting/v3/policies": {"alerting/v3/policies", jsonType, `{"name": "mine", "enabled": true,
		"alert_type": "image_notification", "mechanisms": {"webhooks": [{"id": "{hook}"}]}}`},
	"GET accounts/{account}/alerting/v3/policies/{name}":       {"alerting/v3/policies/{policy}", "", ""},
	"PUT accounts/{account}/alerting/v3/policies/{name}":       {"alerting/v3/policies/{policy}", jsonType, `{"enabled": false}`},
	"DELETE accounts/{account}/alerting/v3/policies/{name}":    {"alerting/v3/policies/{policy}", "", ""},
	"GET accounts/{account}/alerting/v3/available_alerts":      {"alerting/v3/available_alerts", "", ""},
	"GET accounts/{account}/alerting/v3/history":               {"alerting/v3/history?page=1", "", ""},
	"POST accounts/{account}/alerting/v3/replay":               {"alerting/v3/replay", jsonType, `{"webhook_id": "{hook}", "from": "2000-01-01T00:00:00Z"}`},
	"GET accounts/{account}/alerting/v3/streams":               {"alerting/v3/streams", "", ""},
	"PUT accounts/{account}/alerting/v3/streams/{name}":        {"alerting/v3/streams/{stream}", urlencoded, "id={stream}"},
	"DELETE accounts/{account}/alerting/v3/streams/{name}":     {"alerting/v3/streams/{stream}", "", ""},
	"POST accounts/{account}/alerting/v3/streams/{name}/claim": {"alerting/v3/streams/{stream}/claim", jsonType, `{"limit": 5}`},
	"POST accounts/{account}/alerting/v3/streams/{name}/attempts": {"alerting/v3/streams/{stream}/attempts", jsonType, `{"attempts": [
		{"event_id": "{event}", "attempt": 1, "status": 200}]}`},
}

// A victim is an account with things of which each holds a canary.
type victim struct {
	id, hash, token string
	images          []string // ids

	webhook, policy, event string // ids
}

// blockedByVictim is a perceptual hash that the victim blocks.
const blockedByVictim = "00c0ffee00c0ffee"

// victimStream is the name of the victim's stream.
const victimStream = "stream-of-the-victim"

// fill puts what the victim has in the places of an attempt.
func (v victim) fill(text, image string) string {
	return strings.NewReplacer("{id}", image, "{hook}", v.webhook, "{policy}", v.policy,
		"{event}", v.event, "{stream}", victimStream).Replace(text)
}

// listen gives the victim a webhook, its policy and a stream.
func (v *victim) listen(t *testing.T, f *fixture) {
	t.Helper()
	w, err := f.core.Webhooks.Create(t.Context(), v.id, webhooks.WebhookChange{
		Name: ptr(canary), URL: ptr("https://" + canary + ".example/hook"),
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := f.core.Webhooks.CreatePolicy(t.Context(), v.id, webhooks.PolicyChange{
		Name: ptr(canary), Enabled: ptr(true), Webhooks: &[]string{w.ID},
	})
	if err == nil {
		_, err = f.core.Webhooks.OpenStream(t.Context(), v.id, victimStream, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	v.webhook, v.policy = w.ID, p.ID
}

// refuse has the victim's webhook refuse its one event, so that there is a history.
func (v *victim) refuse(t *testing.T, f *fixture) {
	t.Helper()
	claimed, err := f.core.Webhooks.Claim(t.Context(), v.webhook, 1)
	if err != nil || len(claimed) != 1 {
		t.Fatalf("the victim's events: %d, %v", len(claimed), err)
	}
	v.event = claimed[0].Event.ID
	_, err = f.core.Webhooks.Complete(t.Context(), []webhooks.Attempt{{
		Account: v.id, EventID: v.event, WebhookID: v.webhook, Number: 1, Began: f.core.Now(), Status: 500,
	}})
	if err != nil {
		t.Fatal(err)
	}
}

const canary = "CANARY-of-the-victim"

func newVictim(t *testing.T, f *fixture) victim {
	t.Helper()
	account, err := f.core.Accounts.Create(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	v := victim{id: account.ID, hash: account.Hash}
	v.token, err = f.core.Accounts.CreateToken(t.Context(), v.id, accounts.NewToken{
		Name: canary, Scope: accounts.Admin,
	})
	if err != nil {
		t.Fatal(err)
	}
	v.listen(t, f)
	for _, d := range []images.NewDraft{
		{Meta: json.RawMessage(`{"is":"` + canary + `"}`), Creator: ptr(canary)}, {ID: ptr("path/" + canary)},
	} {
		img, ticket, err := f.core.CreateDraft(t.Context(), v.id, d)
		if err != nil {
			t.Fatal(err)
		}
		v.images = append(v.images, img.ID)
		if d.ID != nil {
			continue // stays a draft
		}
		u, err := f.core.BeginUpload(t.Context(), images.UploadRequest{Ticket: ticket, Size: -1})
		if err != nil {
			t.Fatal(err)
		}
		if _, err = u.Write(imagestest.JPEG(t, 7)); err == nil {
			_, err = u.Finish(t.Context(), canary+".jpg")
		}
		u.Close()
		if err != nil {
			t.Fatal(err)
		}
	}
	v.refuse(t, f)
	entry := lookalikes.Entry{Value: blockedByVictim, Distance: 3, Note: canary}
	if _, err := f.core.Blocked.Put(t.Context(), v.id, entry); err != nil {
		t.Fatal(err)
	}
	return v
}

func ptr[T any](v T) *T { return &v }

// state is all that the victim's own token sees, and the account's row.
func (v victim) state(t *testing.T, f *fixture) string {
	t.Helper()
	var all strings.Builder
	paths := []string{"images/v2", "images/v2/blocked", "images/v1/stats", "images/v1/variants", "images/v1/config",
		"images/v1/keys", "alerting/v3/destinations/webhooks", "alerting/v3/policies",
		"alerting/v3/history", "alerting/v3/streams"}
	for _, id := range v.images {
		paths = append(paths, "images/v1/"+id, "images/v1/"+id+"/blob")
	}
	for _, path := range paths {
		r := f.send("GET", Prefix+"accounts/"+v.id+"/"+path, "", "", "Authorization", "Bearer "+v.token)
		fmt.Fprintln(&all, path, r.status, r.body)
	}
	account, err := f.core.Accounts.ByID(t.Context(), v.id)
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := f.core.Accounts.Tokens(t.Context(), v.id)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(&all, account, tokens)
	return all.String()
}

// holds reports whether an answer holds data of the victim.
func (v victim) holds(body string) bool {
	for _, secret := range append([]string{canary, v.id, v.hash, "picture 000007"}, v.images...) {
		if strings.Contains(body, secret) {
			return true
		}
	}
	return false
}

// TestATokenNeverSeesAnotherAccount tries every route with an admin's token of another account: on
// the victim's path, on the own path with the victim's ids, and by the batch API.
func TestATokenNeverSeesAnotherAccount(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		v := newVictim(t, f)
		before := v.state(t, f)
		if strings.Count(before, canary) < 10 || !strings.Contains(before, "picture 000007") {
			t.Fatalf("the victim has nothing to be seen: %s", before)
		}
		batch := batchTokenOf(t, f, testToken)
		unknown := strings.Repeat("0", 32)
		routes := (&api{}).list()
		// What makes things of the same id comes last, or these would be found.
		slices.SortStableFunc(routes, func(a, b route) int {
			return attempts[a.method+" "+a.pattern].makes() - attempts[b.method+" "+b.pattern].makes()
		})
		for _, route := range routes {
			key := route.method + " " + route.pattern
			a, ok := attempts[key]
			if !ok {
				t.Errorf("%s has no line in the table of attempts", key)
				continue
			}
			for _, id := range v.images {
				at := func(base, secret string) reply {
					path, body := base+v.fill(a.path, id), v.fill(a.body, id)
					return f.send(route.method, path, a.contentType, body, "Authorization", "Bearer "+secret)
				}
				base := Prefix + "accounts/" + testAccount + "/"
				if route.ofToken() {
					base = Prefix
				} else {
					theirs := at(Prefix+"accounts/"+v.id+"/", testToken)
					f.want(theirs, 403, 10000)
					if none := at(Prefix+"accounts/"+unknown+"/", testToken); none.body != theirs.body {
						t.Errorf("%s distinguishes an account from a missing one: %s, %s", key, theirs.body, none.body)
					}
				}
				own := at(base, testToken)
				if a.makes() == 0 && (strings.Contains(a.path, "{") && own.status != 404 ||
					v.holds(own.body)) { // else the answer repeats it
					t.Errorf("%s with the victim's id: %d %s", key, own.status, own.body)
				}
				if v.holds(at("/", batch).body) && !strings.HasPrefix(a.body, "id=") {
					t.Errorf("%s of the batch API sees the victim", key)
				}
			}
		}
		if after := v.state(t, f); after != before {
			t.Errorf("the victim has changed from\n%s\nto\n%s", before, after)
		}
	})
}

// TestFiltersNeverSeeAnotherAccount: a list by the hashes, the metadata or the creator of another account's image is
// empty, also with the largest distance, and with the same account's token it is not.
func TestFiltersNeverSeeAnotherAccount(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		v := newVictim(t, f)
		var of struct {
			Result struct {
				Original struct{ SHA256, PHash string }
			}
		}
		path := "accounts/" + v.id + "/images/"
		details := f.send("GET", Prefix+path+"v1/"+v.images[0], "", "", "Authorization", "Bearer "+v.token)
		if err := json.Unmarshal([]byte(details.body), &of); err != nil {
			t.Fatal(err)
		}
		hashes := of.Result.Original
		if len(hashes.SHA256) != 64 || len(hashes.PHash) != 16 {
			t.Fatalf("no hashes: %s", details.body)
		}
		for _, query := range []string{"sha256=" + hashes.SHA256, "near=" + hashes.PHash, "near=" + hashes.PHash + "&distance=10",
			"creator=" + canary, "meta.is[eq]=" + canary} {
			theirs := f.send("GET", Prefix+path+"v2?"+query, "", "", "Authorization", "Bearer "+v.token)
			if theirs.status != 200 || !strings.Contains(theirs.body, v.images[0]) {
				t.Errorf("%s: the account does not find its image: %d %s", query, theirs.status, theirs.body)
			}
			own := f.send("GET", Prefix+"accounts/"+testAccount+"/images/v2?"+query, "", "", "Authorization", "Bearer "+testToken)
			if own.status != 200 || v.holds(own.body) {
				t.Errorf("%s: another account gets %d %s", query, own.status, own.body)
			}
		}
	})
}

// TestBatchRoutesAreRoutes holds the two lists together.
func TestBatchRoutesAreRoutes(t *testing.T) {
	t.Parallel()
	var all []string
	for _, r := range (&api{}).list() {
		all = append(all, r.method+" "+strings.TrimPrefix(r.pattern, "accounts/{account}/"))
	}
	for _, r := range batchRoutes {
		if !slices.Contains(all, r) {
			t.Errorf("%s is no route", r)
		}
	}
}
