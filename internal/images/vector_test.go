package images_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"calotype/internal/errs"
	"calotype/internal/imagefile"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/sqldb/sqldbtest"
)

// svgOf returns an SVG with some content.
func svgOf(content string) []byte {
	return []byte(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 48">` + content + `</svg>`)
}

// TestVectorIsStoredAsItCame: the original of an SVG is unchanged, and its only rendition is sanitised. No worker takes
// an SVG.
func TestVectorIsStoredAsItCame(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		body := svgOf("<script>alert(1)</script><rect/>")
		img := imagestest.Upload(t, core, images.NewDraft{}, body)
		if !bytes.Equal(imagestest.Stored(t, core, img.ID), body) {
			t.Error("the original is another one")
		}
		read, err := core.Image(t.Context(), account, img.ID)
		if err != nil {
			t.Fatal(err)
		}
		o := read.Original
		if o.Header.Format != imagefile.SVG || o.Width != 64 || o.Height != 48 || o.Header.Frames != 1 || o.Thumbhash != "" ||
			o.Size != int64(len(body)) || len(o.SHA256) != 64 {
			t.Errorf("the original is %+v", o)
		}
		r := imagestest.Resolve(t, core, img.ID)
		for _, asked := range []imagefile.Format{imagefile.WebP, imagefile.JPEG, imagefile.SVG} {
			rendition, err := core.Renditions.Rendition(t.Context(), r, asked)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(rendition.Content)
			if want := svgOf("<rect/>"); err != nil || !bytes.Equal(got, want) || rendition.Format != imagefile.SVG {
				t.Errorf("asked as %s: %s as %s, %v", asked, got, rendition.Format, err)
			}
			if err := rendition.Content.Close(); err != nil {
				t.Error(err)
			}
			if !core.Renditions.Makes(r, asked) || core.Renditions.ETag(r, asked) != core.Renditions.ETag(r, imagefile.PNG) {
				t.Errorf("%s is another rendition", asked)
			}
		}
	})
}

// TestVectorRefusals: what is wrong with an SVG is named, and quoted in no message.
func TestVectorRefusals(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		_, ticket := imagestest.Draft(t, core, images.NewDraft{})
		for _, c := range []struct {
			body string
			kind errs.Kind
			says string
		}{
			{"<svg><canary></svg>", errs.Undecodable, "not well-formed XML in line 1: an end tag has another name"},
			{`<?xml version="1.0" encoding="canary"?><svg/>`, errs.Unsupported, "another encoding"},
			{`<!DOCTYPE svg [<!ENTITY canary "x">]><svg/>`, errs.Unsupported, "a document type with declarations"},
			{`<svg xmlns="canary"/>`, errs.Unsupported, "not in the namespace of SVG"},
			{"<canary/>", errs.Unsupported, "Uploaded image must have"},
			{string(svgOf(strings.Repeat("<g>", 300))), errs.OverLimits, "at most 256 are allowed"},
			{`<svg width="1000001"/>`, errs.OverLimits, "1000001 pixels wide"},
		} {
			_, err := imagestest.Post(t.Context(), core, images.UploadRequest{Ticket: ticket}, []byte(c.body))
			imagestest.WantKind(t, err, c.kind)
			if e := errs.AsError(err); !strings.Contains(e.Msg, c.says) || strings.Contains(e.Msg, "canary") {
				t.Errorf("%.40q: %q, want %q", c.body, e.Msg, c.says)
			}
		}
		if left := blobs(t, core); len(left) != 0 {
			t.Errorf("originals are left: %v", left)
		}
	})
}

// TestManyVectorsAtOnce: SVGs that are sanitised at once wait for each other, and all are accepted.
func TestManyVectorsAtOnce(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: examines twenty large SVGs")
	}
	t.Parallel()
	core := imagestest.New(t)
	large := svgOf(strings.Repeat(`<path d="M0 0h1" fill="rgb(1,2,3)"/>`, 20_000))
	var wait sync.WaitGroup
	for i := range 20 {
		_, ticket := imagestest.Draft(t, core, images.NewDraft{})
		body := append(fmt.Appendf(nil, "<!-- %d -->", i), large...)
		wait.Go(func() {
			if _, err := imagestest.Post(t.Context(), core, images.UploadRequest{Ticket: ticket}, body); err != nil {
				t.Errorf("upload %d: %v", i, err)
			}
		})
	}
	wait.Wait()
}

// TestVectorByEveryDoor: an SVG is accepted by the API, by an import and from a URL, as by a one-time URL.
func TestVectorByEveryDoor(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, dsn string) { vectorByEveryDoor(t, fetcher(t, dsn)) })
}

func vectorByEveryDoor(t *testing.T, core *imagestest.Core) {
	body := svgOf("<rect/>")
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) }))
	t.Cleanup(s.Close)
	for door, enter := range map[string]func() (images.Image, error){
		"API": func() (images.Image, error) {
			return imagestest.Create(t, core, account, images.NewDraft{ID: imagestest.Ptr("API.svg")}, body)
		},
		"import": func() (images.Image, error) { return bring(t, core, imported("import"), body) },
		"URL": func() (images.Image, error) {
			fetched, err := core.FetchImage(t.Context(), account, s.URL+"/a.svg", images.NewDraft{})
			return fetched.Image, err
		},
	} {
		img, err := enter()
		if err != nil {
			t.Errorf("%s: %v", door, err)
			continue
		}
		if img.Original.Header.Format != imagefile.SVG || img.Original.Width != 64 ||
			!bytes.Equal(imagestest.Stored(t, core, img.ID), body) {
			t.Errorf("%s: %+v", door, img.Original)
		}
	}
}
