package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// nginxConfig is the configuration that Debian's package comes with, as far as it concerns files: sendfile, a worker
// for each CPU, and an access log.
const nginxConfig = `daemon off;
%[2]s
worker_processes auto;
pid %[1]s/nginx.pid;
error_log %[1]s/error.log;
events { worker_connections 768; }
http {
  sendfile on;
  tcp_nopush on;
  types_hash_max_size 2048;
  types { image/webp webp; image/jpeg jpg; }
  default_type application/octet-stream;
  access_log %[1]s/access.log;
  keepalive_requests 1000000;
  client_body_temp_path %[1]s/body;
  proxy_temp_path %[1]s/proxy;
  fastcgi_temp_path %[1]s/fastcgi;
  uwsgi_temp_path %[1]s/uwsgi;
  scgi_temp_path %[1]s/scgi;
  %[3]s
}
`

// startNginx starts nginx with a server block, and waits until it answers at the path ready. It runs as this user,
// because the folders of the benchmark are private.
func (b *bench) startNginx(folder, address, ready, block string) (*process, error) {
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;"
	}
	config := filepath.Join(folder, "nginx.conf")
	err := errors.Join(os.MkdirAll(folder, 0o700),
		os.WriteFile(config, fmt.Appendf(nil, nginxConfig, folder, user, block), 0o600))
	if err != nil {
		return nil, err
	}
	return startProcess(address, ready, filepath.Join(folder, "log"), nil, b.nginx,
		"-c", config, "-p", folder, "-e", filepath.Join(folder, "error.log"))
}

// startNginxAlone serves a picture from a file.
func (b *bench) startNginxAlone(name string, picture []byte) (*process, error) {
	folder := filepath.Join(b.scratch, name)
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	www := filepath.Join(folder, "www")
	err = errors.Join(os.MkdirAll(www, 0o700), os.WriteFile(filepath.Join(www, "picture.webp"), picture, 0o600))
	if err != nil {
		return nil, err
	}
	return b.startNginx(folder, address, "/picture.webp", fmt.Sprintf("server { listen %s; root %s; }", address, www))
}

// startFront starts nginx with the file of the guide in front of a server; without accel it proxies the bytes.
func (b *bench) startFront(name string, s *server, accel bool) (*process, error) {
	folder := filepath.Join(b.scratch, name)
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	block, err := os.ReadFile("deploy/nginx-accel.conf")
	if err != nil {
		return nil, err
	}
	text := strings.NewReplacer("listen 80;", "listen "+address+";", "127.0.0.1:8080", s.address,
		"/var/lib/calotype", filepath.Join(b.scratch, "accel"), "/var/log/nginx", folder).Replace(string(block))
	if !accel {
		text = strings.Replace(text, `proxy_set_header Calotype-Accel nginx;`, "", 1)
	}
	return b.startNginx(folder, address, "/healthz", text)
}
