package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"calotype/internal/accounts"
	"calotype/internal/errs"
	"calotype/internal/images/imagestest"
)

const jsonType = "application/json"

// create uploads a picture with pairs of fields.
func (f *fixture) create(pairs ...string) image {
	f.t.Helper()
	contentType, body := pictureForm(imagestest.JPEG(f.t, 1), pairs...)
	return f.ask("POST", "/images/v1", contentType, body).image(f.t)
}

// terraform is the form that Terraform sends, with metadata unset or set.
func terraform(metadata, private string) (contentType, body string) {
	const boundary = "terraform"
	var b strings.Builder
	for _, f := range [][2]string{{"creator", "tf"}, {"id", "ignored"}, {"metadata", metadata},
		{"requireSignedURLs", private}, {"url", "http://169.254.169.254/ignored"}} {
		kind := ""
		if f[0] == "metadata" {
			kind = "\r\nContent-Type: application/json"
		}
		fmt.Fprintf(&b, "--%s\r\nContent-Disposition: form-data; name=%q%s\r\n\r\n%s\r\n",
			boundary, f[0], kind, f[1])
	}
	return "multipart/form-data; boundary=" + boundary, b.String() + "--" + boundary + "--\r\n"
}

// TestEdit sends edits as clients do, one after another, to one image.
func TestEdit(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		img := f.create("metadata", `{"a":1}`, "creator", "me")
		for _, c := range []struct{ contentType, body, meta, creator string }{
			{"", "", `{"a":1}`, "me"},
			{jsonType, `{}`, `{"a":1}`, "me"},
			{jsonType, `{"id":"x","url":"y","else":[1],"requireSignedURLs":null}`, `{"a":1}`, "me"},
			{jsonType, `{"metadata":{"b":[1,null]}}`, `{"b":[1,null]}`, "me"},
			{jsonType, `{"metadata":"{\"text\":1}","creator":"you"}`, `{"text":1}`, "you"},
			{jsonType, `{"metadata":{}}`, `{}`, "you"},
			{jsonType, `{"metadata":null}`, ``, "you"},
			{jsonType, `{"creator":null,"metadata":{"c":1}}`, `{"c":1}`, ""},
			{urlencoded, "creator=we&metadata[d]=2&requireSignedURLs=", `{"d":"2"}`, "we"},
			{urlencoded, "creator=", `{"d":"2"}`, ""},
			{urlencoded, `{"creator":"curl"}`, `{"d":"2"}`, "curl"},
			{urlencoded, "metadata=null", ``, "curl"},
			{"terraform", `{"tf":true}`, `{"tf":true}`, "tf"},
			{"terraform", ``, ``, "tf"},
		} {
			contentType, body := c.contentType, c.body
			if contentType == "terraform" {
				contentType, body = terraform(c.body, "false")
			}
			r := f.ask("PATCH", "/images/v1/"+img.ID, contentType, body)
			f.want(r, 200, 0)
			got := r.image(t)
			shown := f.ask("GET", "/images/v1/"+img.ID, "", "")
			if r.body != shown.body {
				t.Errorf("%s: the answer\n%s\nis not what is shown\n%s", c.body, r.body, shown.body)
			}
			creator := ""
			if got.Creator != nil {
				creator = *got.Creator
			}
			if compact(t, got.Meta) != c.meta || compact(t, got.Metadata) != c.meta ||
				creator != c.creator || got.ID != img.ID || got.Uploaded != img.Uploaded ||
				got.RequireSignedURLs || got.Filename != "a.jpg" {
				t.Errorf("%s: %s", c.body, r.body)
			}
		}
	})
}

// compact prints metadata; "" for none.
func compact(t *testing.T, meta json.RawMessage) string {
	t.Helper()
	if meta == nil {
		return ""
	}
	var b strings.Builder
	var value any
	if err := json.Unmarshal(meta, &value); err != nil {
		t.Fatal(err)
	}
	if err := json.NewEncoder(&b).Encode(value); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(b.String())
}

func TestEditPrivacy(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		img := f.create("metadata", `{"a":1}`)
		private := f.ask("PATCH", "/images/v1/"+img.ID, jsonType, `{"requireSignedURLs":true}`).image(t)
		if private.ID == img.ID || !private.RequireSignedURLs || private.Uploaded != img.Uploaded ||
			compact(t, private.Meta) != `{"a":1}` || !strings.Contains(private.Variants[0], private.ID) {
			t.Errorf("%+v", private)
		}
		f.want(f.ask("GET", "/images/v1/"+img.ID, "", ""), 404, 5404)
		f.want(f.ask("PATCH", "/images/v1/"+img.ID, jsonType, `{"creator":"x"}`), 404, 5404)
		if _, err := f.core.Renditions.Resolve(t.Context(), f.hash, img.ID, "public"); errs.AsError(err).Kind !=
			errs.ImageNotFound {
			t.Errorf("delivered under the old id: %v", err)
		}
		same := f.ask("PATCH", "/images/v1/"+private.ID, urlencoded, "requireSignedURLs=true").image(t)
		if same.ID != private.ID {
			t.Error("the same value changed the id")
		}
		draft := f.draft()
		contentType, body := terraform("", "true")
		if got := f.ask("PATCH", "/images/v1/"+draft.ID, contentType, body).image(t); got.ID != draft.ID ||
			!got.RequireSignedURLs || !got.Draft {
			t.Errorf("the draft became %+v", got)
		}
	})
}

// TestEditRefusals: each leaves the image as it was.
func TestEditRefusals(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		img := f.create("id", "a/b", "metadata", `{"a":1}`)
		before := f.ask("GET", "/images/v1/a/b", "", "").body
		for _, c := range []struct {
			contentType, body string
			status, code      int
		}{
			{jsonType, `{"requireSignedURLs":true}`, 400, 5400}, // a custom id
			{jsonType, `{"requireSignedURLs":"maybe"}`, 400, 5400},
			{jsonType, `{"requireSignedUrls":"maybe"}`, 400, 5400}, // its name in any case
			{jsonType, `{"requireSignedURLs":[]}`, 400, 5400},
			{jsonType, `{"metadata":[1]}`, 400, 5400},
			{jsonType, `{"metadata":"x"}`, 400, 5400},
			{jsonType, `{"metadata":{"a":"` + strings.Repeat("x", 1024) + `"}}`, 400, 5400},
			{jsonType, `{"creator":5}`, 400, 5400},
			{jsonType, `{"creator":"` + strings.Repeat("x", 1025) + `"}`, 400, 5400},
			{jsonType, `{"creator":"a","creator":"b"}`, 400, 5400},
			{jsonType, `{"policy":{}}`, 400, 5400},
			{jsonType, `{"metadata":`, 400, 5400},
			{urlencoded, "metadata=%zz", 400, 5400},
			{"image/jpeg", "x", 415, 5415},
			{jsonType, `{"creator":"` + strings.Repeat("x", maxBody) + `"}`, 413, 7011},
		} {
			f.want(f.ask("PATCH", "/images/v1/"+img.ID, c.contentType, c.body), c.status, c.code)
		}
		if after := f.ask("GET", "/images/v1/a%2Fb", "", "").body; after != before {
			t.Errorf("the image became %s", after)
		}
		f.want(f.ask("PATCH", "/images/v1/unknown", jsonType, `{}`), 404, 5404)
		f.want(f.ask("PATCH", "/images/v1/a/b", jsonType, `{}`, "Authorization", ""), 400, 9106)
		f.want(f.ask("PATCH", "/images/v1/a/b", jsonType, `{}`, "Authorization", "Bearer x"), 401, 10000)
		reader, err := f.core.Accounts.CreateToken(t.Context(), testAccount,
			accounts.NewToken{Name: "reader", Scope: accounts.Read})
		if err != nil {
			t.Fatal(err)
		}
		f.want(f.ask("PATCH", "/images/v1/a/b", jsonType, `{}`, "Authorization", "Bearer "+reader),
			403, 10000)
		f.want(f.ask("PATCH", "/images/v1", jsonType, `{}`), 405, 7001)
	})
}

// TestCreateFromURL gives the picture's URL in every encoding, with a user and a password in it.
func TestCreateFromURL(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		picture := imagestest.JPEG(t, 1)
		var asked atomic.Int64
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked.Add(1)
			if user, password, _ := r.BasicAuth(); user != "us" || password != "canary" {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			switch r.URL.Path {
			case "/cat.jpg":
				_, _ = w.Write(picture)
			case "/large":
				_, _ = w.Write(make([]byte, 10<<20+1))
			case "/away":
				http.Redirect(w, r, "http://169.254.169.254/latest", http.StatusFound)
			default:
				fmt.Fprint(w, "no picture")
			}
		}))
		t.Cleanup(s.Close)
		base := strings.Replace(s.URL, "http://", "http://us:canary@", 1)
		ask := func(contentType, body string) reply { return f.ask("POST", "/images/v1", contentType, body) }
		multipart := func(pairs ...string) reply { return ask(multi(t, pairs...)) }

		made := multipart("url", base+"/cat.jpg?canary", "id", "from/url", "metadata.a", "1",
			"creator", "me", "requireSignedURLs", "false")
		f.want(made, 200, 0)
		if img := made.image(t); img.ID != "from/url" || img.Filename != "cat.jpg" || img.Draft ||
			*img.Creator != "me" || compact(t, img.Meta) != `{"a":"1"}` ||
			!strings.Contains(made.body, `"result_info": null`) {
			t.Errorf("%s", made.body)
		}
		if got := f.ask("GET", "/images/v1/from/url/blob", "", ""); got.body != string(picture) {
			t.Error("the blob is not the picture")
		}
		f.want(ask(jsonType, `{"url":"`+base+`/cat.jpg","requireSignedURLs":true}`), 200, 0)
		f.want(ask(urlencoded, "metadata=&creator=&url="+strings.ReplaceAll(base, "&", "%26")+"/cat.jpg"),
			200, 0)
		empty, body := pictureForm(nil, "url", base+"/cat.jpg") // an input without a chosen file
		f.want(ask(empty, body), 200, 0)

		contentType, both := pictureForm(picture, "url", base+"/cat.jpg")
		before := asked.Load()
		f.want(ask(contentType, both), 400, 5400)
		f.want(multipart("url", base+"/cat.jpg", "id", "/"), 400, 5411)
		f.want(multipart("url", base+"/cat.jpg", "id", "x", "requireSignedURLs", "true"), 400, 5400)
		f.want(multipart("url", base+"/cat.jpg", "metadata", "x"), 400, 5400)
		f.want(multipart("url", base+"/cat.jpg", "policy", "{}"), 400, 5400)
		f.want(multipart("url", "x", "url", "y"), 400, 5400)
		f.want(ask(jsonType, `{"url":5}`), 400, 5400)
		f.want(ask(jsonType, `{"id":"x"}`), 415, 5415)
		f.want(ask(urlencoded, strings.Repeat("x", maxBody+1)), 415, 5415)
		if asked.Load() != before {
			t.Error("what is refused anyway was fetched")
		}
		f.want(multipart("url", base+"/cat.jpg", "id", "from/url"), 409, 5409)
		f.want(multipart("url", base+"/text"), 415, 5455)
		f.want(multipart("url", base+"/large"), 413, 5413)
		for url, say := range map[string]string{
			s.URL + "/cat.jpg": "status 401", base + "/away": "-outbound-allow",
			"http://us:canary@169.254.169.254/": "-outbound-allow", "ftp://us:canary@h/": "http://",
			"us:canary@h": "URL", "http://us:canary@0x7f.1/": "neither a name", "canary": "http://",
		} {
			got := multipart("url", url)
			f.want(got, 400, 5454)
			if got.header.Get("X-Should-Retry") != "false" || !strings.Contains(got.body, say) ||
				strings.Contains(got.body, "canary") {
				t.Errorf("%s: %s", url, got.body)
			}
		}
		if all, _ := f.list("/images/v1"); len(all) != 4 {
			t.Errorf("%d images were made, want 4", len(all))
		}
		if strings.Contains(f.log.String(), "canary@") || strings.Contains(f.log.String(), "?canary") {
			t.Error("the log holds a URL")
		}
	})
}

func TestWaitParameter(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		draft := f.draft()
		for _, query := range []string{"wait=0", "wait=61", "wait=-1", "wait=x", "wait=", "wait=1&wait=1",
			"wait=1.5"} {
			f.want(f.ask("GET", "/images/v1/"+draft.ID+"?"+query, "", ""), 400, 5400)
		}
		f.want(f.ask("GET", "/images/v1/unknown?wait=60", "", ""), 404, 5404)
		if got := f.ask("GET", "/images/v1/"+draft.ID+"?wait=1", "", "").image(t); !got.Draft {
			t.Errorf("after the time: %+v", got)
		}
		ended := make(chan reply)
		go func() { ended <- f.ask("GET", "/images/v1/"+draft.ID+"?wait=60", "", "") }()
		f.upload(draft, "cat.jpg", imagestest.JPEG(t, 1))
		if got := (<-ended).image(t); got.Draft || got.Filename != "cat.jpg" {
			t.Errorf("after the upload: %+v", got)
		}
		f.want(f.ask("GET", "/images/v1/"+draft.ID+"?wait=60", "", ""), 200, 0)
	})
}
