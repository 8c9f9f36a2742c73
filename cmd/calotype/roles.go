package main

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"calotype/internal/api"
	"calotype/internal/intake"
	"calotype/internal/pages"
	"calotype/internal/v4"
)

// roles sends each request to the surface that answers it, by the prefix of its path. It is no
// ServeMux: that would redirect the paths of ids that hold "//".
type roles struct {
	api, intake, delivery, pages http.Handler
	hosts                        v4.URLs // hosts in place of base URLs
	ready                        func(context.Context) (string, error)
	draining                     atomic.Bool
}

// setHosts makes each host answer its own role only, where the hosts differ.
func (h *roles) setHosts(urls v4.URLs) {
	host := func(base string) string {
		u, err := url.Parse(base)
		if err != nil {
			return ""
		}
		return strings.ToLower(u.Host)
	}
	hosts := v4.URLs{API: host(urls.API), Upload: host(urls.Upload), Delivery: host(urls.Delivery)}
	if hosts.API != hosts.Upload || hosts.API != hosts.Delivery {
		h.hosts = hosts
	}
}

func (h *roles) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.EscapedPath()
	handler, host := h.delivery, h.hosts.Delivery
	switch {
	case path == "/healthz":
		answerText(w, http.StatusOK, "ok")
		return
	case path == "/readyz":
		h.readyz(w, r)
		return
	case strings.HasPrefix(path, api.Prefix):
		handler, host = h.api, h.hosts.API
	case strings.HasPrefix(path, intake.Prefix):
		handler, host = h.intake, h.hosts.Upload
	case pages.Serves(path):
		handler, host = h.pages, h.hosts.API
	}
	if host != "" && !strings.EqualFold(r.Host, host) {
		answerText(w, http.StatusNotFound, "not found: this host does not answer this path")
		return
	}
	handler.ServeHTTP(w, r)
}

// readyz says whether to send requests here; 503 first when draining. Why not is for the log only.
func (h *roles) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
	defer cancel()
	text, err := h.ready(ctx)
	if err != nil || h.draining.Load() {
		answerText(w, http.StatusServiceUnavailable, "not ready")
		return
	}
	answerText(w, http.StatusOK, text)
}

func answerText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text+"\n") // nobody to tell
}
