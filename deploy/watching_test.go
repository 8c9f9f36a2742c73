package deploy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metricsql"
)

// A panel is what the tests read of a panel of grafana.json.
type panel struct {
	ID          int
	Type, Title string
	Datasource  struct{ UID string }
	GridPos     struct{ X, Y, W, H int }
	Targets     []struct{ Expr, LegendFormat string }
	FieldConfig struct {
		Defaults struct{ Unit string }
	}
}

func readDashboard(t *testing.T) []panel {
	t.Helper()
	var dashboard struct{ Panels []panel }
	if err := json.Unmarshal([]byte(readFile(t, "grafana.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	if len(dashboard.Panels) < 50 {
		t.Fatalf("only %d panels were read", len(dashboard.Panels))
	}
	return dashboard.Panels
}

// plain replaces the variables of Grafana.
var plain = strings.NewReplacer("$__rate_interval", "5m", "$instance", ".*", "$job", ".*")

// TestDashboardLayout: the panels fill the grid of Grafana without a gap in a row, none covers another, and each has
// a unique title and id, the data source that is a variable, and a legend for several series.
func TestDashboardLayout(t *testing.T) {
	t.Parallel()
	titles, ids, cells := map[string]bool{}, map[int]bool{}, map[[2]int]string{}
	row, bottom := "", 0
	for _, p := range readDashboard(t) {
		if p.Type == "row" {
			row = p.Title
		}
		title := row + ": " + p.Title
		if p.Title == "" || titles[title] || ids[p.ID] {
			t.Errorf("%q, %d: the title or id is empty or not unique", title, p.ID)
		}
		titles[title], ids[p.ID] = true, true
		at := p.GridPos
		if at.X < 0 || at.W < 1 || at.H < 1 || at.X+at.W > 24 {
			t.Errorf("%s is outside of the grid: %+v", title, at)
		}
		for x := at.X; x < at.X+at.W; x++ {
			for y := at.Y; y < at.Y+at.H; y++ {
				if other := cells[[2]int{x, y}]; other != "" {
					t.Fatalf("%s covers %s", title, other)
				}
				cells[[2]int{x, y}] = title
			}
		}
		bottom = max(bottom, at.Y+at.H)
		if p.Type == "row" {
			continue
		}
		if len(p.Targets) == 0 || p.FieldConfig.Defaults.Unit == "" || p.Datasource.UID != "${datasource}" {
			t.Errorf("%s has no query, no unit, or a fixed data source", title)
		}
		for _, target := range p.Targets {
			if p.Type == "timeseries" && target.LegendFormat == "" {
				t.Errorf("%s: a query without a legend", title)
			}
		}
	}
	if len(cells) != 24*bottom {
		t.Errorf("%d cells of %d are filled", len(cells), 24*bottom)
	}
}

// unitOf returns the unit that a panel with an expression must have; "" if the names do not decide. The sum of a
// quotient of equal units has none.
func unitOf(expr string) string {
	rate := strings.Contains(expr, "rate(")
	switch quotient := strings.Contains(expr, ") / "); {
	case strings.HasPrefix(expr, "histogram_quantile("):
		return "s"
	case quotient && !strings.Contains(expr, "_seconds_total"):
		return "percentunit"
	case quotient:
		return "s"
	case strings.Contains(expr, "calotype_http_requests_total"):
		return "reqps"
	case strings.Contains(expr, "process_cpu_seconds_total"):
		return "percentunit"
	case rate && strings.Contains(expr, "_seconds_total"):
		return "short"
	case rate:
		return "ops"
	case regexp.MustCompile(`_bytes\b`).MatchString(expr):
		return "bytes"
	case regexp.MustCompile(`_seconds\b`).MatchString(expr):
		return "s"
	}
	return ""
}

// TestDashboardUnits: the unit of a panel is that of its metrics.
func TestDashboardUnits(t *testing.T) {
	t.Parallel()
	decided := 0
	for _, p := range readDashboard(t) {
		for _, target := range p.Targets[:min(1, len(p.Targets))] {
			want, got := unitOf(target.Expr), p.FieldConfig.Defaults.Unit
			if want == "" {
				want = got
				if got != "short" && got != "none" && got != "percentunit" {
					t.Errorf("%s: the unit of a number is %s", p.Title, got)
				}
			} else {
				decided++
			}
			if got != want {
				t.Errorf("%s has the unit %s, want %s: %s", p.Title, got, want, target.Expr)
			}
		}
	}
	if decided < 30 {
		t.Errorf("only %d panels were compared", decided)
	}
}

// TestExpressions: Prometheus parses each expression of the dashboard, and each alert.
func TestExpressions(t *testing.T) {
	t.Parallel()
	promtool := findProgram(t, "promtool")
	rules := "groups:\n- name: dashboard\n  rules:\n"
	for i, expr := range dashboardExpressions(t) {
		rules += fmt.Sprintf("  - record: panel:%d\n    expr: %q\n", i, expr)
	}
	file := filepath.Join(t.TempDir(), "dashboard.yml")
	writeFile(t, file, rules)
	for _, args := range [][]string{{"check", "rules", file}, {"check", "rules", "rules.yml"}} {
		if out, err := exec.Command(promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %q: %v\n%s", args, err, out)
		}
	}
	broken := filepath.Join(t.TempDir(), "broken.yml")
	writeFile(t, broken, edited(t, "rules.yml", "for: 2m", "fore: 2m"))
	if exec.Command(promtool, "check", "rules", broken).Run() == nil {
		t.Error("promtool accepts a file with a key that does not exist")
	}
}

func dashboardExpressions(t *testing.T) (all []string) {
	for _, p := range readDashboard(t) {
		for _, target := range p.Targets {
			all = append(all, plain.Replace(target.Expr))
		}
	}
	return all
}

var (
	alertName = regexp.MustCompile(`(?m)^      - alert: (\w+)$`)
	alertExpr = regexp.MustCompile(`(?m)^        expr: \|\n((?:          .*\n)+)`)
)

// TestAlerts: each alert fires on made-up series of a fault and is silent on healthy ones, and has a section in the
// docs.
func TestAlerts(t *testing.T) {
	t.Parallel()
	promtool := findProgram(t, "promtool")
	rules, tests, docs := readFile(t, "rules.yml"), readFile(t, "rules_test.yml"), readFile(t, "../docs/operate.md")
	names := alertName.FindAllStringSubmatch(rules, -1)
	if len(names) < 15 {
		t.Fatalf("only %d alerts were read", len(names))
	}
	for _, name := range names {
		for _, part := range []string{name[1] + " fires\n", name[1] + " is silent\n"} {
			if !strings.Contains(tests, "  - name: "+part) {
				t.Errorf("rules_test.yml has no test %q", part)
			}
		}
		if !strings.Contains(docs, "\n#### "+name[1]+"\n") ||
			!strings.Contains(rules, "runbook: docs/operate.md#"+strings.ToLower(name[1])+"\n") {
			t.Errorf("docs/operate.md has no section %s, or the alert does not name it", name[1])
		}
	}
	for _, section := range regexp.MustCompile(`(?m)^#### (Calotype\w+)$`).FindAllStringSubmatch(docs, -1) {
		if !strings.Contains(rules, "alert: "+section[1]+"\n") {
			t.Errorf("docs/operate.md has a section of %s, which is no alert", section[1])
		}
	}
	if out, err := exec.Command(promtool, "test", "rules", "rules_test.yml").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// A series is one line of /metrics.
type series struct {
	name   string
	labels map[string]string
}

var (
	sampleLine  = regexp.MustCompile(`^([a-z_A-Z0-9]+)(?:\{(.*)\})? \S+$`)
	sampleLabel = regexp.MustCompile(`(\w+)="((?:[^"\\]|\\.)*)"`)
)

// scrape returns what a server shows to Prometheus, with the labels that Prometheus adds.
func scrape(t *testing.T, address string) []series {
	t.Helper()
	a := do(t, http.DefaultClient, "GET", "http://"+address+"/metrics", nil)
	all := []series{{"up", map[string]string{"instance": address, "job": "calotype"}}}
	for line := range strings.Lines(string(a.body)) {
		parts := sampleLine.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		if parts == nil {
			continue
		}
		s := series{parts[1], map[string]string{"instance": address, "job": "calotype"}}
		for _, label := range sampleLabel.FindAllStringSubmatch(parts[2], -1) {
			s.labels[label[1]] = label[2]
		}
		all = append(all, s)
	}
	return all
}

// watchedServer starts a server with all that it can show, sends it real traffic, and returns its metrics.
func watchedServer(t *testing.T) []series {
	t.Helper()
	accept := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(accept.Close)
	s, metrics := &server{address: freeAddress(t), data: t.TempDir()}, freeAddress(t)
	cmd := exec.Command(binary, "serve", "-listen", s.address, "-data", s.data, "-metrics-listen", metrics,
		"-metrics-accounts", "3", "-outbound-allow", "127.0.0.1", "-webhook-url", accept.URL)
	cmd.Env = append(os.Environ(), "CALOTYPE_ACCOUNT_ID="+accountID, "CALOTYPE_API_TOKEN="+token,
		"CALOTYPE_DISK_RESERVE=1MiB", "OTEL_EXPORTER_OTLP_ENDPOINT="+accept.URL)
	s.daemon = startDaemon(t, cmd, http.DefaultClient, "http://"+s.address+"/readyz")
	base := "http://" + s.address
	p := createUploadURL(t, http.DefaultClient, base)
	post(t, http.DefaultClient, p.UploadURL, []byte("no picture"))
	if a := post(t, http.DefaultClient, p.UploadURL, photo(t, 30_000)); a.status != http.StatusOK {
		t.Fatalf("status %d\n%s", a.status, a.body)
	}
	form, kind := fileForm(t, photo(t, 40_000))
	a := do(t, http.DefaultClient, "POST", base+"/client/v4/accounts/"+accountID+"/images/v1", bytes.NewReader(form),
		"Content-Type", kind, "Authorization", "Bearer "+token)
	var uploaded picture
	if code := a.result(t, &uploaded); code != 0 {
		t.Fatalf("status %d\n%s", a.status, a.body)
	}
	if a := do(t, http.DefaultClient, "GET", uploaded.Variants[0], nil); a.status != http.StatusOK {
		t.Fatalf("status %d\n%s", a.status, a.body)
	}
	do(t, http.DefaultClient, "GET", base+"/", nil)
	return scrape(t, metrics)
}

// TestMetricsExist: each selector of the dashboard and the rules selects something on a server after real traffic,
// and each label by which an expression groups, or which a legend names, is a label of the selected metric.
func TestMetricsExist(t *testing.T) {
	t.Parallel()
	live := watchedServer(t)
	exprs := dashboardExpressions(t)
	for _, found := range alertExpr.FindAllStringSubmatch(readFile(t, "rules.yml"), -1) {
		exprs = append(exprs, found[1])
	}
	for _, expr := range exprs {
		if err := selectsSomething(expr, live); err != nil {
			t.Errorf("%s\n%v", expr, err)
		}
	}
	for _, p := range readDashboard(t) {
		for _, target := range p.Targets {
			if err := legendExists(plain.Replace(target.Expr), target.LegendFormat, live); err != nil {
				t.Errorf("%s: %v", p.Title, err)
			}
		}
	}
	for _, wrong := range []string{`calotype_no_such_total`, `calotype_uploads_total{outcom="accepted"}`,
		`calotype_uploads_total{outcome="excepted"}`, `sum by (route) (calotype_uploads_total)`, `sum(`} {
		if selectsSomething(wrong, live) == nil {
			t.Errorf("%s passes", wrong)
		}
	}
}

// selectsSomething returns what in an expression selects nothing.
func selectsSomething(expr string, live []series) error {
	parsed, err := metricsql.Parse(expr)
	if err != nil {
		return err
	}
	var problems []error
	metricsql.VisitAll(parsed, func(e metricsql.Expr) {
		switch e := e.(type) {
		case *metricsql.MetricExpr:
			if len(selected(e, live)) == 0 {
				problems = append(problems, fmt.Errorf("nothing live is %s", e.AppendString(nil)))
			}
		case *metricsql.AggrFuncExpr:
			for _, by := range e.Modifier.Args {
				if !hasLabel(e, by, live) {
					problems = append(problems, fmt.Errorf("no metric has the label %s", by))
				}
			}
		}
	})
	return errors.Join(problems...)
}

// selected returns the live series of a selector.
func selected(e *metricsql.MetricExpr, live []series) (found []series) {
	for _, s := range live {
		matches := slices.ContainsFunc(e.LabelFilterss, func(filters []metricsql.LabelFilter) bool {
			return !slices.ContainsFunc(filters, func(f metricsql.LabelFilter) bool { return !fits(f, s) })
		})
		if matches {
			found = append(found, s)
		}
	}
	return found
}

// fits reports whether a series has the label of a filter, with a value that the filter accepts.
func fits(f metricsql.LabelFilter, s series) bool {
	value, has := s.labels[f.Label]
	if f.Label == "__name__" {
		value, has = s.name, true
	}
	equal := value == f.Value
	if f.IsRegexp {
		equal = regexp.MustCompile("^(?:" + f.Value + ")$").MatchString(value)
	}
	return has && equal != f.IsNegative
}

// hasLabel reports whether all metrics in an expression have a label.
func hasLabel(e metricsql.Expr, label string, live []series) bool {
	all := true
	metricsql.VisitAll(e, func(e metricsql.Expr) {
		if m, is := e.(*metricsql.MetricExpr); is {
			all = all && slices.ContainsFunc(selected(m, live), func(s series) bool { return s.labels[label] != "" })
		}
	})
	return all
}

var legendLabel = regexp.MustCompile(`\{\{(\w+)\}\}`)

// legendExists returns an error if a legend names a label that the result of the expression does not have.
func legendExists(expr, legend string, live []series) error {
	parsed, err := metricsql.Parse(expr)
	if err != nil {
		return err
	}
	var grouped []string
	aggregated := false
	metricsql.VisitAll(parsed, func(e metricsql.Expr) {
		if a, is := e.(*metricsql.AggrFuncExpr); is {
			aggregated = true
			grouped = append(grouped, a.Modifier.Args...)
		}
	})
	for _, label := range legendLabel.FindAllStringSubmatch(legend, -1) {
		if aggregated && !slices.Contains(grouped, label[1]) || !aggregated && !hasLabel(parsed, label[1], live) {
			return fmt.Errorf("the legend %s names a label that %s does not have", legend, expr)
		}
	}
	return nil
}
