package api

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"calotype/internal/cfapi"
	"calotype/internal/images/imagestest"
)

func TestEraseCreator(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		const creator = "some one/&?é"
		var picture image
		for i := range 2 {
			picture = f.draft("creator", creator)
			f.upload(picture, "a.jpg", imagestest.JPEG(t, i))
		}
		f.draft("creator", creator)
		others := f.draft("creator", "another")

		for _, query := range []string{
			"", "?creator=", "?creator", "?per_page=10", "?creator=&creator=x",
			"?creator=x&creator=y", "?creator=x&id=y", "?meta.a=b&creator=x", "?creator=%zz",
			"?creator=%00", "?Creator=x",
		} {
			r := f.ask("DELETE", "/images/v2"+query, "", "")
			f.want(r, 400, 5400)
		}
		r := f.ask("DELETE", "/images/v2?creator="+url.QueryEscape(creator), "", "")
		f.want(r, 200, 0)
		var got cfapi.Receipt
		if err := json.Unmarshal(r.Result, &got); err != nil {
			t.Fatal(err)
		}
		if !got.Complete || got.Ended == nil || got.Erasure == "" || got.Found.Images != 2 ||
			got.Found.Drafts != 1 || got.Found.Bytes == 0 || got.Removed.Originals != 2 ||
			len(got.Beyond) == 0 || !strings.Contains(got.Beyond[0], "backups") {
			t.Errorf("the receipt is %s", r.Result)
		}
		for _, due := range got.Due {
			if due.By == "" || due.What == "" {
				t.Errorf("%+v is due", due)
			}
		}
		if strings.Contains(r.body, "some one") || strings.Contains(f.log.String(), "some") {
			t.Error("the receipt or the log names the creator")
		}
		f.want(f.ask("GET", "/images/v1/"+picture.ID, "", ""), 404, 5404)
		f.want(f.ask("GET", "/images/v1/"+others.ID, "", ""), 200, 0)
		// Nothing is left to be found, which is no error.
		again := f.ask("DELETE", "/images/v2?creator="+url.QueryEscape(creator), "", "")
		if f.want(again, 200, 0); !strings.Contains(again.body, `"images": 0`) {
			t.Errorf("the second receipt is %s", again.body)
		}
	})
}
