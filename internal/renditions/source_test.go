package renditions_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"calotype/internal/clientaddr"
	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/outbound"
	"calotype/internal/renditions"
)

// A request for a new source counts as a new rendition of the client; cached sources do not count.
func TestSourcesCountAsMisses(t *testing.T) {
	t.Parallel()
	picture := imagestest.JPEG(t, 1)
	var asked atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		_, _ = w.Write(picture)
	}))
	t.Cleanup(s.Close)
	local, err := outbound.ParseNetworks("127.0.0.0/8")
	if err != nil {
		t.Fatal(err)
	}
	places, err := outbound.ParsePlaces("-remote-sources", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	core := imagestest.OpenWith(t, images.Config{}, renditions.Config{MissRate: 1,
		Outbound: outbound.New(outbound.Config{Allow: local}), Sources: places}, filepath.Join(t.TempDir(), "calotype.db"))
	client := clientaddr.With(t.Context(), clientaddr.Peer{Key: "a"})
	ctx, cancel := context.WithCancel(client)
	defer cancel()
	for range 30 {
		if _, _, err := core.Renditions.ResolveSource(ctx, s.URL+"/0"); err != nil {
			t.Fatal(err)
		}
	}
	var wait sync.WaitGroup
	var limited atomic.Int64
	for i := range 60 {
		wait.Go(func() {
			_, _, err := core.Renditions.ResolveSource(ctx, fmt.Sprintf("%s/%d", s.URL, i+1))
			if err != nil && errs.AsError(err).Kind == errs.RateLimited {
				limited.Add(1)
				cancel() // the others wait for seconds
			}
		})
	}
	wait.Wait()
	if limited.Load() == 0 || asked.Load() > 30 {
		t.Errorf("%d of 60 were refused after %d requests", limited.Load(), asked.Load())
	}
	if _, _, err := core.Renditions.ResolveSource(client, s.URL+"/0"); err != nil {
		t.Errorf("a cached source: %v", err)
	}
	if _, _, err := core.Renditions.ResolveSource(clientaddr.With(client, clientaddr.Peer{Key: "b"}), s.URL+"/x"); err != nil {
		t.Errorf("a source of another client: %v", err)
	}
}
