package deploy

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A front is a proxy that runs with the committed configuration, in which only names, ports and
// folders are others.
type front struct {
	*daemon
	url     string // https
	logs    string // the folder of its logs
	clients map[string]*http.Client
}

// proxies are the ways to start one in front of an address.
var proxies = map[string]func(t *testing.T, address, upstream string) *front{
	"nginx": func(t *testing.T, address, upstream string) *front {
		return startNginx(t, address, upstream, false)
	},
	"Caddy": startCaddy,
}

// startNginx starts nginx; cached says whether with the cache that the file offers.
func startNginx(t *testing.T, address, upstream string, cached bool) *front {
	t.Helper()
	program := findProgram(t, "nginx")
	dir := t.TempDir()
	f, certificate, key := newFront(t, address)
	pairs := []string{
		"listen 443 ssl", "listen " + address + " ssl",
		"server 127.0.0.1:8080;", "server " + upstream + ";",
		"/etc/ssl/calotype/fullchain.pem", certificate, "/etc/ssl/calotype/key.pem", key,
		"/var/log/nginx", f.logs, "/var/cache/nginx/calotype", filepath.Join(dir, "cache"),
	}
	if cached {
		pairs = append(pairs, "#cache#", "")
	}
	cmd := nginxOf(t, program, dir, f.logs, edited(t, "nginx.conf", pairs...))
	f.daemon = startDaemon(t, cmd, f.clients["HTTP/1.1"], f.url+"/healthz")
	return f
}

// nginxOf makes nginx, all in dir, with what stands in its block http.
func nginxOf(t *testing.T, program, dir, logs, block string) *exec.Cmd {
	t.Helper()
	writeFile(t, filepath.Join(dir, "calotype.conf"), block)
	outer := "daemon off;\nmaster_process off;\npid nginx.pid;\n"
	if os.Geteuid() == 0 {
		outer += "user root;\n" // the folder is ours alone
	}
	outer += "error_log " + filepath.Join(logs, "error.log") + " info;\nevents {}\nhttp {\n"
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		outer += fmt.Sprintf("  %s_temp_path %s;\n", kind, filepath.Join(dir, kind))
	}
	outer += "  include calotype.conf;\n}\n"
	writeFile(t, filepath.Join(dir, "nginx.conf"), outer)
	return exec.Command(program, "-e", "stderr", "-p", dir, "-c", filepath.Join(dir, "nginx.conf"))
}

func startCaddy(t *testing.T, address, upstream string) *front {
	t.Helper()
	program := findProgram(t, "caddy")
	dir := t.TempDir()
	f, certificate, key := newFront(t, address)
	_, port, _ := net.SplitHostPort(address)
	config := edited(t, "Caddyfile",
		"log default {", "admin off\ndebug\nauto_https disable_redirects\ndefault_bind 127.0.0.1\n"+
			"log default {\noutput file "+filepath.Join(f.logs, "default.log"),
		"images.example.com {", fmt.Sprintf("https://:%s {\ntls %s %s", port, certificate, key),
		"reverse_proxy 127.0.0.1:8080", "reverse_proxy "+upstream, "/var/log/caddy", f.logs,
	)
	file := filepath.Join(dir, "Caddyfile")
	writeFile(t, file, config)
	cmd := exec.Command(program, "run", "--config", file, "--adapter", "caddyfile")
	cmd.Env = append(os.Environ(), "XDG_CONFIG_HOME="+dir, "XDG_DATA_HOME="+dir, "HOME="+dir)
	f.daemon = startDaemon(t, cmd, f.clients["HTTP/1.1"], f.url+"/healthz")
	return f
}

// newFront makes what all proxies need: a certificate, clients that trust it, a folder for logs.
func newFront(t *testing.T, address string) (f *front, certificate, key string) {
	t.Helper()
	served := httptest.NewTLSServer(nil)
	defer served.Close()
	dir := t.TempDir()
	chain := served.TLS.Certificates[0]
	der, err := x509.MarshalPKCS8PrivateKey(chain.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	certificate, key = filepath.Join(dir, "fullchain.pem"), filepath.Join(dir, "key.pem")
	writeFile(t, certificate, string(pem.EncodeToMemory(
		&pem.Block{Type: "CERTIFICATE", Bytes: chain.Certificate[0]})))
	writeFile(t, key, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	roots := x509.NewCertPool()
	roots.AddCert(served.Certificate())
	f = &front{url: "https://" + address, logs: t.TempDir(), clients: map[string]*http.Client{}}
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		transport := &http.Transport{
			TLSClientConfig:   &tls.Config{RootCAs: roots},
			ForceAttemptHTTP2: protocol == "HTTP/2.0",
		}
		t.Cleanup(transport.CloseIdleConnections)
		f.clients[protocol] = &http.Client{Transport: transport, Timeout: 2 * time.Minute,
			CheckRedirect: func(*http.Request, []*http.Request) error {
				return http.ErrUseLastResponse
			}}
	}
	return f, certificate, key
}

// logged returns all that the proxy has written.
func (f *front) logged() string {
	f.t.Helper()
	var all strings.Builder
	files, err := filepath.Glob(filepath.Join(f.logs, "*"))
	if err != nil {
		f.t.Fatal(err)
	}
	for _, file := range append(files, f.out) {
		all.WriteString(readFile(f.t, file))
	}
	return all.String()
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// dialTLS opens a connection that ends by itself.
func dialTLS(address string, config *tls.Config) (net.Conn, error) {
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 10 * time.Second}, "tcp", address, config)
	if err != nil {
		return nil, err
	}
	return conn, conn.SetDeadline(time.Now().Add(time.Minute))
}
