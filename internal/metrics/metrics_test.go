package metrics

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/limit"
	"calotype/internal/render"
	"calotype/internal/sqldb/sqldbtest"
	"calotype/internal/webhooks"
)

func TestMain(m *testing.M) { imagestest.Main(m) }

// watched returns Metrics of a core on a separate database.
func watched(t *testing.T) (*Metrics, *imagestest.Core) {
	t.Helper()
	m := New()
	dsn := filepath.Join(t.TempDir(), "calotype.db")
	core := imagestest.Open(t, images.Config{DB: sqldbtest.Open(t, dsn)}, dsn)
	shared := limit.New(limit.Config{Name: "test", Size: 9, Shares: []limit.Share{limit.Half}})
	if _, err := shared.TryAcquire(4, "a"); err != nil {
		t.Fatal(err)
	}
	_, _ = shared.TryAcquire(4, "a") // refused: the key has its share
	if err := m.Watch(Sources{core.Service, core.Renditions, core.Render, []*limit.Pool{shared}}, "v1"); err != nil {
		t.Fatal(err)
	}
	return m, core
}

// ask asks the Handler.
func ask(m *Metrics, method, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	m.Handler(slog.New(slog.DiscardHandler)).ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w
}

// want looks for lines among the metrics.
func want(t *testing.T, m *Metrics, lines ...string) {
	t.Helper()
	w := ask(m, "GET", Path)
	for _, line := range lines {
		if !strings.Contains("\n"+w.Body.String(), "\n"+line+"\n") {
			t.Errorf("status %d, without %s", w.Code, line)
		}
	}
}

// TestLint holds all that is shown against the rules of Prometheus for names, units and types.
func TestLint(t *testing.T) {
	t.Parallel()
	m, core := watched(t)
	m.Surface("api")("GET images/v2")(200, time.Second)
	core.CountUpload("", errs.Errorf(errs.Forbidden, "of no usual kind"))
	m.Webhooks([]string{"delivered"})("delivered", time.Second)
	problems, err := testutil.GatherAndLint(m.registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	text := ask(m, "GET", Path).Body.String()
	if strings.Count(text, "# HELP calotype_") < 25 || !strings.Contains(text, "go_goroutines ") ||
		!strings.Contains(text, "process_open_fds ") {
		t.Errorf("too little is shown:\n%s", text)
	}
	if again, err := testutil.CollectAndLint(&watcher{Sources: Sources{Core: core.Service, Renditions: core.Renditions, Render: core.Render}}); err != nil ||
		len(again) != 0 {
		t.Errorf("%v, %v", again, err)
	}
}

func TestPools(t *testing.T) {
	t.Parallel()
	m, _ := watched(t)
	want(t, m, `calotype_pool_size{pool="test"} 9`, `calotype_pool_used{pool="test"} 4`,
		`calotype_pool_keys{pool="test"} 1`, `calotype_pool_largest_share{pool="test"} 4`,
		`calotype_pool_waiting{pool="test"} 0`, `calotype_pool_refused_total{pool="test"} 1`,
		`calotype_pool_timeouts_total{pool="test"} 0`,
		`calotype_pool_waited_seconds_total{pool="test"} 0`)
}

func TestRequestsAreCounted(t *testing.T) {
	t.Parallel()
	m := New()
	observe := m.Surface("delivery")("picture")
	for _, status := range []int{200, 200, 304, 507, 0, -1, 99, 600, 12345} {
		observe(status, 3*time.Millisecond)
	}
	const labels = `{route="picture",status="`
	want(t, m,
		`calotype_http_requests_total`+labels+`200",surface="delivery"} 2`,
		`calotype_http_requests_total`+labels+`304",surface="delivery"} 1`,
		`calotype_http_requests_total`+labels+`500",surface="delivery"} 0`,
		`calotype_http_requests_total`+labels+`507",surface="delivery"} 1`,
		`calotype_http_requests_total`+labels+`none",surface="delivery"} 5`,
		`calotype_http_request_duration_seconds_count{route="picture",surface="delivery"} 9`,
		`calotype_http_request_duration_seconds_bucket{route="picture",surface="delivery",le="0.0025"} 0`,
		`calotype_http_request_duration_seconds_bucket{route="picture",surface="delivery",le="0.005"} 9`)
}

// TestManyAtOnce: nothing is lost, and a status that comes up at many places at once is one line.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	m := New()
	observe := m.Surface("delivery")("picture")
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 1000 {
				observe(400+i%20, 0)
				m.Timer(render.Uploads, images.StageStore, 0)
			}
			ask(m, "GET", Path)
		})
	}
	all.Wait()
	want(t, m, `calotype_http_requests_total{route="picture",status="419",surface="delivery"} 400`,
		`calotype_stage_duration_seconds_count{pool="uploads",stage="store"} 8000`)
}

// TestAllocations: to count a delivery allocates the text of its status and nothing else.
func TestAllocations(t *testing.T) {
	observe := New().Surface("delivery")("picture")
	if n := testing.AllocsPerRun(1000, func() { observe(206, time.Millisecond) }); n > 1 {
		t.Errorf("%v allocations, want 1 at most", n)
	}
}

// TestTimer: each stage that is timed anywhere has its line from the start, others are left out.
func TestTimer(t *testing.T) {
	t.Parallel()
	m := New()
	m.Timer("uploads", "spool", 2*time.Second)
	m.Timer("renditions", "work", time.Hour)
	m.Timer("uploads", "of no list", time.Second)
	want(t, m, `calotype_stage_duration_seconds_sum{pool="uploads",stage="spool"} 2`,
		`calotype_stage_duration_seconds_bucket{pool="renditions",stage="work",le="120"} 0`,
		`calotype_stage_duration_seconds_count{pool="renditions",stage="work"} 1`,
		`calotype_stage_duration_seconds_count{pool="uploads",stage="wait"} 0`)
	if n := testutil.CollectAndCount(m.stages); n != 13 {
		t.Errorf("%d stages", n)
	}
}

func TestWatch(t *testing.T) {
	t.Parallel()
	m, core := watched(t)
	for range 3 {
		_, _, err := core.CreateDraft(t.Context(), imagestest.AccountID, images.NewDraft{})
		if err != nil {
			t.Fatal(err)
		}
	}
	core.CountUpload("", nil)
	core.CountUpload("", errs.Errorf(errs.Undecodable, "bad"))
	core.CountUpload("", errs.Errorf(errs.Forbidden, "of no usual kind"))
	s := core.Render.Status()
	sandbox := "0"
	if s.Sandbox.Complete {
		sandbox = "1"
	}
	want(t, m, `calotype_tickets{state="open"} 3`, `calotype_tickets{state="expired"} 0`,
		`calotype_database_up 1`, `calotype_uploads_total{outcome="accepted"} 1`,
		`calotype_uploads_total{outcome="undecodable"} 1`,
		`calotype_uploads_total{outcome="forbidden"} 1`,
		`calotype_uploads_total{outcome="busy"} 0`, `calotype_upload_repeats_total 0`,
		`calotype_workers_ended_total{reason="crashed"} 0`, `calotype_disk_reserve_bytes 1`,
		`calotype_render_jobs{pool="uploads",state="waiting"} 0`,
		`calotype_rendition_cache_bytes 0`, `calotype_sandbox_complete `+sandbox)
	for _, part := range render.SandboxParts {
		want(t, m, fmt.Sprintf("calotype_sandbox{part=%q} %d", part, s.Sandbox.Parts[part]))
	}
	if text := ask(m, "GET", Path).Body.String(); !strings.Contains(text, `version="v1"} 1`) {
		t.Errorf("no build info:\n%.3000s", text)
	}
}

// TestWebhooks: attempts count by the outcomes there are, and what waits is what is in the database.
func TestWebhooks(t *testing.T) {
	t.Parallel()
	m, core := watched(t)
	observe := m.Webhooks([]string{"delivered", "rejected"})
	observe("delivered", 20*time.Millisecond)
	observe("delivered", time.Minute)
	observe("of no list", time.Hour)
	name, url := "backend", "https://example.com/hook"
	ctx := t.Context()
	_, err := core.Webhooks.Add(ctx, imagestest.AccountID, webhooks.WebhookChange{
		Name: &name, URL: &url, Events: webhooks.EventTypes,
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	core.SetNow(func() time.Time { return time.Now().Add(-time.Hour) })
	draft, _, err := core.CreateDraft(ctx, imagestest.AccountID, images.NewDraft{})
	if err == nil {
		err = core.DeleteImage(ctx, imagestest.AccountID, draft.ID)
	}
	if err != nil {
		t.Fatal(err)
	}
	want(t, m, `calotype_webhook_attempts_total{outcome="delivered"} 2`,
		`calotype_webhook_attempts_total{outcome="rejected"} 0`,
		`calotype_webhook_attempt_duration_seconds_count 3`,
		`calotype_webhook_attempt_duration_seconds_bucket{le="0.025"} 1`,
		`calotype_webhook_pending 1`, `calotype_webhooks{state="healthy"} 1`,
		`calotype_webhooks{state="failing"} 0`, `calotype_webhooks{state="paused"} 0`)
	const oldest = "\ncalotype_webhook_oldest_pending_seconds 36"
	if text := ask(m, "GET", Path).Body.String(); !strings.Contains(text, oldest) ||
		strings.Contains(text, "of no list") {
		t.Errorf("without %s:\n%s", oldest, text)
	}
}

// TestDatabaseAway: the rest is shown all the same.
func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	m, core := watched(t)
	if err := core.DB.Close(); err != nil {
		t.Fatal(err)
	}
	want(t, m, `calotype_database_up 0`, `calotype_upload_repeats_total 0`)
	if text := ask(m, "GET", Path).Body.String(); strings.Contains(text, "calotype_tickets{") {
		t.Error("tickets are exported although they were not counted")
	}
}

func TestHandler(t *testing.T) {
	t.Parallel()
	m := New()
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/metrics", 200}, {"HEAD", "/metrics", 200}, {"GET", "/metrics?x=1", 200},
		{"POST", "/metrics", 405}, {"GET", "/", 404}, {"GET", "/metrics/", 404},
		{"GET", "/debug/pprof/", 404}, {"GET", "/healthz", 404}, {"GET", "//metrics", 404},
	} {
		w := ask(m, c.method, c.path)
		body, _ := io.ReadAll(w.Result().Body)
		if w.Code != c.status || w.Header().Get("X-Content-Type-Options") != "nosniff" ||
			strings.Contains(string(body), "go_goroutines") != (c.status == 200) {
			t.Errorf("%s %s: status %d, %v\n%.200s", c.method, c.path, w.Code, w.Header(), body)
		}
	}
	if allow := ask(m, http.MethodDelete, Path).Header().Get("Allow"); allow != "GET, HEAD" {
		t.Errorf("Allow %q", allow)
	}
}
