package api

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/cfapi"
	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
)

// TestGuide makes the guide's calls.
func TestGuide(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		contentType, body := multi(t, "requireSignedURLs", "true", "metadata", `{"key":"value"}`)
		made := f.ask("POST", "/images/v2/direct_upload", contentType, body)
		shape := regexp.MustCompile(`^{
  "result": {
    "id": "([0-9a-f-]{36})",
    "uploadURL": "` + uploadBase + `/upload/` + f.hash + `/([0-9a-f-]{36})\?ticket=[A-Z2-7]{26}"
  },
  "result_info": null,
  "success": true,
  "errors": \[\],
  "messages": \[\]
}
$`)
		ids := shape.FindStringSubmatch(made.body)
		if made.status != 200 || ids == nil || ids[1] != ids[2] {
			t.Fatalf("%d %s", made.status, made.body)
		}

		got := f.ask("GET", "/images/v1/"+ids[1], "", "")
		img := got.image(t)
		if strings.Contains(got.body, "result_info") {
			t.Errorf("result_info in details: %s", got.body)
		}
		variants := []string{"https://img.example/" + f.hash + "/" + ids[1] + "/public"}
		if img.ID != ids[1] || !img.Draft || !img.RequireSignedURLs || img.Original != nil ||
			!slices.Equal(img.Variants, variants) {
			t.Errorf("draft: %s", got.body)
		}
		if !strings.Contains(got.body, `"filename": null`) ||
			!regexp.MustCompile(`"uploaded": "[0-9-]{10}T[0-9:]{8}\.[0-9]{3}Z"`).MatchString(got.body) {
			t.Errorf("draft: %s", got.body)
		}
		var meta, metadata map[string]string
		if json.Unmarshal(img.Meta, &meta) != nil || json.Unmarshal(img.Metadata, &metadata) != nil ||
			meta["key"] != "value" || metadata["key"] != "value" {
			t.Errorf("metadata: %s", got.body)
		}
		if img.Upload["attempts"] != float64(0) || img.Upload["lastError"] != nil ||
			img.Upload["expires"] == nil {
			t.Errorf("upload: %s", got.body)
		}

		expiry := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
		for _, c := range [][2]string{
			{urlencoded, `{"expiry":"` + expiry.Format(time.RFC3339) + `"}`},
			{urlencoded, "expiry=" + expiry.Format(time.RFC3339)},
		} {
			id := f.ask("POST", "/images/v2/direct_upload", c[0], c[1]).image(t).ID
			img := f.ask("GET", "/images/v1/"+id, "", "").image(t)
			if want := expiry.Format(cfapi.TimeFormat); img.Upload["expires"] != want {
				t.Errorf("expires %v, want %s", img.Upload["expires"], want)
			}
		}
	})
}

func TestDirectUploadV1(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		for _, c := range [][2]string{{"", ""}, {"application/json", "{}"}, {"application/json", "[]"},
			{"multipart/form-data; boundary=b", "--b--\r\n"}} {
			img := f.ask("POST", "/images/v1/direct_upload", c[0], c[1]).image(t)
			u, err := url.Parse(img.UploadURL)
			if err != nil || len(img.ID) != 36 || u.Query().Get("ticket") == "" ||
				u.Path != "/upload/"+f.hash+"/"+img.ID {
				t.Errorf("%q: %+v", c[1], img)
			}
		}
	})
}

func TestDirectUploadRefusals(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		f.draft("id", "taken")
		for _, c := range []struct {
			body         string
			status, code int
		}{
			{"id=taken", 409, 5409},
			{"id=2cdc28f0-017a-49c4-9ed7-87056c839010", 400, 5411},
			{"id=stats", 400, 5411},
			{"id=a/../b", 400, 5411},
			{"id=%FF", 400, 5400},
			{"id=%00", 400, 5411},
			{"id=x&requireSignedURLs=true", 400, 5400},
			{"creator=%00", 400, 5400},
			{"metadata=no", 400, 5400},
			{"metadata=%7B%22a%22%3A%22%FF%22%7D", 400, 5400},
			{"metadata=[1]", 400, 5400},
			{"metadata.a%5C=%00", 400, 5400},
			{"metadata.a=" + strings.Repeat("x", 1024), 400, 5400},
			{"expiry=2021-01-02T02:20:00Z", 400, 5400},
			{"expiry=0000-01-01T00:00:00Z", 400, 5400},
			{"expiry=9999-12-31T23:59:59Z", 400, 5400},
			{"policy.maxBytes=0", 400, 5400},
			{"policy.stripOriginal=true", 400, 5400},
			{"policy=1", 400, 5400},
			{"policy.minWidth=2&policy.maxWidth=1", 400, 5400},
			{"x=" + strings.Repeat("x", maxBody), 413, 7011},
		} {
			r := f.ask("POST", "/images/v2/direct_upload", urlencoded, c.body)
			f.want(r, c.status, c.code)
			if r.header.Get("X-Should-Retry") != "false" {
				t.Errorf("%.40s: SDKs may repeat it", c.body)
			}
		}
		f.want(f.ask("POST", "/images/v2/direct_upload", "image/png", "x"), 415, 5415)
		f.want(f.ask("POST", "/images/v2/direct_upload", urlencoded, "x", "Content-Encoding", "br"),
			415, 5415)
	})
}

func TestMetadataLengthIsOfCompactJSON(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		// {"a":"..."} is 8 bytes around the value; < and > must count as one each.
		value := strings.Repeat("<>", 508)
		id := f.draft("metadata.a", value).ID
		var meta struct{ A string }
		img := f.ask("GET", "/images/v1/"+id, "", "").image(t)
		if err := json.Unmarshal(img.Meta, &meta); err != nil || meta.A != value {
			t.Errorf("%s: %v", img.Meta, err)
		}
	})
}

func TestIDs(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		for i, id := range []string{
			"plain", "a/b/c.png", "with space", "grüße/日本.png", "100%", "a%2Fb", "a+b&c=d;e?f#g",
			"a/stats", "x/direct_upload",
		} {
			made := f.ask("POST", "/images/v2/direct_upload", urlencoded, "id="+url.QueryEscape(id))
			if got := made.image(t); got.ID != id ||
				!strings.HasPrefix(got.UploadURL, uploadBase+"/upload/"+f.hash+"/"+cfapi.EscapeID(id)+"?") {
				t.Errorf("%q: %+v", id, got)
			}
			content := imagestest.JPEG(t, i)
			f.upload(made.image(t), "cat.jpg", content)
			for _, escaped := range []string{cfapi.EscapeID(id), url.PathEscape(id)} {
				got := f.ask("GET", "/images/v1/"+escaped, "", "").image(t)
				want := "https://img.example/" + f.hash + "/" + cfapi.EscapeID(id) + "/public"
				if got.ID != id || len(got.Variants) != 1 || got.Variants[0] != want {
					t.Errorf("%s: %+v", escaped, got)
				}
				if blob := f.ask("GET", "/images/v1/"+escaped+"/blob", "", ""); blob.status != 200 ||
					blob.body != string(content) {
					t.Errorf("%s/blob: %d, %d bytes", escaped, blob.status, len(blob.body))
				}
			}
			f.want(f.ask("DELETE", "/images/v1/"+url.PathEscape(id), "", ""), 200, 0)
			f.want(f.ask("GET", "/images/v1/"+cfapi.EscapeID(id), "", ""), 404, 5404)
		}
		for _, path := range []string{"%FF", "a%00b", "a//b", "..", "a/", "%2F",
			strings.Repeat("x", 4000)} {
			f.want(f.ask("GET", "/images/v1/"+path, "", ""), 404, 5404)
			f.want(f.ask("DELETE", "/images/v1/"+path, "", ""), 404, 5404)
			f.want(f.ask("GET", "/images/v1/"+path+"/blob", "", ""), 404, 5404)
		}
	})
}

func TestImage(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		draft := f.draft("creator", "user-1", "metadata[a][]", "x")
		id := draft.ID
		f.want(f.ask("GET", "/images/v1/"+id+"/blob", "", ""), 404, 5404)
		content := string(imagestest.JPEG(t, 1))
		at := f.now.now().Add(time.Minute)
		f.now.at.Store(&at)
		f.upload(draft, "cat.jpg", []byte(content))
		got := f.ask("GET", "/images/v1/"+id, "", "")
		img := got.image(t)
		thumbhash, _ := img.Original["thumbhash"].(string)
		look, _ := img.Original["phash"].(string)
		want := map[string]any{"format": "jpeg", "width": 64., "height": 48., "frames": 1.,
			"file_size": float64(len(content)), "thumbhash": thumbhash, "phash": look,
			"sha256": fmt.Sprintf("%x", sha256.Sum256([]byte(content)))}
		if !maps.Equal(img.Original, want) || thumbhash == "" || len(look) != 16 {
			t.Errorf("original %v, want %v", img.Original, want)
		}
		if strings.Contains(got.body, `"draft"`) || strings.Contains(got.body, `"upload"`) ||
			img.Filename != "cat.jpg" || img.Uploaded != at.UTC().Format(cfapi.TimeFormat) ||
			img.Creator == nil || *img.Creator != "user-1" {
			t.Errorf("%s", got.body)
		}
		blob := f.ask("GET", "/images/v1/"+id+"/blob", "", "")
		if blob.status != 200 || blob.body != content {
			t.Errorf("%d, %d bytes", blob.status, len(blob.body))
		}
		for name, want := range map[string]string{
			"Content-Type": "image/jpeg", "Content-Length": fmt.Sprint(len(content)),
			"Content-Disposition": "attachment", "X-Content-Type-Options": "nosniff",
			"Cache-Control": "no-store", "Access-Control-Allow-Origin": "",
		} {
			if got := blob.header.Get(name); got != want {
				t.Errorf("%s %q, want %q", name, got, want)
			}
		}
		head := f.ask("HEAD", "/images/v1/"+id+"/blob", "", "")
		if head.status != 200 || head.body != "" ||
			head.header.Get("Content-Length") != fmt.Sprint(len(content)) {
			t.Errorf("HEAD: %d %v", head.status, head.header)
		}
		if head := f.ask("HEAD", "/images/v1/"+id, "", ""); head.status != 200 || head.body != "" {
			t.Errorf("HEAD: %d", head.status)
		}
	})
}

// TestBlobInParts asks for parts of an original, and for none when it is known already.
func TestBlobInParts(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		content := string(imagestest.JPEG(t, 1))
		draft := f.draft()
		f.upload(draft, "cat.jpg", []byte(content))
		path, n := "/images/v1/"+draft.ID+"/blob", len(content)
		etag := fmt.Sprintf(`"%x"`, sha256.Sum256([]byte(content)))
		const all = "whole"
		for _, c := range []struct {
			name, value string
			status      int
			want        string
		}{
			{"Range", "bytes=3-9", 206, content[3:10]},
			{"Range", "bytes=-5", 206, content[n-5:]},
			{"Range", "bytes=5-99999999", 206, content[5:]},
			{"Range", "items=0-1", 200, all},
			{"Range", "bytes=9-3", 200, all},
			{"Range", "bytes=0-1,5-6", 200, all}, // several are not sent
			{"Range", "bytes=99999999-", 416, "range"},
			{"If-None-Match", etag, 304, ""},
			{"If-None-Match", "W/" + etag, 304, ""},
			{"If-None-Match", `"other"`, 200, all},
			{"If-Match", etag, 200, all},
			{"If-Match", `"other"`, 412, "If-Match"},
		} {
			r := f.ask("GET", path, "", "", c.name, c.value)
			if c.status >= 400 {
				f.want(r, c.status, 5400)
				if !strings.Contains(r.body, c.want) || r.header.Get("Content-Disposition") != "" ||
					r.header.Get("ETag") != "" || r.header.Get("Cache-Control") != "no-store" {
					t.Errorf("%s: %s: %s %v", c.name, c.value, r.body, r.header)
				}
				continue
			}
			want := c.want
			if want == all {
				want = content
			}
			if r.status != c.status || r.body != want || r.header.Get("ETag") != etag {
				t.Errorf("%s: %s: %d, %d bytes, %v", c.name, c.value, r.status, len(r.body), r.header)
			}
		}
		f.want(f.ask("GET", path, "", "", "Range", "bytes=0-1", "Authorization", "Bearer no"), 401, 10000)
	})
}

// TestRefusedDraft has a body refused for its content: the draft says so to its owner.
func TestRefusedDraft(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		draft := f.draft()
		oneTime, err := url.Parse(draft.UploadURL)
		if err != nil {
			t.Fatal(err)
		}
		u, err := f.core.BeginUpload(t.Context(), images.UploadRequest{
			Ticket: oneTime.Query().Get("ticket"), Size: -1,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer u.Close()
		if _, err := u.Write([]byte("no picture")); err != nil {
			t.Fatal(err)
		}
		if _, err := u.Finish(t.Context(), "x"); errs.AsError(err).Kind != errs.Unsupported {
			t.Fatalf("finishing no picture: %v", err)
		}
		got := f.ask("GET", "/images/v1/"+draft.ID, "", "").image(t)
		last, _ := got.Upload["lastError"].(map[string]any)
		message, _ := last["message"].(string)
		if got.Upload["attempts"] != 1. || last["code"] != 5455. || message == "" || !got.Draft {
			t.Errorf("%+v", got)
		}
	})
}

// TestDelete deletes as the SDKs do: with an empty JSON body that is declared.
func TestDelete(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		id := f.draft().ID
		gone := f.ask("DELETE", "/images/v1/"+id, "application/json", "")
		want := "{\n  \"result\": {},\n  \"success\": true,\n  \"errors\": [],\n  \"messages\": []\n}\n"
		if gone.status != 200 || gone.body != want {
			t.Errorf("%d %s", gone.status, gone.body)
		}
		f.want(f.ask("DELETE", "/images/v1/"+id, "application/json", "{}"), 404, 5404)
		f.want(f.ask("GET", "/images/v1/"+id, "application/json", ""), 404, 5404)
	})
}

func TestList(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		list := func(query string) (ids []string, next string) {
			t.Helper()
			r := f.ask("GET", "/images/v2"+query, "", "")
			var page struct {
				Images []image
				Token  *string `json:"continuation_token"`
			}
			if err := json.Unmarshal(r.Result, &page); err != nil || r.status != 200 {
				t.Fatalf("%d %s: %v", r.status, r.body, err)
			}
			for _, img := range page.Images {
				ids = append(ids, img.ID)
			}
			if page.Token != nil {
				next = *page.Token
			}
			return ids, next
		}
		empty := f.ask("GET", "/images/v2", "", "")
		if !strings.Contains(empty.body, `"images": [],`) ||
			!strings.Contains(empty.body, `"continuation_token": null`) {
			t.Errorf("an empty list: %s", empty.body)
		}
		f.draft("id", "draft")
		start := time.Now()
		for i, id := range []string{"a", "b", "c", "d", "e"} {
			creator := ""
			if i%2 == 0 {
				creator = "even"
			}
			at := start.Add(time.Duration(i/2) * time.Minute) // some at the same time
			f.now.at.Store(&at)
			f.upload(f.draft("id", id, "creator", creator), id, imagestest.JPEG(t, i))
		}
		ascending, _ := list("?sort_order=asc")
		descending, _ := list("")
		slices.Reverse(descending)
		if len(ascending) != 5 || !slices.Equal(ascending, descending) {
			t.Errorf("ascending %v, descending reversed %v", ascending, descending)
		}
		for _, order := range []string{"asc", "desc"} {
			var all []string
			for next, pages := "", 0; pages == 0 || next != ""; pages++ {
				ids, token := list("?per_page=2&sort_order=" + order +
					"&continuation_token=" + url.QueryEscape(next))
				all, next = append(all, ids...), token
			}
			if order == "desc" {
				slices.Reverse(all)
			}
			if !slices.Equal(all, ascending) {
				t.Errorf("%s in pages: %v, want %v", order, all, ascending)
			}
		}
		even, _ := list("?creator=even")
		none, _ := list("?creator=")
		slices.Sort(even)
		slices.Sort(none)
		if !slices.Equal(even, []string{"a", "c", "e"}) || !slices.Equal(none, []string{"b", "d"}) {
			t.Errorf("creator even: %v, without: %v", even, none)
		}
		for _, query := range []string{"?sort_order=up", "?continuation_token=x", "?per_page=0",
			"?meta.a%5Bne%5D=x", "?creator=%FF", "?creator=%00", "?continuation_token=%FF"} {
			f.want(f.ask("GET", "/images/v2"+query, "", ""), 400, 5400)
		}
	})
}

func TestAuthentication(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		reader, err := f.core.Accounts.CreateToken(t.Context(), testAccount, accounts.NewToken{Name: "reader", Scope: accounts.Read})
		if err != nil {
			t.Fatal(err)
		}
		const none, other = "", "0123456789abcdef0123456789abcdef"
		for _, c := range []struct {
			name, method, path string
			header             []string
			status, code       int
		}{
			{"none", "GET", accountPath + "/images/v2", nil, 400, 9106},
			{"none, unknown route", "GET", accountPath + "/images/v9", nil, 404, 7003},
			{"none, wrong method", "PUT", accountPath + "/images/v2", nil, 405, 7001},
			{"wrong", "GET", accountPath + "/images/v2",
				[]string{"Authorization", "Bearer CANARY"}, 401, 10000},
			{"wrong, unknown account", "GET", "/client/v4/accounts/" + other + "/images/v2",
				[]string{"Authorization", "Bearer CANARY"}, 401, 10000},
			{"wrong bytes", "GET", accountPath + "/images/v2",
				[]string{"Authorization", "Bearer \xff"}, 401, 10000},
			{"unknown account", "GET", "/client/v4/accounts/" + other + "/images/v2",
				[]string{"Authorization", "Bearer " + testToken}, 403, 10000},
			{"no account at all", "GET", "/client/v4/accounts/%00/images/v2",
				[]string{"Authorization", "Bearer " + testToken}, 403, 10000},
			{"bearer", "GET", accountPath + "/images/v2",
				[]string{"Authorization", "Bearer " + testToken}, 200, 0},
			{"key", "GET", accountPath + "/images/v2",
				[]string{"X-Auth-Key", testToken, "X-Auth-Email", "user@example.com"}, 200, 0},
			{"service key", "GET", accountPath + "/images/v2",
				[]string{"X-Auth-User-Service-Key", testToken}, 200, 0},
			{"bearer wins", "GET", accountPath + "/images/v2",
				[]string{"Authorization", "Bearer " + testToken, "X-Auth-Key", "CANARY"}, 200, 0},
			{"bearer wins, wrong", "GET", accountPath + "/images/v2",
				[]string{"Authorization", "Bearer CANARY", "X-Auth-Key", testToken}, 401, 10000},
			{"reader reads", "GET", accountPath + "/images/v2",
				[]string{"Authorization", "Bearer " + reader}, 200, 0},
			{"reader writes", "POST", accountPath + "/images/v2/direct_upload",
				[]string{"Authorization", "Bearer " + reader}, 403, 10000},
			{"reader deletes", "DELETE", accountPath + "/images/v1/x",
				[]string{"Authorization", "Bearer " + reader}, 403, 10000},
		} {
			t.Run(c.name, func(t *testing.T) {
				r := f.send(c.method, c.path, none, "", c.header...)
				f.want(r, c.status, c.code)
				if challenge := r.header.Get("WWW-Authenticate"); (challenge != "") != (c.status == 401) {
					t.Errorf("WWW-Authenticate %q", challenge)
				}
			})
		}
		if log := f.log.String(); strings.Contains(log, "CANARY") || strings.Contains(log, testToken) ||
			strings.Contains(log, reader) {
			t.Errorf("a token is in the log:\n%s", log)
		}
	})
}

// TestOtherAccount asks with one account's token for another's image, in every way.
func TestOtherAccount(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		const other = "0123456789abcdef0123456789abcdef"
		_, _, err := f.core.Accounts.SetUp(t.Context(), accounts.Setup{ID: other, Token: "other"})
		if err != nil {
			t.Fatal(err)
		}
		id := f.draft("id", "mine").ID
		for _, path := range []string{accountPath, "/client/v4/accounts/" + other} {
			status := map[bool]int{true: 403, false: 404}[path == accountPath]
			code := map[bool]int{true: 10000, false: 5404}[path == accountPath]
			for _, method := range []string{"GET", "DELETE"} {
				r := f.send(method, path+"/images/v1/"+id, "", "", "Authorization", "Bearer other")
				f.want(r, status, code)
			}
		}
		f.want(f.ask("GET", "/images/v1/"+id, "", ""), 200, 0)
	})
}

// TestUnforeseen takes the database away.
func TestUnforeseen(t *testing.T) {
	t.Parallel()
	f := newFixture(t, filepath.Join(t.TempDir(), "calotype.db"))
	if _, err := f.core.DB.Exec(t.Context(), `DROP TABLE tokens`); err != nil {
		t.Fatal(err)
	}
	r := f.ask("GET", "/images/v2", "", "")
	f.want(r, 500, 5500)
	id := r.header.Get("X-Request-Id")
	if len(r.Errors) == 0 || id == "" ||
		r.Errors[0].Message != "Internal Server Error; the request's id is "+id {
		t.Errorf("%s", r.body)
	}
	f.Close() // waits for the handler, which writes the log
	if log := f.log.String(); !strings.Contains(log, id) || !strings.Contains(log, "tokens") {
		t.Errorf("the log does not say what happened:\n%s", log)
	}
}
