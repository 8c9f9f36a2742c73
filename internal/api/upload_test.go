package api

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"calotype/internal/accounts"
	"calotype/internal/images/imagestest"
)

// pictureForm makes a form with a file and, behind it, pairs of fields.
func pictureForm(content []byte, pairs ...string) (contentType, body string) {
	const boundary = "pictures"
	var b strings.Builder
	fmt.Fprintf(&b, "--%s\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.jpg\"\r\n"+
		"Content-Type: application/octet-stream\r\n\r\n%s\r\n", boundary, content)
	for i := 0; i+1 < len(pairs); i += 2 {
		fmt.Fprintf(&b, "--%s\r\nContent-Disposition: form-data; name=%q\r\n\r\n%s\r\n",
			boundary, pairs[i], pairs[i+1])
	}
	return "multipart/form-data; boundary=" + boundary, b.String() + "--" + boundary + "--\r\n"
}

func TestCreateImage(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		picture := imagestest.JPEG(t, 1)
		create := func(pairs ...string) reply {
			contentType, body := pictureForm(picture, pairs...)
			return f.ask("POST", "/images/v1", contentType, body)
		}
		made := create("id", "a/ж %20.jpg", "metadata.key", "value", "creator", "me",
			"requireSignedURLs", "false", "expiry", "ignored", "else", "ignored")
		img := made.image(t)
		if img.ID != "a/ж %20.jpg" || img.Filename != "a.jpg" || img.Draft || *img.Creator != "me" ||
			!strings.Contains(string(img.Meta), `"value"`) || img.Original["width"] != 64.0 ||
			!strings.Contains(made.body, `"result_info": null`) {
			t.Errorf("%s", made.body)
		}
		if got := f.ask("GET", "/images/v1/a/%D0%B6%20%2520.jpg/blob", "", ""); got.body != string(picture) {
			t.Errorf("the blob is not the picture: %d", got.status)
		}
		f.want(create("id", "a/ж %20.jpg"), 409, 5409)
		f.want(create("id", "/"), 400, 5411)
		f.want(create("id", "mine", "requireSignedURLs", "true"), 400, 5400)
		f.want(create("url", "http://127.0.0.1:9/"), 400, 5400) // both
		f.want(create("policy", "{}"), 400, 5400)
		f.want(create("metadata", strings.Repeat("x", maxBody+1)), 413, 5413)
		wrong := create("image", strings.Repeat("x", maxBody+1)) // a picture under another name
		f.want(wrong, 400, 5400)
		if !strings.Contains(wrong.body, "goes into the field file") {
			t.Error(wrong.body)
		}
		private := create("requireSignedURLs", "true").image(t)
		if !private.RequireSignedURLs || len(private.ID) != 36 {
			t.Errorf("%+v", private)
		}

		picture = []byte("no picture")
		f.want(create(), 415, 5455)
		picture = make([]byte, 10<<20+1)
		f.want(create(), 413, 5413)
		contentType, body := multi(t, "metadata", "{}")
		f.want(f.ask("POST", "/images/v1", contentType, body), 400, 5400)
		f.want(f.ask("POST", "/images/v1", "image/jpeg", "x"), 415, 5415)
		if all, _ := f.list("/images/v1"); len(all) != 2 {
			t.Errorf("%d images were made, want 2", len(all))
		}
	})
}

// list returns the ids of a v1 list and its result_info.
func (f *fixture) list(path string) (ids []string, info pageInfo) {
	f.t.Helper()
	got := f.ask("GET", path, "", "")
	var list struct {
		Result struct{ Images []image }
		Info   *pageInfo `json:"result_info"`
	}
	if err := json.Unmarshal([]byte(got.body), &list); err != nil || list.Info == nil {
		f.t.Fatalf("%v %s", err, got.body)
	}
	for _, img := range list.Result.Images {
		ids = append(ids, img.ID)
	}
	return ids, *list.Info
}

func TestListPage(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		if ids, info := f.list("/images/v1"); ids != nil || info != (pageInfo{1, 1000, 0, 0}) {
			t.Errorf("an empty account: %v %+v", ids, info)
		}
		var newest []string
		for i := range 5 {
			pairs := []string{}
			if i%2 == 0 {
				pairs = []string{"creator", "even"}
			}
			contentType, body := pictureForm(imagestest.JPEG(t, i), pairs...)
			made := f.ask("POST", "/images/v1", contentType, body).image(t)
			newest = append([]string{made.ID}, newest...)
		}
		f.draft()
		var walked []string
		for page, count := range []int{2, 2, 1, 0} {
			ids, info := f.list(fmt.Sprintf("/images/v1?per_page=2&page=%d", page+1))
			if info != (pageInfo{page + 1, 2, count, 5}) {
				t.Errorf("page %d: %+v", page+1, info)
			}
			walked = append(walked, ids...)
		}
		if !slices.Equal(walked, newest) {
			t.Errorf("got %v, want %v", walked, newest)
		}
		if ids, info := f.list("/images/v1?creator=even"); len(ids) != 3 || info.TotalCount != 3 {
			t.Errorf("by creator: %v %+v", ids, info)
		}
		if ids, _ := f.list("/images/v1?creator="); len(ids) != 2 {
			t.Errorf("without creator: %v", ids)
		}
		for _, query := range []string{"page=0", "page=x", "per_page=0", "per_page=10001", "page=1&page=2",
			"meta.a=b", fmt.Sprintf("page=%d", 1<<40), "creator=%ff"} {
			f.want(f.ask("GET", "/images/v1?"+query, "", ""), 400, 5400)
		}
	})
}

// TestCreateImageNeedsWrite has a token that may only read.
func TestCreateImageNeedsWrite(t *testing.T) {
	t.Parallel()
	f := newFixture(t, t.TempDir()+"/calotype.db")
	secret, err := f.core.Accounts.CreateToken(t.Context(), testAccount, accounts.NewToken{Name: "reader", Scope: accounts.Read})
	if err != nil {
		t.Fatal(err)
	}
	contentType, body := pictureForm(imagestest.JPEG(t, 1))
	f.want(f.ask("POST", "/images/v1", contentType, body, "Authorization", "Bearer "+secret), 403, 10000)
	f.want(f.ask("GET", "/images/v1", "", "", "Authorization", "Bearer "+secret), 200, 0)
}
