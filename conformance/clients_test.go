package conformance

import (
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"testing"
)

// apiClients counts the clients that the program in clients/ plays.
const apiClients = 8

// clientBreakages are what the clients must notice.
var clientBreakages = []breakage{
	{name: "deletion does nothing", want: "the image was found after its deletion",
		request: func(r *http.Request) {
			if operation(r) == "delete" {
				r.Method = http.MethodGet
			}
		}},
	{name: "metadata lost", want: "the metadata is ", result: set("create", "meta", nil)},
	{name: "filename lost", want: "the image has another filename",
		result: set("create", "filename", "image")},
	{name: "no success", want: `the answer is .*"success":false`,
		answer: func(r *http.Response, body *[]byte) {
			*body = bytes.Replace(*body, []byte(`"success": true`), []byte(`"success": false`), 1)
		}},
	{name: "private picture delivered", want: "status of the private image",
		answer: status(http.StatusForbidden, http.StatusOK, "get")},
}

// TestClients plays clients of the Cloudflare Images API that others wrote, as npm has them.
func TestClients(t *testing.T) {
	t.Parallel()
	command := clientsCommand(t)
	s := newServer(t)
	out, ok := s.play(t, s.front, "clients", command...)
	passed := len(regexp.MustCompile(`(?m)^ok \d`).FindAllString(out, -1))
	if !ok || passed != apiClients {
		t.Fatalf("%d clients of %d passed:\n%s", passed, apiClients, out)
	}
	s.breakEach(t, clientBreakages, "clients", command)
}

// clientsCommand finds what the test needs. In CI nothing may be missing.
func clientsCommand(t *testing.T) []string {
	t.Helper()
	node, err := exec.LookPath("node")
	if err == nil {
		_, err = os.Stat("clients/node_modules/cloudflare-images-ts/package.json")
	}
	if err == nil {
		// Not with --test: that reads results between what the program prints, and at times misreads
		// them where clients print much.
		return []string{node, "--test-reporter=tap", "clients.test.mjs"}
	}
	skipWithout(t, "node and npm ci in conformance/clients", err)
	return nil
}
