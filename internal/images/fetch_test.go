package images_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/outbound"
	"calotype/internal/sqldb/sqldbtest"
)

// fetcher is a core that may fetch from this machine.
func fetcher(t *testing.T, dsn string) *imagestest.Core {
	t.Helper()
	local, err := outbound.ParseNetworks("127.0.0.0/8")
	if err != nil {
		t.Fatal(err)
	}
	return imagestest.Open(t, images.Config{
		Outbound: outbound.New(outbound.Config{Allow: local}), MaxUploadBytes: 50_000,
	}, dsn)
}

func TestFetch(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, dsn string) {
		core := fetcher(t, dsn)
		picture := imagestest.JPEG(t, 1)
		var asked atomic.Int64
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked.Add(1)
			switch r.URL.Path {
			case "/large":
				_, _ = w.Write(make([]byte, 50_001))
			case "/text":
				fmt.Fprint(w, "no picture")
			case "/broken.jpg":
				_, _ = w.Write(picture[:len(picture)/2])
			case "/a/ж.jpg":
				_, _ = w.Write(picture)
			default:
				http.NotFound(w, r)
			}
		}))
		t.Cleanup(s.Close)
		from := strings.Replace(s.URL, "http://", "http://us:canary@", 1)
		img, err := core.FetchImage(t.Context(), account, from+"/a/%D0%B6.jpg?x=y",
			images.NewDraft{ID: imagestest.Ptr("mine"), Creator: imagestest.Ptr("me")})
		if err != nil {
			t.Fatal(err)
		}
		if img.Draft || img.ID != "mine" || *img.Filename != "ж.jpg" || *img.Creator != "me" ||
			string(imagestest.Stored(t, core, "mine")) != string(picture) {
			t.Errorf("got %+v", img)
		}
		for path, want := range map[string]errs.Kind{
			"/large": errs.TooLarge, "/text": errs.Unsupported, "/broken.jpg": errs.Undecodable,
			"/none": errs.FetchFailed, "/a/%D0%B6.jpg": errs.Exists,
		} {
			_, err := core.FetchImage(t.Context(), account, from+path, images.NewDraft{ID: imagestest.Ptr("mine")})
			imagestest.WantKind(t, err, want)
			if strings.Contains(err.Error(), "canary") {
				t.Errorf("an error holds a secret: %v", err)
			}
		}
		before := asked.Load()
		for _, d := range []images.NewDraft{{ID: imagestest.Ptr("/")}, {Creator: imagestest.Ptr("\x00")},
			{ID: imagestest.Ptr("x"), RequireSignedURLs: true}} {
			if _, err := core.FetchImage(t.Context(), account, from+"/text", d); err == nil {
				t.Errorf("%+v was not refused", d)
			}
		}
		if asked.Load() != before {
			t.Error("what is refused anyway was fetched")
		}
		if left := blobs(t, core); len(left) != 1 {
			t.Errorf("%d originals are stored, want 1", len(left))
		}
		if left := imagestest.Files(t, core.Dir+"/spool"); len(left) != 0 {
			t.Errorf("in the spool are left: %v", left)
		}
	})
}

// TestFetchesAreBounded: two accounts take what they get, a third gets in; and a fetch ends with its
// asker.
func TestFetchesAreBounded(t *testing.T) {
	t.Parallel()
	core := fetcher(t, t.TempDir()+"/calotype.db")
	asked, left := make(chan struct{}), make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-r.Context().Done()
		left <- struct{}{}
	}))
	t.Cleanup(s.Close)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	fetch := func() {
		_, err := core.FetchImage(ctx, account, s.URL, images.NewDraft{})
		ended <- err
	}
	const most = 16
	for range most {
		go fetch()
		<-asked
	}
	_, err := core.FetchImage(t.Context(), account, s.URL, images.NewDraft{})
	imagestest.WantKind(t, err, errs.Busy)
	const theirs = 8 // of what is left
	ids := imagestest.Accounts(t, core, 2)
	for range theirs {
		go func() {
			_, err := core.FetchImage(ctx, ids[0], s.URL, images.NewDraft{})
			ended <- err
		}()
		<-asked
	}
	_, err = core.FetchImage(t.Context(), ids[0], s.URL, images.NewDraft{})
	imagestest.WantKind(t, err, errs.Busy)
	_, err = core.FetchImage(t.Context(), ids[1], "http://[::1", images.NewDraft{})
	imagestest.WantKind(t, err, errs.FetchFailed) // it got in
	cancel()
	for range most + theirs {
		imagestest.WantKind(t, <-ended, errs.Aborted)
		<-left // the origin sees that the connection is gone
	}
	_, err = core.FetchImage(t.Context(), account, "http://[::1", images.NewDraft{})
	imagestest.WantKind(t, err, errs.FetchFailed)
	if spool := imagestest.Files(t, core.Dir+"/spool"); len(spool) != 0 {
		t.Errorf("in the spool are left: %v", spool)
	}
}

// TestNothingIsOpenAtFirst: without a word by the operator only public addresses are fetched from.
func TestNothingIsOpenAtFirst(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("the request got through")
	}))
	t.Cleanup(s.Close)
	_, err := imagestest.New(t).FetchImage(t.Context(), account, s.URL, images.NewDraft{})
	imagestest.WantKind(t, err, errs.FetchFailed)
	if !strings.Contains(err.Error(), "-outbound-allow") {
		t.Errorf("the flag is not named: %v", err)
	}
}
