package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"calotype/internal/accounts"
	"calotype/internal/api"
	"calotype/internal/cfapi"
	"calotype/internal/images"
	"calotype/internal/pages"
)

// demoKeyFile holds the key of the demo page, so that a link to it remains valid after a restart.
const demoKeyFile = "try-key"

var demoKey = regexp.MustCompile(`^[A-Za-z0-9_-]{20,100}$`)

// pages returns the handler of pages for browsers, and the link that opens the demo page, with its key;
// "" if no address of this server serves it.
func (c *serveCommand) pages(core *images.Service, account accounts.Account, urls cfapi.URLs,
	notFound http.Handler, watch *metricsServer, log *slog.Logger,
) (handler http.Handler, link string, err error) {
	hosts, err := pages.ParseDemoHosts(c.Demo)
	if err != nil {
		return nil, "", err
	}
	config := pages.Config{
		Core: core, Account: account, URLs: urls, Log: log, DemoHosts: hosts, NotFound: notFound,
		Observe: watch.Surface("pages"),
	}
	if c.Docs == "on" {
		if config.Description, err = api.Description(urls); err != nil {
			return nil, "", err
		}
	}
	if hosts.Off() {
		return pages.New(config), "", nil
	}
	if config.DemoKey, err = readDemoKey(filepath.Join(c.Data, demoKeyFile)); err != nil {
		return nil, "", err
	}
	if base := c.demoBase(urls, hosts); base != "" {
		link = base + pages.DemoPath + "?key=" + config.DemoKey
	}
	return pages.New(config), link, nil
}

// readDemoKey returns the key in the file. It generates one if the file does not exist. The data folder is
// locked, so no other process writes the file concurrently.
func readDemoKey(path string) (string, error) {
	key, err := loadDemoKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		key := rand.Text()
		return key, writeSecret(path, key, "the key of the demo page")
	}
	return key, err
}

// loadDemoKey returns the key in the file.
func loadDemoKey(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("reading the key of the demo page: %w", err)
	}
	key := strings.TrimSpace(string(text))
	if !demoKey.MatchString(key) {
		return "", fmt.Errorf("%s holds no key of the demo page: it should be 20 to 100 letters "+
			"and digits; when the file is deleted, the next start makes a new one", path)
	}
	return key, nil
}

// demoBase returns the address under which a browser may open the demo page: the public one, else
// this machine's. If the roles have separate hosts, only the public one serves the page.
func (c *serveCommand) demoBase(urls cfapi.URLs, hosts pages.DemoHosts) string {
	if u, err := url.Parse(urls.API); err == nil && hosts.Answers(u.Host) {
		return urls.API
	}
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil || urls.Upload != urls.API || urls.Delivery != urls.API {
		return ""
	}
	if isAnyHost(host) {
		host = "localhost"
	}
	if !hosts.Answers(host) {
		return ""
	}
	return "http://" + net.JoinHostPort(host, port)
}
