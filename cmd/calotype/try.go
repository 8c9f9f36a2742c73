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

	"calotype/internal/images"
	"calotype/internal/pages"
	"calotype/internal/v4"
)

// tryKeyFile holds the key of the try-it page, so that a link to it outlives a restart.
const tryKeyFile = "try-key"

var tryKey = regexp.MustCompile(`^[A-Za-z0-9_-]{20,100}$`)

// pages makes what browsers see, and returns the link that opens the try-it page: with its key to
// be printed to a terminal, "" when no address of this server opens it.
func (c *serveCommand) pages(core *images.Service, account images.Account, urls v4.URLs,
	notFound http.Handler, watch *metricsServer, log *slog.Logger,
) (handler http.Handler, link string, err error) {
	hosts, err := pages.ParseTryHosts(c.Try)
	if err != nil {
		return nil, "", err
	}
	config := pages.Config{
		Core: core, Account: account, URLs: urls, Log: log, TryHosts: hosts, NotFound: notFound,
		Observe: watch.surface("pages"),
	}
	if hosts.Off() {
		return pages.New(config), "", nil
	}
	if config.TryKey, err = readTryKey(filepath.Join(c.Data, tryKeyFile)); err != nil {
		return nil, "", err
	}
	if base := c.tryBase(urls, hosts); base != "" {
		link = base + pages.TryPath + "?key=" + config.TryKey
	}
	return pages.New(config), link, nil
}

// readTryKey returns the key in the file, which it makes when there is none. The data folder is
// locked: nobody else makes it meanwhile.
func readTryKey(path string) (string, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		key := rand.Text()
		if err := os.WriteFile(path, []byte(key+"\n"), 0o600); err != nil {
			return "", fmt.Errorf("keeping the key of the try-it page: %w", err)
		}
		return key, nil
	}
	if err != nil {
		return "", fmt.Errorf("reading the key of the try-it page: %w", err)
	}
	key := strings.TrimSpace(string(text))
	if !tryKey.MatchString(key) {
		return "", fmt.Errorf("%s holds no key of the try-it page: it should be 20 to 100 letters "+
			"and digits; when the file is deleted, the next start makes a new one", path)
	}
	return key, nil
}

// tryBase returns the address under which a browser may open the try-it page: the public one, else
// this machine's; where the roles have hosts of their own, only the public one answers.
func (c *serveCommand) tryBase(urls v4.URLs, hosts pages.TryHosts) string {
	if u, err := url.Parse(urls.API); err == nil && hosts.Answers(u.Host) {
		return urls.API
	}
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil || urls.Upload != urls.API || urls.Delivery != urls.API {
		return ""
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	if !hosts.Answers(host) {
		return ""
	}
	return "http://" + net.JoinHostPort(host, port)
}
