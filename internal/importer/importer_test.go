package importer_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/images/imagestest"
	"calotype/internal/importer"
	"calotype/internal/listing"
	"calotype/internal/outbound"
)

func TestMain(m *testing.M) { imagestest.Main(m) }

const account = imagestest.AccountID

// config is an import from s into core.
func config(t *testing.T, s *source, core *imagestest.Core) importer.Config {
	t.Helper()
	open, err := outbound.ParseNetworks("127.0.0.0/8")
	if err != nil {
		t.Fatal(err)
	}
	here, err := core.Accounts.ByID(t.Context(), account)
	if err != nil {
		t.Fatal(err)
	}
	client := outbound.ForHost(outbound.Config{Allow: open}, 4)
	t.Cleanup(client.CloseIdleConnections)
	return importer.Config{
		Core: core.Service, Account: here, HTTP: client, Parallel: 4, Backoff: time.Millisecond,
		Source: importer.Source{
			API: s.server.URL + "/client/v4/", Account: sourceAccount, Token: sourceToken,
		},
		Warn: func(string) {},
	}
}

// bring runs an import that must end with want.
func bring(t *testing.T, c importer.Config, want error) importer.Report {
	t.Helper()
	report, err := importer.Run(t.Context(), c)
	if !errors.Is(err, want) {
		t.Fatalf("the import ended with %v, want %v\n%+v", err, want, report)
	}
	text, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{sourceToken, "Oix0bbNaT8Rge9PuyxUBrjI6zrgnsyJ5"} {
		if bytes.Contains(text, []byte(secret)) {
			t.Errorf("the report holds a secret: %s", text)
		}
	}
	return report
}

// want compares all of the source's images with what is here, but those left out.
func (s *source) want(t *testing.T, core *imagestest.Core, without ...string) {
	t.Helper()
	for _, i := range s.images {
		_, r, err := core.OpenOriginal(t.Context(), account, i.id)
		if strings.Contains(strings.Join(without, "\n")+"\n", i.id+"\n") {
			if err == nil {
				t.Errorf("%q is here", i.id)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", i.id, err)
			continue
		}
		body, err := io.ReadAll(r)
		if err = errors.Join(err, r.Close()); err != nil || !bytes.Equal(body, i.body) {
			t.Errorf("%q: the bytes are others, %v", i.id, err)
		}
	}
}

func TestImport(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		s := newSource(t)
		s.add(20)
		s.images[3].id, s.images[3].more = "a/b/ü x%2F?#.jpg", `,"filename":"cat.jpg"`+
			`,"meta":{"k":[1,{"x":"<&>"}]},"creator":"someone"`
		s.images[4].more = `,"meta":null,"filename":null,"draft":false`
		s.variants = `{"public":{"id":"public","options":{"fit":"cover","width":100,"height":"50",` +
			`"metadata":"keep","browser_ttl":3600}},"thumb":{"options":{"width":64.0},` +
			`"neverRequireSignedURLs":true}}`
		report := bring(t, config(t, s, core), nil)
		if c := report.Images; c.Exists != 20 || c.Imported != 20 || !report.Complete || s.fetched() != 20 {
			t.Errorf("report: %+v, %d fetched", report, s.fetched())
		}
		s.want(t, core)
		img, err := core.Image(t.Context(), account, "a/b/ü x%2F?#.jpg")
		if err != nil {
			t.Fatal(err)
		}
		if !img.Custom || *img.Filename != "cat.jpg" || string(img.Meta) != `{"k":[1,{"x":"<&>"}]}` ||
			*img.Creator != "someone" ||
			img.Uploaded.Format(time.RFC3339Nano) != s.images[3].uploaded {
			t.Errorf("the image is %+v", img)
		}
		wantSettings(t, core)

		again := bring(t, config(t, s, core), nil)
		if again.Images.Exists != 20 || again.Images.Imported != 0 || s.fetched() != 20 {
			t.Errorf("again: %+v, %d fetched", again.Images, s.fetched())
		}
	})
}

func wantSettings(t *testing.T, core *imagestest.Core) {
	t.Helper()
	public, err := core.Variant(t.Context(), account, "public")
	if err != nil || public.Options.Width != 100 || public.Options.Height != 50 ||
		public.BrowserTTL != time.Hour || public.Options.Fit != "cover" {
		t.Errorf("public is %+v, %v", public, err)
	}
	thumb, err := core.Variant(t.Context(), account, "thumb")
	if err != nil || thumb.Options.Width != 64 || !thumb.NeverRequireSignedURLs {
		t.Errorf("thumb is %+v, %v", thumb, err)
	}
	set, err := core.Accounts.Configure(t.Context(), account, accounts.SettingsChange{})
	if err != nil || !set.FlexibleVariants || set.BrowserTTL != 2*time.Hour {
		t.Errorf("the configuration is %+v, %v", set, err)
	}
	keys, err := core.Accounts.SigningKeys(t.Context(), account)
	if err != nil || len(keys) != 2 || keys[0].Name != "default-was" ||
		keys[1] != (accounts.SigningKey{Name: "default", Value: "Oix0bbNaT8Rge9PuyxUBrjI6zrgnsyJ5="}) {
		t.Errorf("keys: %v, %v", keys, err)
	}
}

// TestImportGoesOn: one that was stopped half-way is run again, and does what is left.
func TestImportGoesOn(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		s := newSource(t)
		s.add(30)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		blobs := 0
		s.refuse = func(_ http.ResponseWriter, path string) bool {
			if strings.HasSuffix(path, "/blob") {
				if blobs++; blobs == 12 {
					stop()
				}
			}
			return false
		}
		report, err := importer.Run(ctx, config(t, s, core))
		if err == nil || report.Complete || report.Images.Imported >= 30 {
			t.Fatalf("stopped: %+v, %v", report, err)
		}
		before := report.Images.Imported
		report = bring(t, config(t, s, core), nil)
		// What was on its way when it stopped may be here without having been counted.
		if n := report.Images.Imported + before; n > 30 || n < 26 || report.Images.Exists != 30 {
			t.Errorf("%d before, then %+v", before, report.Images)
		}
		s.want(t, core)
		page, err := core.Lists.Images(t.Context(), account, listing.Query{Limit: 100})
		if err != nil || len(page.Images) != 30 {
			t.Errorf("%d images are here, %v", len(page.Images), err)
		}
	})
}

// TestImportOutlivesFailures: failures that pass are got over, and when the source names a time to
// wait, it is waited for.
func TestImportOutlivesFailures(t *testing.T) {
	t.Parallel()
	core, s := imagestest.New(t), newSource(t)
	s.add(15)
	n, limited, last := 0, time.Time{}, time.Time{}
	s.refuse = func(w http.ResponseWriter, path string) bool {
		last = time.Now()
		switch n++; {
		case n == 11:
			limited = time.Now()
			w.Header().Set("Retry-After", "1")
			text(w, http.StatusTooManyRequests, "slow down")
		case n%5 == 1:
			text(w, http.StatusBadGateway, "<html>")
		case n%5 == 2 && strings.HasSuffix(path, "/blob"):
			w.Header().Set("Content-Length", "99999")
			fmt.Fprint(w, "it breaks off")
		default:
			return false
		}
		return true
	}
	report := bring(t, config(t, s, core), nil)
	if report.Images.Exists != 15 || limited.IsZero() {
		t.Errorf("report: %+v", report)
	}
	if after := last.Sub(limited); after < time.Second {
		t.Errorf("the import has ended %v after a Retry-After of a second", after)
	}
	s.want(t, core)
}

func TestImportStops(t *testing.T) {
	t.Parallel()
	core, s := imagestest.New(t), newSource(t)
	s.add(50)
	c := config(t, s, core)
	c.Source.Token = "wrong"
	if report, err := importer.Run(t.Context(), c); err == nil || report.Complete {
		t.Errorf("a wrong token: %+v, %v", report, err)
	}
	s.refuse = func(w http.ResponseWriter, path string) bool {
		if strings.HasSuffix(path, "/blob") {
			text(w, http.StatusInternalServerError, "ERROR 5500: Internal Server Error")
			return true
		}
		return false
	}
	report, err := importer.Run(t.Context(), config(t, s, core))
	if err == nil || report.Complete || report.Images.Failed < 20 || report.Images.Failed > 30 {
		t.Errorf("a source that is down: %+v, %v", report.Images, err)
	}
	s.refuse = nil
	c = config(t, s, core)
	c.HTTP = outbound.ForHost(outbound.Config{}, 1)
	if _, err := importer.Run(t.Context(), c); !errors.As(err, new(*outbound.Error)) {
		t.Errorf("a network that is not open: %v", err)
	}
}

// TestImportReports: the report lists images that are not valid here, and all others are imported.
func TestImportReports(t *testing.T) {
	t.Parallel()
	core, s := imagestest.New(t), newSource(t)
	s.add(12)
	s.images[1].body = []byte(`<html xmlns="http://www.w3.org/1999/xhtml"/>`)
	s.images[2].body = s.images[2].body[:300]
	s.images[3].id = "keys/mine"
	s.images[4].uploaded = "yesterday"
	s.images[5].more = `,"meta":{"long":"` + strings.Repeat("x", 1100) + `"}`
	s.images[6].more = `,"original":{"file_size":5,"sha256":""}`
	s.images[7].more = `,"draft":true`
	s.images[8].more = `,"original":{"file_size":999999999,"sha256":""}`
	gone := s.images[9].id
	s.variants = `{"drawn":{"options":{"width":10,"draw":"x"}},"a-b":{"options":{"width":10}}}`
	s.keys, s.config = `[{"name":"no name","value":"x"}]`, ""
	s.refuse = func(w http.ResponseWriter, path string) bool {
		if strings.Contains(path, gone) { // it is deleted after it was listed
			s.images = append(s.images[:9:9], s.images[10:]...)
			text(w, http.StatusNotFound, "ERROR 5404: Image not found")
			return true
		}
		return false
	}
	ids := func(at ...int) (ids []string) {
		for _, i := range at {
			ids = append(ids, s.images[i].id)
		}
		return ids
	}
	without := ids(1, 2, 3, 4, 6, 7, 8)
	report := bring(t, config(t, s, core), importer.ErrIncomplete)
	got := map[string]importer.Outcome{}
	for _, p := range report.Problems {
		got[p.What+" "+p.ID] = p.Outcome
		if p.Reason == "" {
			t.Errorf("no reason: %+v", p)
		}
	}
	want := map[string]importer.Outcome{
		"variant drawn": "refused", "variant a-b": "refused", "key no name": "refused",
		"image " + without[5]: "",
	}
	for i, id := range without[:5] {
		want["image "+id] = []importer.Outcome{"refused", "refused", "refused", "refused", "failed"}[i]
	}
	want["image "+without[6]] = "refused"
	want["image "+ids(5)[0]] = "reduced"
	for what, outcome := range want {
		if got[what] != outcome {
			t.Errorf("%s: %q, want %q", what, got[what], outcome)
		}
	}
	c := report.Images
	if len(report.Problems) != len(want)-1 || c.Gone != 1 || c.Exists != 4 || len(report.Notes) != 2 {
		t.Errorf("report: %+v", report)
	}
	s.want(t, core, without...)
	if s.blobs[without[0]] != 1 {
		t.Errorf("what was refused was fetched %d times", s.blobs[without[0]])
	}
}

// TestImportLeavesWhatIsAnother: nothing here is changed unasked.
func TestImportLeavesWhatIsAnother(t *testing.T) {
	t.Parallel()
	core, s := imagestest.New(t), newSource(t)
	s.add(3)
	bring(t, config(t, s, core), nil)
	s.images[0].more = `,"creator":"new"`
	s.images[1].uploaded = "2024-01-01T00:00:00Z"
	s.variants = `{"public":{"options":{"width":10}},"thumb":{"options":{"width":20}}}`
	bring(t, config(t, s, core), importer.ErrNotAllImported)
	s.variants = `{"public":{"options":{"width":10}},"thumb":{"options":{"width":30}}}`
	report := bring(t, config(t, s, core), importer.ErrNotAllImported)
	if report.Images.Differ != 2 || len(report.Problems) != 3 {
		t.Errorf("report: %+v", report)
	}
	c := config(t, s, core)
	c.Update = true
	report = bring(t, c, importer.ErrNotAllImported)
	if report.Images.Differ != 1 || report.Images.Updated != 1 || len(report.Problems) != 1 {
		t.Errorf("updated: %+v", report)
	}
	img, err := core.Image(t.Context(), account, s.images[0].id)
	if err != nil || img.Creator == nil || *img.Creator != "new" {
		t.Errorf("the image is %+v, %v", img, err)
	}
	thumb, err := core.Variant(t.Context(), account, "thumb")
	if err != nil || thumb.Options.Width != 30 {
		t.Errorf("thumb is %+v, %v", thumb, err)
	}
}

// TestImportOfACalotype: the settings that only a Calotype has come along, and a private image keeps its custom id.
func TestImportOfACalotype(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		s := newSource(t)
		s.add(2)
		s.images[0].id, s.images[0].more = "users/7", `,"requireSignedURLs":true`
		s.config = `{"flexible_variants":true,"private_options":true,"private_custom_ids":true,"lenient_options":true}`
		report := bring(t, config(t, s, core), nil)
		set, err := core.Accounts.Configure(t.Context(), account, accounts.SettingsChange{})
		if err != nil || !set.PrivateOptions || !set.PrivateCustomIDs || !set.LenientOptions {
			t.Errorf("the configuration is %+v, %v", set, err)
		}
		if notes := strings.Join(report.Notes, "\n"); !strings.Contains(notes, "private_options") {
			t.Errorf("the notes are %q", notes)
		}
		img, err := core.Image(t.Context(), account, "users/7")
		if err != nil || !img.Custom || !img.RequireSignedURLs {
			t.Errorf("the image is %+v, %v", img, err)
		}
		s.images[0].more = `,"requireSignedURLs":false`
		c := config(t, s, core)
		c.Update = true
		bring(t, c, nil)
		s.images[0].more = `,"requireSignedURLs":true`
		bring(t, c, nil)
		if img, err = core.Image(t.Context(), account, "users/7"); err != nil || !img.Custom || !img.RequireSignedURLs {
			t.Errorf("after updates the image is %+v, %v", img, err)
		}
	})
}
