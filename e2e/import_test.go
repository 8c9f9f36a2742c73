package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"calotype/internal/sqldb/sqldbtest"
)

// movedHash is an account hash that does not follow from an id: -account-hash must set it.
const movedHash = "cheeW4oKsx5ljh8e8BoL2A"

// TestImport: an account moves from one server to another. The import is killed half-way and run
// again, while the server that it goes to runs. CALOTYPE_TEST_IMPORTS is the number of images.
func TestImport(t *testing.T) {
	t.Parallel()
	n := 120
	if text := os.Getenv("CALOTYPE_TEST_IMPORTS"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	source := newServer(t, "-account-hash", movedHash)
	account := newMoving(t, source, n)
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		account.moveTo(t, newServer(t, "-account-hash", movedHash))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		dsn := sqldbtest.Postgres(t)
		account.moveTo(t, newServer(t, "-account-hash", movedHash, "-db", dsn), "-db", dsn)
	})
}

// A moving is an account that moves: what it holds where it comes from.
type moving struct {
	source *server
	mu     sync.Mutex
	bodies map[string][]byte // by id
	signed string            // path and query of a delivery URL
}

// newMoving uploads n pictures and creates another variant in the account.
func newMoving(t *testing.T, source *server, n int) *moving {
	t.Helper()
	m := &moving{source: source, bodies: map[string][]byte{}}
	a := source.api("POST", "images/v1/variants", strings.NewReader(`{"id":"moved",`+
		`"options":{"fit":"cover","width":20,"height":20,"metadata":"none"}}`),
		"Content-Type", "application/json")
	if a.status != http.StatusOK {
		t.Fatalf("making a variant: status %d\n%s", a.status, a.body)
	}
	small := photo(t, 64, 48, 1)
	var clients sync.WaitGroup
	for client := range 4 {
		clients.Go(func() {
			for i := client; i < n; i += 4 {
				if err := m.upload(t, i, tagged(small, i)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	clients.Wait()
	if t.Failed() {
		t.FailNow()
	}
	if m.signed == "" {
		t.Fatal("there is no private image")
	}
	return m
}

// upload uploads a picture: some have a custom id, some are private.
func (m *moving) upload(t *testing.T, i int, body []byte) error {
	fields := []string{"metadata", fmt.Sprintf(`{"number":%d,"text":"a & b <c>"}`, i)}
	switch i % 3 {
	case 0:
		fields = append(fields, "id", fmt.Sprintf("folder/ü %%2F?/%d.jpg", i))
	case 1:
		fields = append(fields, "requireSignedURLs", "true", "creator", "someone")
	}
	form, kind := uploadForm(t, fmt.Sprintf("picture %d.jpg", i), body, fields...)
	a, err := send(t.Context(), "POST", m.source.url+"/client/v4/accounts/"+accountID+"/images/v1",
		form, "Authorization", "Bearer "+token, "Content-Type", kind)
	var p picture
	if err = wantOK(a, err); err == nil {
		err = unmarshalResult(a, &p)
	}
	if err != nil {
		return fmt.Errorf("uploading: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.bodies[p.ID] = body
	if m.signed == "" && p.RequireSignedURLs {
		m.signed, err = m.sign(p.ID)
	}
	return err
}

// sign has the source's key sign the delivery URL of an image.
func (m *moving) sign(id string) (string, error) {
	text, err := exec.Command(binary, "sign", "-data", m.source.data, "-expires", "0",
		m.source.url+"/"+movedHash+"/"+id+"/moved").Output()
	if err != nil {
		return "", fmt.Errorf("signing a URL: %w", err)
	}
	u, err := url.Parse(strings.TrimSpace(string(text)))
	if err != nil {
		return "", fmt.Errorf("signing a URL: %w", err)
	}
	return u.RequestURI(), nil
}

// uploadForm is a form with a file and fields.
func uploadForm(
	t *testing.T, filename string, content []byte, fields ...string,
) (body *bytes.Buffer, contentType string) {
	t.Helper()
	body, kind := fileForm(t, filename, content)
	boundary := kind[strings.Index(kind, "boundary=")+len("boundary="):]
	body.Truncate(bytes.LastIndex(body.Bytes(), []byte("--"+boundary+"--")))
	for i := 0; i+1 < len(fields); i += 2 {
		fmt.Fprintf(body, "--%s\r\nContent-Disposition: form-data; name=%q\r\n\r\n%s\r\n",
			boundary, fields[i], fields[i+1])
	}
	fmt.Fprintf(body, "--%s--\r\n", boundary)
	return body, kind
}

// command is an import into target.
func (m *moving) command(target *server, args ...string) *exec.Cmd {
	cmd := exec.Command(binary, append([]string{"import", "-data", target.data,
		"-from", m.source.url + "/client/v4", "-account", accountID, "-rate", "0",
		"-outbound-allow", "127.0.0.1"}, args...)...)
	cmd.Env = append(os.Environ(), "CALOTYPE_TOKEN="+token, "CALOTYPE_DISK_RESERVE=1MiB")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// moveTo imports into target, is killed half-way, and imports again.
func (m *moving) moveTo(t *testing.T, target *server, args ...string) {
	out := &logBuffer{}
	first := m.command(target, args...)
	first.Stdout, first.Stderr = out, out
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- first.Wait() }()
	for deadline := time.Now().Add(5 * time.Minute); target.count() < len(m.bodies)/2; {
		select {
		case err := <-ended:
			t.Fatalf("the import ended before half of it was done: %v\n%s", err, out)
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("half of the import is not done:\n%s", out)
		}
	}
	_ = first.Process.Kill()
	<-ended
	before := target.count()
	if before >= len(m.bodies) {
		t.Fatalf("the import was not killed half-way: %d images are there", before)
	}
	began := time.Now()
	text, err := m.command(target, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("the second import: %v\n%s", err, text)
	}
	t.Logf("%d of %d images were there, the rest took %v", before, len(m.bodies), time.Since(began))
	m.want(t, target)
	m.wantReport(t, target, len(m.bodies)-before)
}

// count is the number of images that a server lists.
func (s *server) count() int {
	s.t.Helper()
	a := s.api("GET", "images/v1?per_page=1", nil)
	var list struct {
		Info struct {
			Total int `json:"total_count"`
		} `json:"result_info"`
	}
	if err := json.Unmarshal(a.body, &list); err != nil || a.status != http.StatusOK {
		s.t.Fatalf("counting: status %d, %v\n%s", a.status, err, a.body)
	}
	return list.Info.Total
}

// listed returns all images of a server as the API returns them, except the hosts in variants.
func (s *server) listed() map[string]string {
	s.t.Helper()
	all := map[string]string{}
	for next := ""; ; {
		a := s.api("GET", "images/v2?per_page=500&continuation_token="+url.QueryEscape(next), nil)
		var page struct {
			Images []struct{ ID string }
			Next   *string `json:"continuation_token"`
		}
		var raw struct{ Images []json.RawMessage }
		result := a.envelope(s.t).Result
		for _, into := range []any{&page, &raw} {
			if err := json.Unmarshal(result, into); err != nil {
				s.t.Fatalf("listing: %v\n%.300s", err, a.body)
			}
		}
		for i, img := range page.Images {
			all[img.ID] = strings.ReplaceAll(string(raw.Images[i]), s.url, "")
		}
		if page.Next == nil {
			return all
		}
		next = *page.Next
	}
}

// want compares both servers: what they list, the bytes, and what a signed URL shows.
func (m *moving) want(t *testing.T, target *server) {
	t.Helper()
	there, here := m.source.listed(), target.listed()
	if len(here) != len(m.bodies) || len(there) != len(m.bodies) {
		t.Errorf("%d images are here, %d there, of %d", len(here), len(there), len(m.bodies))
	}
	for id, shown := range there {
		if here[id] != shown {
			t.Fatalf("%q is\n%s\nhere, and there\n%s", id, here[id], shown)
		}
		a := target.api("GET", "images/v1/"+url.PathEscape(id)+"/blob", nil)
		if a.status != http.StatusOK || !bytes.Equal(a.body, m.bodies[id]) {
			t.Fatalf("%q: status %d, %d bytes of %d", id, a.status, len(a.body), len(m.bodies[id]))
		}
	}
	a := do(t, "GET", target.url+m.signed, nil)
	b := do(t, "GET", m.source.url+m.signed, nil)
	if a.status != http.StatusOK || b.status != http.StatusOK || !bytes.Equal(a.body, b.body) {
		t.Errorf("a URL that was signed there: status %d here, %d there", a.status, b.status)
	}
	unsigned, _, _ := strings.Cut(m.signed, "?")
	if a := do(t, "GET", target.url+unsigned, nil); a.status != http.StatusForbidden {
		t.Errorf("without its signature: status %d", a.status)
	}
}

// wantReport reads the report of the second import, and what is on the disk.
func (m *moving) wantReport(t *testing.T, target *server, brought int) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(target.data, "import-report.json"))
	if err != nil {
		t.Fatal(err)
	}
	var report struct {
		Complete bool
		Images   map[string]int
		Problems []any
	}
	if err := json.Unmarshal(text, &report); err != nil {
		t.Fatal(err)
	}
	// A database may end a transaction after the program that asked for it was killed.
	n := report.Images["imported"]
	if !report.Complete || report.Images["exists"] != len(m.bodies) || len(report.Problems) != 0 ||
		n > brought || n < brought-8 || report.Images["compared"] != n {
		t.Errorf("%d were to be imported; the report is\n%s", brought, text)
	}
	if bytes.Contains(text, []byte(token)) {
		t.Error("the report holds the token")
	}
	spool, err := os.ReadDir(filepath.Join(target.data, "import", "spool"))
	if err != nil || len(spool) != 0 {
		t.Errorf("the spool has %d files, %v", len(spool), err)
	}
}
