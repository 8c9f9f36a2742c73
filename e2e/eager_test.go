package e2e

import (
	"net/http"
	"strings"
	"testing"
)

// TestEager: with -eager the first view of each format is a hit, also after a kill -9, which discards the queue only;
// and a server with a queue ends at SIGTERM.
func TestEager(t *testing.T) {
	t.Parallel()
	address, flag := metricsAddress(t)
	s := newServer(t, flag, "-eager=public,missing", "-workers=2")
	rendered, misses := `calotype_eager_renditions_total{outcome="rendered"}`, "calotype_rendition_cache_misses_total"
	var ids []string
	for i := range 8 {
		ids = append(ids, s.uploaded(photo(t, 200, 150, 700+i)))
	}
	awaitMetric(t, address, rendered, func(n float64) bool { return n == float64(3*len(ids)) })
	view := func(when string) {
		t.Helper()
		for _, id := range ids {
			for accept, want := range map[string]string{
				"image/avif,image/webp,*/*": "image/avif", "image/webp,*/*": "image/webp", "*/*": "image/jpeg",
			} {
				a := do(t, "GET", s.public(id), nil, "Accept", accept)
				if a.status != http.StatusOK || a.header.Get("Content-Type") != want {
					t.Errorf("%s: status %d, %s instead of %s", when, a.status, a.header.Get("Content-Type"), want)
				}
			}
		}
		if n := scrape(t, address)[misses]; n != 0 {
			t.Errorf("%s: %v misses", when, n)
		}
	}
	view("the first views")
	s.kill()
	s.start()
	view("after kill -9")
	for i := range 30 {
		s.uploaded(photo(t, 1600, 1200, 800+i))
	}
	s.stop()
	if log := s.log.String(); strings.Contains(log, "panic") || strings.Contains(log, "render worker ended") {
		t.Errorf("the log of a server that ends while it renders:\n%s", log)
	}
}

// TestEagerOff: without the flag nothing is rendered before a view.
func TestEagerOff(t *testing.T) {
	t.Parallel()
	address, flag := metricsAddress(t)
	s := newServer(t, flag)
	a := do(t, "GET", s.public(s.uploaded(photo(t, 64, 48, 711))), nil)
	found := scrape(t, address)
	if _, pool := found[`calotype_pool_size{pool="eager"}`]; a.status != http.StatusOK || pool ||
		found["calotype_rendition_cache_misses_total"] != 1 || found[`calotype_render_slots{pool="eager"}`] != 0 {
		t.Errorf("status %d, a pool: %v, %v misses, %v slots", a.status, pool, found["calotype_rendition_cache_misses_total"],
			found[`calotype_render_slots{pool="eager"}`])
	}
}
