package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// demoLink returns the link to the demo page from the output of the server's start.
func (s *server) demoLink() string {
	s.t.Helper()
	key, err := os.ReadFile(filepath.Join(s.data, "try-key"))
	if err != nil {
		s.t.Fatal(err)
	}
	return s.url + "/try?key=" + strings.TrimSpace(string(key))
}

// visit asks without following redirects.
func visit(t *testing.T, method, target string, header ...string) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	if host := request.Header.Get("Host"); host != "" {
		request.Host = host
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{status: response.StatusCode, header: response.Header, body: body}
}

// TestTryKey: the start prints the link, which outlives a restart; without its key the
// page says on this machine where the key is, and elsewhere there is nothing.
func TestTryKey(t *testing.T) {
	t.Parallel()
	s := newFirstStart(t)
	// What was printed comes by a pipe, perhaps after the server is ready.
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline) &&
		!strings.Contains(s.log.String(), "eval "); {
		time.Sleep(10 * time.Millisecond)
	}
	line := printedLine(t, s.log.String(), "demo page")
	key := runToEnd(t, nil, "bash", "-c", "cat "+shellWord(t, line))
	link := s.url + "/try?key=" + strings.TrimSpace(key.stdout)
	if key.code != 0 || link != s.demoLink() {
		t.Fatalf("%s\nleads to %s, %s", line, link, key.stderr)
	}
	if strings.Contains(s.log.String(), strings.TrimSpace(key.stdout)) {
		t.Error("the key was printed to what is no terminal")
	}
	if info, err := os.Stat(filepath.Join(s.data, "try-key")); err != nil || info.Mode() != 0o600 {
		t.Errorf("the key's file has mode %v, %v", info.Mode(), err)
	}
	s.stop()
	s.start()
	if again := strings.TrimPrefix(s.demoLink(), s.url); !strings.HasSuffix(link, again) {
		t.Error("the restart has changed the key")
	}
	link = s.demoLink()
	nothing := visit(t, "GET", s.url+"/tri")
	if nothing.status != http.StatusNotFound {
		t.Errorf("nothing is %d, %s", nothing.status, nothing.body)
	}
	deeper := visit(t, "GET", s.url+"/tri/api/about")
	for name, one := range map[string]struct{ got, want answer }{
		"forwarded": {visit(t, "GET", link, "X-Forwarded-For", "203.0.113.7"), nothing},
		"host":      {visit(t, "GET", link, "Host", "evil.example"), nothing},
		"requests":  {visit(t, "GET", s.url+"/try/api/about"), deeper},
		"parts":     {visit(t, "GET", s.url+"/try/assets/index.js"), deeper},
	} {
		got, want := one.got, one.want
		if got.status != want.status || !bytes.Equal(got.body, want.body) || got.status < 400 {
			t.Errorf("%s: status %d, %s; nothing is %d", name, got.status, got.body, want.status)
		}
	}
	for _, path := range []string{"/try", "/try?key=x"} {
		a := visit(t, "GET", s.url+path)
		if a.status != http.StatusForbidden || !bytes.Contains(a.body, []byte("try-key")) {
			t.Errorf("%s: status %d, %s", path, a.status, a.body)
		}
	}
	if a := visit(t, "GET", link); a.status != http.StatusSeeOther ||
		a.header.Get("Location") != "/try" {
		t.Errorf("the link: status %d, %v", a.status, a.header)
	}
}

// shellWord returns what the last command substitution in a line reads.
func shellWord(t *testing.T, line string) string {
	t.Helper()
	_, word, found := strings.Cut(line, "$(cat ")
	word, closed := strings.CutSuffix(word, ")")
	if !found || !closed {
		t.Fatalf("%q names no file", line)
	}
	return word
}

// TestDemoOff: -demo says where the page is.
func TestDemoOff(t *testing.T) {
	t.Parallel()
	off := newServer(t, "-demo", "off")
	if _, err := os.Stat(filepath.Join(off.data, "try-key")); !os.IsNotExist(err) {
		t.Errorf("a key was made for no page: %v", err)
	}
	named := newServer(t, "-demo", "images.example.com")
	link := named.demoLink()
	for host, want := range map[string]int{"images.example.com": 303, "other.example.com": 400} {
		a := visit(t, "GET", link, "Host", host, "X-Forwarded-For", "203.0.113.7")
		if a.status != want && (want < 400 || a.status < 400) {
			t.Errorf("%s: status %d", host, a.status)
		}
	}
	got := calotype(t, nil, "serve", "-data", t.TempDir(), "-listen", "127.0.0.1:0",
		"-demo", "https://x")
	if got.code == 0 || !strings.Contains(got.stderr, "images.example.com") {
		t.Errorf("ended with %d: %s", got.code, got.stderr)
	}
}

// trySeen is what was seen of the page in one view, or by one way of using it.
type trySeen struct {
	Name, Failed, URL, Draft, Refusal, Refused string

	Errors, Hosts     []string
	Progress, Shifted float64
	Audits            []struct {
		State      string
		Passes     int
		Violations []string
	}
	Print struct {
		Width                       int
		URL, Caption, Facts, Copied string
		Codes                       []string
	}
}

// TestTryPage uses the page as people do: in light and dark, on a phone and on a desk, with the
// keyboard alone. CALOTYPE_SCREENSHOTS names a folder to keep what it looked like.
func TestTryPage(t *testing.T) {
	t.Parallel()
	chromium, node := browserParts(t)
	s := newServer(t)
	if a := visit(t, "GET", s.demoLink()); a.status != http.StatusSeeOther {
		t.Fatalf("the link: status %d", a.status)
	}
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = fmt.Fprintf(w, `<!DOCTYPE html><a href="%s">try it</a>`, s.demoLink())
	}))
	defer elsewhere.Close()
	all := tryAll(t, chromium, node, map[string]any{
		"link":      s.demoLink(),
		"elsewhere": strings.Replace(elsewhere.URL, "127.0.0.1", "localhost", 1),
		"shots":     os.Getenv("CALOTYPE_SCREENSHOTS"),
		"good":      browserFile{Name: "my picture.jpg", Type: "image/jpeg", Base64: landscape(t)},
		"bad":       browserFile{Name: "letter.jpg", Type: "image/jpeg", Base64: []byte("Dear Sir,")},
	})
	if len(all) != 8 {
		t.Fatalf("%d things were seen, want 8", len(all))
	}
	for _, seen := range all {
		t.Run(seen.Name, func(t *testing.T) { s.checkTry(t, seen) })
	}
	s.lines(func(line string) {
		if strings.Contains(line, strings.TrimPrefix(s.demoLink(), s.url+"/try?key=")) {
			t.Error("the key is in the log")
		}
	})
}

func (s *server) checkTry(t *testing.T, seen trySeen) {
	if seen.Failed != "" {
		t.Fatal(seen.Failed)
	}
	if len(seen.Errors) > 0 {
		t.Errorf("the browser complains: %q", seen.Errors)
	}
	host := strings.TrimPrefix(s.url, "http://")
	for _, asked := range seen.Hosts {
		if u, err := url.Parse("http://" + asked); seen.Name != "link" && (err != nil || u.Host != host) {
			t.Errorf("the page has asked %s", asked)
		}
	}
	if seen.Print.URL == "" {
		if seen.Name != "link" || seen.URL != s.url+"/try" {
			t.Errorf("%s has led to %s", seen.Name, seen.URL)
		}
		return
	}
	s.checkPrint(t, seen)
	if len(seen.Audits) == 0 {
		return
	}
	if seen.URL != s.url+"/try" {
		t.Errorf("the address is %s: it must not hold the key", seen.URL)
	}
	if seen.Progress <= 0 || seen.Progress >= 1 || !strings.Contains(seen.Draft, `"draft": true`) {
		t.Errorf("during the upload: progress %v, details %s", seen.Progress, seen.Draft)
	}
	if !strings.HasPrefix(seen.Refusal, "415, code 5455.") ||
		!strings.Contains(seen.Refused, `"code": 5455`) {
		t.Errorf("the refusal: %q; details %s", seen.Refusal, seen.Refused)
	}
	if seen.Shifted > 0.02 {
		t.Errorf("the layout has shifted by %v", seen.Shifted)
	}
	for _, audit := range seen.Audits {
		if len(audit.Violations) > 0 || audit.Passes < 15 {
			t.Errorf("%s: axe passes %d and finds %s",
				audit.State, audit.Passes, strings.Join(audit.Violations, "\n"))
		}
	}
}

// checkPrint: the page shows the variant, and the requests as they may be pasted into a shell.
func (s *server) checkPrint(t *testing.T, seen trySeen) {
	print := seen.Print
	if len(print.Codes) != 7 || print.Width == 0 || !strings.HasPrefix(print.URL, s.url+"/") ||
		!strings.Contains(print.Caption, fmt.Sprint(print.Width)) {
		t.Fatalf("the page shows %+v", print)
	}
	for i, want := range []string{
		"direct_upload", `"uploadURL"`, "curl -F", `"original"`, "/images/v1/", `"original"`, "/public",
	} {
		if !strings.Contains(print.Codes[i], want) {
			t.Errorf("part %d lacks %s:\n%s", i, want, print.Codes[i])
		}
	}
	if strings.Contains(print.Codes[5], `"draft"`) {
		t.Errorf("the image is a draft still:\n%s", print.Codes[5])
	}
	if print.Copied != "" && print.Copied != print.Codes[0] {
		t.Errorf("copied %q, want %q", print.Copied, print.Codes[0])
	}
	script := fmt.Sprintf("cd %s\n%s\n%s\n%s", t.TempDir(),
		strings.Replace(print.Codes[0], "curl ", "curl -fsS -o /dev/null ", 1),
		strings.Replace(print.Codes[4], "curl ", "curl -fsS ", 1),
		strings.Replace(print.Codes[6], "curl ", "curl -fsS ", 1))
	ran := runToEnd(t, []string{"CLOUDFLARE_API_TOKEN=" + token}, "bash", "-ec", script)
	if ran.code != 0 || strings.TrimSpace(ran.stdout) != strings.TrimSpace(print.Codes[5]) {
		t.Errorf("pasted:\n%s\nended with %d: %s%s", script, ran.code, ran.stdout, ran.stderr)
	}
}

// tryAll runs browser/demo.mjs.
func tryAll(t *testing.T, chromium, node string, plan map[string]any) (all []trySeen) {
	t.Helper()
	return runPlan[trySeen](t, chromium, node, "browser/demo.mjs", plan)
}

// runPlan runs a script with a browser by a plan, and returns the values that it prints.
func runPlan[T any](t *testing.T, chromium, node, script string, plan map[string]any) (all []T) {
	t.Helper()
	plan["chromium"], plan["args"] = chromium, chromiumArgs()
	input, err := json.Marshal(plan)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, node, script)
	cmd.WaitDelay = 10 * time.Second // the browser may hold the pipes
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(input), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("driving the browser: %v\n%s\n%s", err, stdout.String(), stderr.String())
	}
	for decoder := json.NewDecoder(&stdout); decoder.More(); {
		var seen T
		if err := decoder.Decode(&seen); err != nil {
			t.Fatalf("after %d: %v\n%s", len(all), err, stderr.String())
		}
		all = append(all, seen)
	}
	return all
}

// landscape is a picture with sky and hills and some grain, so that it is large enough to be seen
// on its way.
func landscape(t *testing.T) []byte {
	t.Helper()
	const w, h = 1600, 1067
	random := rand.New(rand.NewPCG(1, 2))
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			far, near := h/2+(x*(w-x))/9000-60, h*3/4-(x*(w-x))/7000+40
			c := [3]int{250 - y/8, 190 + y/12, 140 + y/5}
			switch {
			case y > near:
				c = [3]int{52, 58, 40}
			case y > far:
				c = [3]int{120, 112, 92}
			}
			grain := random.IntN(24) - 12
			img.SetRGBA(x, y, color.RGBA{tone(c[0] + grain), tone(c[1] + grain), tone(c[2] + grain), 255})
		}
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 85}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func tone(v int) uint8 { return uint8(min(max(v, 0), 255)) }
