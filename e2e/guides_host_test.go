package e2e

import (
	"bytes"
	"crypto/tls"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// hostGuide is the guide of clients with a fixed host.
const hostGuide = "clients-with-a-fixed-host"

// TestHostGuide runs Caddy with the file of the guide, and curl as the client of each of Cloudflare's hosts.
func TestHostGuide(t *testing.T) {
	t.Parallel()
	caddy := findFront(t, "caddy")
	s := newServer(t)
	dir := t.TempDir()
	port := freePort(t)
	ours := strings.TrimPrefix(s.url, "http://")
	config := guideFile(t, hostGuide, "Caddyfile")
	for old, replacement := range map[string]string{
		"admin off":                    "admin off\n\thttp_port " + freePort(t) + "\n\thttps_port " + port, // not the machine's ports
		"reverse_proxy localhost:8080": "reverse_proxy " + ours, "Host localhost:8080": "Host " + ours,
	} {
		if strings.Count(config, old) != 1 {
			t.Fatalf("the guide's Caddyfile has no %q", old)
		}
		config = strings.Replace(config, old, replacement, 1)
	}
	writeText(t, filepath.Join(dir, "Caddyfile"), config)
	proxy := exec.Command(caddy, "run", "--config", "Caddyfile")
	proxy.Dir = dir
	proxy.Env = append(plainEnviron(), "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir, "HOME="+dir)
	startProgram(t, proxy, `serving initial configuration`)
	root := filepath.Join(dir, "caddy/pki/authorities/local/root.crt")
	waitFor(t, func() bool { _, err := os.Stat(root); return err == nil })

	// What /etc/hosts says, as arguments of curl.
	var resolve []string
	for _, host := range strings.Fields(guideFile(t, hostGuide, "/etc/hosts"))[3:] {
		// Caddy makes the certificates one after the other. curl verifies them below.
		waitFor(t, func() bool {
			c, err := tls.Dial("tcp", "127.0.0.1:"+port, &tls.Config{ServerName: host, InsecureSkipVerify: true})
			return err == nil && c.Close() == nil
		})
		resolve = append(resolve, "--resolve", host+":"+port+":127.0.0.1", "--connect-to", host+":443:"+host+":"+port)
	}
	if len(resolve) != 4*4 {
		t.Fatalf("the guide names the hosts %q", resolve)
	}
	curl := func(args ...string) string {
		t.Helper()
		return runShell(t, dir, `curl "$@"`, plainEnviron(), append(resolve, args...)...)
	}
	ca := []string{"-sS", "--cacert", root}
	command, found := strings.CutPrefix(guideScript(t, hostGuide), "curl ")
	if !found {
		t.Fatal("the guide has no curl")
	}
	verified := runShell(t, dir, `cp "$ROOT" root.crt; curl "$@" `+command, append(s.guideEnviron(), "ROOT="+root),
		append(resolve, "-sS")...)
	wantIn(t, verified, `"status": "active"`)

	u := s.createUploadURL()
	ticket, err := url.Parse(u.UploadURL)
	if err != nil {
		t.Fatal(err)
	}
	picture := filepath.Join(dir, "a.jpg")
	if err := os.WriteFile(picture, photo(t, 64, 48, 1), 0o600); err != nil {
		t.Fatal(err)
	}
	short := strings.TrimPrefix(ticket.RequestURI(), "/upload")
	for _, path := range []string{ticket.RequestURI(), short} {
		wantIn(t, curl(append(ca, "-X", "GET", "https://upload.imagedelivery.net"+path)...), `"status": "open"`)
	}
	wantIn(t, curl(append(ca, "-F", "file=@"+picture, "https://upload.imagedelivery.net"+short)...), `"success": true`)
	delivered := curl(append(ca, "https://imagedelivery.net"+strings.TrimPrefix(s.variantOf(u.ID), s.url))...)
	if !bytes.HasPrefix([]byte(delivered), []byte("\xff\xd8\xff")) {
		t.Errorf("imagedelivery.net delivers %.80q", delivered)
	}
	wantIn(t, curl(append(ca, "https://batch.imagedelivery.net/images/v1")...), `"success": false`, "9106")
}
