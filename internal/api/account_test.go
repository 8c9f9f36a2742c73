package api

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/images/imagestest"
)

func TestVerifyToken(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		start := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
		f.now.at.Store(&start)
		secret := f.token("ci", accounts.Read, time.Hour)
		token, err := f.core.Accounts.Authenticate(t.Context(), secret)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{Prefix + "user/tokens/verify", accountPath + "/tokens/verify"} {
			r := f.bearer("GET", path, secret)
			want := `{
  "result": {
    "id": "` + token.Key + `",
    "status": "active",
    "expires_on": "2026-11-23T13:00:00Z"
  },
  "success": true,
  "errors": [],
  "messages": [
    {
      "code": 10000,
      "message": "This API Token is valid and active"
    }
  ]
}
`
			if r.status != 200 || r.body != want {
				t.Errorf("%s: %d %s", path, r.status, r.body)
			}
			if r := f.bearer("GET", path, testToken); strings.Contains(r.body, "expires_on") {
				t.Errorf("%s of a token that never expires: %s", path, r.body)
			}
			f.want(f.bearer("GET", path, "unknown"), 401, 10000)
			f.want(f.send("GET", path, "", ""), 400, 9106)
		}
		end := start.Add(time.Hour)
		f.now.at.Store(&end)
		f.want(f.bearer("GET", Prefix+"user/tokens/verify", secret), 401, 10000)
		f.want(f.bearer("GET", accountPath+"/images/v2", secret), 401, 10000)
	})
}

func TestStatsAndLimits(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		stats := func() (count struct{ Current, Allowed int64 }) {
			r := f.ask("GET", "/images/v1/stats", "", "")
			f.want(r, 200, 0)
			result := struct{ Count any }{&count}
			if err := json.Unmarshal(r.Result, &result); err != nil {
				t.Fatalf("%s: %v", r.body, err)
			}
			return count
		}
		f.upload(f.draft(), "a.jpg", imagestest.JPEG(t, 1))
		f.draft()
		if s := stats(); s.Current != 1 || s.Allowed != 1<<53-1 {
			t.Errorf("%+v", s)
		}
		if err := f.core.Accounts.SetLimit(t.Context(), testAccount, "images", 2); err != nil {
			t.Fatal(err)
		}
		if s := stats(); s.Current != 1 || s.Allowed != 2 {
			t.Errorf("%+v", s)
		}
		contentType, body := pictureForm(imagestest.JPEG(t, 2))
		for _, r := range []reply{
			f.ask("POST", "/images/v2/direct_upload", "", ""),
			f.ask("POST", "/images/v1", contentType, body),
		} {
			f.want(r, 403, 5453)
			if r.header.Get("X-Should-Retry") != "false" {
				t.Error("SDKs may repeat it")
			}
			if !strings.Contains(r.body, "service limit of 2 images") {
				t.Errorf("%s", r.body)
			}
		}
	})
}

func TestASuspendedAccountIsRefused(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		batch := batchTokenOf(t, f, testToken)
		if err := f.core.Accounts.Suspend(t.Context(), testAccount, true); err != nil {
			t.Fatal(err)
		}
		for _, route := range (&api{}).list() {
			a := attempts[route.method+" "+route.pattern]
			path := strings.ReplaceAll(a.path, "{id}", "x")
			if route.ofToken() {
				f.want(f.bearer(route.method, Prefix+path, testToken), 403, 5403)
				continue
			}
			f.want(f.ask(route.method, "/"+path, a.contentType, a.body), 403, 5403)
			if inBatch(route) {
				f.want(f.bearer(route.method, "/"+path, batch), 403, 5403)
			}
		}
		f.want(f.bearer("GET", accountPath+"/images/v2", "unknown"), 401, 10000)
		if err := f.core.Accounts.Suspend(t.Context(), testAccount, false); err != nil {
			t.Fatal(err)
		}
		f.want(f.ask("GET", "/images/v2", "", ""), 200, 0)
		f.want(f.bearer("GET", "/images/v2", batch), 200, 0)
	})
}
