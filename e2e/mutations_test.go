package e2e

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"calotype/internal/imagefile"
	"calotype/internal/imagefile/imagefiletest"
)

// A mutation run uploads damaged files and requests one rendition of each accepted one.
type mutation struct {
	*server
	files []specimen
	base  string // of deliveries
	mu    sync.Mutex

	metrics string // the address of the metrics
	// What was answered: "upload 200", "delivery 403/9413", and how often.
	outcomes map[string]int
	workers  map[int]bool // all that were seen
	memory   []int64      // of all processes, in bytes, one sample a second
}

// TestMutations uploads files that are made of the corpus by random damage, through real workers, and requests each
// accepted one in a random format with random options. No answer is a server error, and memory does not grow.
//
// CALOTYPE_MUTATIONS is the number of files, and CALOTYPE_MUTATIONS_SEED the seed; an error names the file's number,
// and CALOTYPE_MUTATIONS_FROM begins there. A run of less than fullRun files says nothing about memory: its workers
// are still starting.
func TestMutations(t *testing.T) {
	t.Parallel()
	files := readManifest(t, imagefiletest.Corpus(t))
	files = slices.DeleteFunc(files, func(s specimen) bool { return len(s.content) == 0 })
	count, seed, from := variable(t, "MUTATIONS", 150), variable(t, "MUTATIONS_SEED", 1), variable(t, "MUTATIONS_FROM", 0)
	address, flag := metricsAddress(t)
	m := &mutation{server: newServer(t, flag), metrics: address, files: files, outcomes: map[string]int{}, workers: map[int]bool{}}
	m.configured("PATCH", "images/v1/config", `{"flexible_variants":true}`)
	m.base = m.url + "/" + accountHashOf(accountID) + "/"
	before, stop := m.holdings(), m.watch()
	next := make(chan int)
	var clients sync.WaitGroup
	for range 3 {
		clients.Go(func() {
			for n := range next {
				m.one(t, mutantOf(files, uint64(seed), n))
			}
		})
	}
	for n := range count {
		next <- from + n
	}
	close(next)
	clients.Wait()
	stop()
	m.report(t, before, count)
}

// fullRun is the number of files from which on the memory is compared.
const fullRun = 2000

// variable returns the number in a variable of the environment.
func variable(t *testing.T, name string, otherwise int) int {
	text := os.Getenv("CALOTYPE_" + name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		t.Fatalf("CALOTYPE_%s is %q, no number", name, text)
	}
	return n
}

// watch samples the processes each second until the returned function is called.
func (m *mutation) watch() (stop func()) {
	ctx, cancel := context.WithCancel(m.t.Context())
	var watching sync.WaitGroup
	watching.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for ctx.Err() == nil {
			resident, workers := m.treeMemory(), m.server.workers()
			m.mu.Lock()
			m.memory = append(m.memory, resident)
			for _, pid := range workers {
				m.workers[pid] = true
			}
			m.mu.Unlock()
			select {
			case <-ctx.Done():
			case <-tick.C:
			}
		}
	})
	return func() { cancel(); watching.Wait() }
}

// one uploads a mutant, requests a rendition of it if it is accepted, and deletes it.
func (m *mutation) one(t *testing.T, s mutant) {
	u := m.createUploadURL()
	body, kind := fileForm(t, path.Base(s.path), s.content)
	ctx, cancel := context.WithTimeout(t.Context(), uploadTime)
	defer cancel()
	a, ok := m.answered(t, s, "upload", func() (answer, error) {
		return send(ctx, "POST", u.UploadURL, strings.NewReader(body.String()), "Content-Type", kind)
	})
	if !ok {
		return
	}
	if a.status != http.StatusOK {
		m.note("upload", fmt.Sprintf("%d/%d", a.status, a.code(t)))
		if a.status >= 500 || a.code(t) == 0 {
			t.Errorf("%v: the upload: status %d: %.300s", s, a.status, a.body)
		}
		return
	}
	m.note("upload", "200")
	options, accept := randomOptions(s.rnd)
	a, ok = m.answered(t, s, "delivery", func() (answer, error) {
		return send(ctx, "GET", m.base+u.ID+"/"+options, nil, "Accept", accept)
	})
	if ok {
		m.delivered(t, s, a, options+" for "+accept)
	}
	if a := m.api("DELETE", "images/v1/"+u.ID, nil); a.status != http.StatusOK {
		t.Errorf("%v: the deletion: status %d: %.300s", s, a.status, a.body)
	}
}

// answered sends a request until the server is not busy.
func (m *mutation) answered(t *testing.T, s mutant, what string, request func() (answer, error)) (answer, bool) {
	for {
		a, err := request()
		if err != nil {
			t.Errorf("%v: %s: no answer: %v", s, what, err)
			return a, false
		}
		if a.status != http.StatusServiceUnavailable {
			return a, true
		}
		m.note(what, "503")
		if a.header.Get("Retry-After") == "" {
			t.Errorf("%v: %s: 503 without Retry-After", s, what)
			return a, false
		}
		time.Sleep(time.Second)
	}
}

func (m *mutation) note(what, outcome string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.outcomes[what+" "+outcome]++
}

// delivered checks the answer to a request of a rendition.
func (m *mutation) delivered(t *testing.T, s mutant, a answer, options string) {
	if a.status != http.StatusOK {
		m.note("delivery", fmt.Sprint(a.status, " ", a.header.Get("Cf-Resized")))
		if a.status >= 500 {
			t.Errorf("%v: %s: status %d: %.300s", s, options, a.status, a.body)
		}
		return
	}
	kind := a.header.Get("Content-Type")
	m.note("delivery 200", kind)
	if strings.HasPrefix(kind, "application/json") {
		return
	}
	d, err := inspect(a.body)
	switch {
	case err != nil && s.tooLarge():
		// Its frames are as they came, and Go's decoder refuses some that browsers show.
	case err != nil:
		t.Errorf("%v: %s: %v", s, options, err)
	case d.mime != kind || a.header.Get("X-Content-Type-Options") != "nosniff":
		t.Errorf("%v: %s: a %s has the header %v", s, options, d.mime, a.header)
	case d.mime == "image/svg+xml":
		if err := harmless(a.body); err != nil {
			t.Errorf("%v: %s: %v", s, options, err)
		}
	}
}

// tooLarge reports whether a mutant is an animation that is delivered at its own size, without its metadata.
func (m mutant) tooLarge() bool {
	h, err := imagefile.ReadHeader(bytes.NewReader(m.content), int64(len(m.content)))
	return err == nil && h.Frames > 1 && h.Pixels() > imagefile.MaxTransformPixels
}

// optionWords are options, each with values of which one is taken. Some are refused for some pictures.
var optionWords = []string{
	"w=1|7|64|333|1000|auto", "h=1|9|80|250|900", "fit=scale-down|scale-up|contain|cover|crop|aspect-crop|pad|squeeze",
	"gravity=auto|face|top-left|0.3x0.9|right", "q=1|50|85|100|low", "anim=false|true", "background=red|transparent|%2312345678",
	"blur=1|20|250", "brightness=0.5|2", "contrast=0.5|3", "gamma=0.4|2", "saturation=0|2", "sharpen=1|10",
	"rotate=90|180|270", "flip=h|v|hv", "trim=3;4;5;6|border|0;0;0;5000", "border=%23ff0000;5|black;1;0;20;3", "dpr=0.5|2|3",
	"metadata=keep|none|copyright", "compression=fast",
}

var formatWords = []string{"auto", "avif", "webp", "jpeg", "baseline-jpeg", "png", "json"}

var acceptWords = []string{"*/*", "image/webp", "image/avif,image/webp", "image/avif"}

// randomOptions returns options for a URL, and a value of Accept.
func randomOptions(rnd *rand.Rand) (options, accept string) {
	words := []string{"format=" + formatWords[rnd.IntN(len(formatWords))]}
	if rnd.IntN(3) == 0 {
		words = []string{"format=auto"}
	}
	for _, i := range rnd.Perm(len(optionWords))[:1+rnd.IntN(5)] {
		name, values, _ := strings.Cut(optionWords[i], "=")
		all := strings.Split(values, "|")
		words = append(words, name+"="+all[rnd.IntN(len(all))])
	}
	return strings.Join(words, ","), acceptWords[rnd.IntN(len(acceptWords))]
}

// report logs the figures, and checks that the server is as it was before.
func (m *mutation) report(t *testing.T, before holdings, count int) {
	for _, outcome := range slices.Sorted(maps.Keys(m.outcomes)) {
		t.Logf("%-40s %d", outcome, m.outcomes[outcome])
	}
	m.compareMemory(t, count)
	after := m.holdings()
	t.Logf("%d workers were seen; before: %v; after: %v", len(m.workers), before, after)
	for name, n := range scrape(t, m.metrics) {
		if strings.HasPrefix(name, "calotype_workers_ended_total{") && n > 0 {
			t.Logf("%s %v", name, n)
		}
	}
	if left := m.spooled(); len(left) != 0 {
		t.Errorf("the spool holds %d files", len(left))
	}
	if n := len(m.originals()); n != 0 {
		t.Errorf("%d originals are left, although all images are deleted", n)
	}
	if after.threads > before.threads+32 || after.files > before.files+pooledFiles+openRenditions {
		t.Errorf("the server holds %v, before %v", after, before)
	}
	if a := post(t, m.createUploadURL().UploadURL, "good.jpg", photo(t, 400, 300, 1)); a.status != http.StatusOK {
		t.Errorf("after the mutants, a good file: status %d: %s", a.status, a.body)
	}
}

// compareMemory compares the memory in the first half of a run with that in the second.
func (m *mutation) compareMemory(t *testing.T, count int) {
	if len(m.memory) < 10 {
		return
	}
	// The first tenth fills the caches.
	samples := m.memory[len(m.memory)/10:]
	first, second := samples[:len(samples)/2], samples[len(samples)/2:]
	t.Logf("%d mutants, %d samples of memory; MiB in the first half: median %d, most %d; in the second: median %d, "+
		"most %d", count, len(m.memory), median(first)>>20, slices.Max(first)>>20, median(second)>>20, slices.Max(second)>>20)
	if grown := median(second) - median(first); count >= fullRun && grown > 64<<20 {
		t.Errorf("the processes have %d MiB more in the second half", grown>>20)
	}
}

func median(of []int64) int64 { return slices.Sorted(slices.Values(of))[len(of)/2] }
