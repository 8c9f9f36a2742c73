package e2e

import (
	"context"
	"fmt"
	"math/rand"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

// violence is how many signals the workers get.
const violence = 40

// A load uploads pictures and asks for their renditions, all of them new, without a pause, and
// keeps account of what failed.
type load struct {
	*server
	picture []byte

	mu      sync.Mutex
	seed    int
	good    map[string]int // answers 200, by what was asked
	bad     []string       // refusals that a lost worker explains
	unmade  []string       // delivery URLs of which a rendition failed
	pending sync.WaitGroup
}

// TestWorkersKilledAndStopped kills and stops workers under load. Each signal costs at most the
// request in that worker.
func TestWorkersKilledAndStopped(t *testing.T) {
	t.Parallel()
	s := newServer(t, "-worker-timeout", "2s", "-workers", "2")
	l := &load{server: s, picture: photo(t, 1200, 900, 1), good: map[string]int{}}
	l.run(t, func() { l.await(20) }) // until all that grows once has grown
	before := s.holdings()
	kills, stops := 0, 0
	rnd := rand.New(rand.NewSource(5))
	l.run(t, func() {
		for i := range violence {
			l.await(1 + rnd.Intn(3))
			time.Sleep(time.Duration(rnd.Intn(40)) * time.Millisecond)
			workers := s.workers()
			if len(workers) == 0 {
				continue
			}
			signal, n := syscall.SIGKILL, &kills
			if i%5 == 4 {
				signal, n = syscall.SIGSTOP, &stops
			}
			if syscall.Kill(workers[rnd.Intn(len(workers))], signal) == nil {
				*n++
			}
		}
	})
	t.Logf("%d killed, %d stopped; answered 200: %v; failed: %d", kills, stops, l.good, len(l.bad))
	if kills < violence/2 || stops < violence/10 {
		t.Errorf("only %d workers were killed and %d stopped", kills, stops)
	}
	if len(l.bad) > kills+stops {
		t.Errorf("%d requests failed by %d signals: %q", len(l.bad), kills+stops, l.bad)
	}
	// A worker that was stopped while idle would fail its next job.
	for _, pid := range s.workers() {
		_ = syscall.Kill(pid, syscall.SIGCONT) // else it is gone
	}
	l.wantRecovery(t)
	// As many as may work at once in the two lanes: twice -workers and one in each.
	const mostWorkers = 2 * (2*2 + 1)
	after := s.holdings()
	t.Logf("before: %v; after: %v", before, after)
	if after.resident > before.resident+96<<20 || after.threads > before.threads+16 ||
		after.files > before.files+pooledFiles+openRenditions || after.kids > mostWorkers {
		t.Errorf("the server holds %v, before %v", after, before)
	}
}

// run lets six clients work while fn runs, and then to the end of what they are at.
func (l *load) run(t *testing.T, fn func()) {
	ctx, cancel := context.WithCancel(t.Context())
	defer l.pending.Wait()
	defer cancel()
	for range 6 {
		l.pending.Go(func() {
			for ctx.Err() == nil {
				l.one(t)
			}
		})
	}
	fn()
}

// await waits until more further requests were answered 200.
func (l *load) await(more int) {
	want := l.goods() + more
	for deadline := time.Now().Add(time.Minute); l.goods() < want; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			l.t.Fatalf("under load the server no longer answers\n%s", l.tail())
		}
	}
}

func (l *load) goods() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, one := range l.good {
		n += one
	}
	return n
}

// one uploads a picture and asks for its two renditions.
func (l *load) one(t *testing.T) {
	l.mu.Lock()
	l.seed++
	picture := tagged(l.picture, l.seed)
	l.mu.Unlock()
	u := l.createUploadURL()
	body, kind := fileForm(t, "load.jpg", picture)
	a, err := send(t.Context(), "POST", u.UploadURL, body, "Content-Type", kind)
	if !l.account(t, "upload", a, err) {
		return
	}
	p, ok := l.image(u.ID)
	if !ok || len(p.Variants) != 1 {
		t.Errorf("an uploaded image has no variant: %+v", p)
		return
	}
	for _, accept := range []string{"", "image/webp"} {
		a, err := send(t.Context(), "GET", p.Variants[0], nil, "Accept", accept)
		if !l.account(t, "rendition", a, err) {
			l.mu.Lock()
			l.unmade = append(l.unmade, p.Variants[0])
			l.mu.Unlock()
		}
	}
}

// account notes an answer. A request may only fail as one whose picture hurts its worker.
func (l *load) account(t *testing.T, what string, a answer, err error) (ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err != nil:
		t.Errorf("%s: %v", what, err)
	case a.status == http.StatusOK:
		l.good[what]++
		return true
	case a.status == http.StatusUnprocessableEntity,
		// Its worker was killed before it had begun.
		a.status == http.StatusServiceUnavailable && a.header.Get("Retry-After") != "":
		l.bad = append(l.bad, fmt.Sprintf("%s: %.120s", what, a.body))
	default:
		t.Errorf("%s: status %d: %.300s", what, a.status, a.body)
	}
	return false
}

// wantRecovery checks that the server works as before, and that what failed can be made, once the
// server tries it again: it remembers a failure for half a minute.
func (l *load) wantRecovery(t *testing.T) {
	t.Helper()
	failed := len(l.bad)
	for range 10 {
		l.one(t)
	}
	if len(l.bad) != failed {
		t.Errorf("requests fail although no worker is killed: %q", l.bad[failed:])
	}
	for _, url := range l.unmade {
		for _, accept := range []string{"", "image/webp"} {
			l.wantMade(t, url, accept)
		}
	}
}

func (l *load) wantMade(t *testing.T, url, accept string) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(250 * time.Millisecond) {
		a := do(t, "GET", url, nil, "Accept", accept)
		if a.status == http.StatusOK {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("a rendition whose worker was killed stays unmade: status %d, %s",
				a.status, a.body)
			return
		}
	}
}

// TestHostileFlood posts a hundred hostile files at once, and a good one among them.
func TestHostileFlood(t *testing.T) {
	t.Parallel()
	s := newServer(t, "-worker-timeout", "5s")
	files := hostileFiles(t)
	var flood sync.WaitGroup
	var mu sync.Mutex
	statuses := map[int]int{}
	urls := make([]oneTimeURL, 100)
	for i := range urls {
		urls[i] = s.createUploadURL()
	}
	for i, u := range urls {
		flood.Go(func() {
			body, kind := fileForm(t, "hostile", files[i%len(files)])
			a, err := send(t.Context(), "POST", u.UploadURL, body, "Content-Type", kind)
			if err != nil || a.status >= 500 && a.status != http.StatusServiceUnavailable {
				t.Errorf("a hostile file: status %d, %v: %s", a.status, err, a.body)
			}
			mu.Lock()
			defer mu.Unlock()
			statuses[a.status]++
		})
	}
	good, refused := s.createUploadURL(), 0
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		a := post(t, good.UploadURL, "good.jpg", photo(t, 400, 300, 1))
		if a.status == http.StatusOK {
			break
		}
		refused++
		if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" ||
			time.Now().After(deadline) {
			t.Fatalf("the good file: status %d: %s", a.status, a.body)
		}
	}
	flood.Wait()
	t.Logf("hostile files were answered %v; the good one after %d times 503", statuses, refused)
	if p, ok := s.image(good.ID); !ok || p.Draft {
		t.Errorf("the good file is no image")
	}
	if left := s.spooled(); len(left) != 0 {
		t.Errorf("the spool holds %d files", len(left))
	}
}

// hostileFiles returns files that fuzzers found or that were damaged: of the corpus, else made.
func hostileFiles(t *testing.T) (files [][]byte) {
	t.Helper()
	dir := os.Getenv("CALOTYPE_CORPUS")
	if dir == "" && os.Getenv("CI") == "true" {
		t.Fatal("CALOTYPE_CORPUS is not set")
	}
	for _, folder := range []string{"fuzz-known", "bomb", "fuzz-bitflip", "truncated"} {
		if dir == "" {
			break
		}
		paths, err := filepath.Glob(filepath.Join(dir, folder, "*"))
		if err != nil || len(paths) == 0 {
			t.Fatalf("the corpus has no %s: %v", folder, err)
		}
		for _, path := range paths {
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, content)
		}
	}
	if files == nil {
		rnd := rand.New(rand.NewSource(3))
		for i := range 100 {
			damaged := photo(t, 640, 480, i)
			for range 1 + i/4 {
				damaged[20+rnd.Intn(len(damaged)-20)] ^= 1 << rnd.Intn(8)
			}
			files = append(files, slices.Clip(damaged[:len(damaged)-i*len(damaged)/120]))
		}
	}
	return files
}
