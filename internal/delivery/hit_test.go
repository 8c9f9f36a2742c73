package delivery_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"calotype/internal/delivery"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
)

// A discarded is an answer whose body is discarded.
type discarded struct {
	header http.Header
	status int
	size   int
}

func (d *discarded) Header() http.Header { return d.header }

func (d *discarded) WriteHeader(status int) { d.status = status }

func (d *discarded) Write(p []byte) (int, error) {
	d.size += len(p)
	return len(p), nil
}

// BenchmarkHit measures the delivery of a rendition in the cache, in the handler only.
func BenchmarkHit(b *testing.B) {
	core := imagestest.Open(b, images.Config{}, filepath.Join(b.TempDir(), "calotype.db"))
	body, err := core.BeginImage(imagestest.AccountID, -1)
	if err != nil {
		b.Fatal(err)
	}
	defer body.Close()
	if _, err := body.Write(imagestest.JPEG(b, 1)); err != nil {
		b.Fatal(err)
	}
	img, err := body.Create(b.Context(), "a.jpg", images.NewDraft{})
	if err != nil {
		b.Fatal(err)
	}
	handler := delivery.New(delivery.Config{Renditions: core.Renditions, Log: slog.New(slog.DiscardHandler), Negotiate: true})
	r := httptest.NewRequest("GET", "/"+img.Hash+"/"+img.ID+"/public", nil)
	b.ReportAllocs()
	for b.Loop() {
		w := &discarded{header: http.Header{}}
		if handler.ServeHTTP(w, r); w.status != http.StatusOK || w.size == 0 {
			b.Fatalf("status %d, %d bytes", w.status, w.size)
		}
	}
}
