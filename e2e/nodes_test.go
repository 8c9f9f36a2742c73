package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"calotype/internal/blob/blobtest"
	"calotype/internal/sqldb/sqldbtest"
)

// TestTwoNodes: what one node does, the other knows.
func TestTwoNodes(t *testing.T) {
	t.Parallel()
	nodes := newNodes(t, 2)
	one, two := nodes[0], nodes[1]
	u := one.createUploadURL("id", "shared/picture")
	there := two.url + u.UploadURL[len(one.url):]
	if a := post(t, there, "a.jpg", photo(t, 320, 240, 30)); a.status != http.StatusOK {
		t.Fatalf("status %d\n%s", a.status, a.body)
	}
	path := "/" + accountHashOf(accountID) + "/shared/picture/public"
	for _, s := range nodes {
		if a := do(t, "GET", s.url+path, nil); a.status != http.StatusOK {
			t.Errorf("status %d\n%s", a.status, a.body)
		}
	}
	if a := one.api("DELETE", "images/v1/shared/picture", nil); a.status != http.StatusOK {
		t.Fatalf("status %d\n%s", a.status, a.body)
	}
	if a := do(t, "GET", one.url+path, nil); a.status != http.StatusNotFound {
		t.Errorf("a deleted image is delivered by the node that deleted it: status %d", a.status)
	}
	if _, ok := two.image("shared/picture"); ok {
		t.Error("the other node's API still has the image")
	}
	// Within about a second: images.TestAResolutionIsUsedForASecond has the exact time.
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		a := do(t, "GET", two.url+path, nil)
		if a.status == http.StatusNotFound {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("a deleted image is still delivered: status %d", a.status)
		}
	}
	// The id is free again.
	again := one.createUploadURL("id", "shared/picture")
	if a := post(t, again.UploadURL, "a.jpg", photo(t, 320, 240, 31)); a.status != http.StatusOK {
		t.Errorf("status %d\n%s", a.status, a.body)
	}
}

// TestFirstStartOfTwoNodes: nodes that start at once on an empty database make one account, and
// one token.
func TestFirstStartOfTwoNodes(t *testing.T) {
	t.Parallel()
	dsn, gateway := sqldbtest.Postgres(t), blobtest.StartGateway(t)
	blank := append(gateway.Environ(), "CALOTYPE_ACCOUNT_ID=", "CALOTYPE_API_TOKEN=")
	var nodes []*server
	started := make(chan *server)
	for range 3 {
		s := &server{
			t: t, data: t.TempDir(), env: blank, log: &logBuffer{},
			args: []string{"-db", dsn, "-blobs", gateway.URI("originals")},
		}
		nodes = append(nodes, s)
		go func() {
			defer func() { started <- s }()
			s.start()
		}()
	}
	for range nodes {
		s := <-started
		t.Cleanup(s.kill)
	}
	if t.Failed() {
		t.FailNow()
	}
	secret, files := "", 0
	accounts := map[string]bool{}
	for _, s := range nodes {
		text, err := os.ReadFile(filepath.Join(s.data, "first-token"))
		if err == nil {
			files++
			secret = strings.TrimSpace(string(text))
		} else if !os.IsNotExist(err) {
			t.Error(err)
		}
		accounts[printed(t, s.log.String(), "account id")] = true
	}
	if files != 1 || len(accounts) != 1 {
		t.Fatalf("%d nodes made %d tokens and the accounts %v", len(nodes), files, accounts)
	}
	for account := range accounts {
		for _, s := range nodes {
			a := do(t, "GET", s.url+"/client/v4/accounts/"+account+"/images/v2", nil,
				"Authorization", "Bearer "+secret)
			if a.status != http.StatusOK {
				t.Errorf("status %d\n%s", a.status, a.body)
			}
		}
	}
}

// printed returns what stands behind a name in the text of a start.
func printed(t *testing.T, output, name string) string {
	t.Helper()
	for line := range strings.Lines(output) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), name+" "); ok {
			return strings.TrimSpace(rest)
		}
	}
	t.Fatalf("no %s in:\n%s", name, output)
	return ""
}
