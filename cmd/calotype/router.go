package main

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"calotype/internal/api"
	"calotype/internal/cfapi"
	"calotype/internal/delivery"
	"calotype/internal/errs"
	"calotype/internal/httpframe"
	"calotype/internal/intake"
	"calotype/internal/pages"
)

// The paths of the health checks.
const (
	healthPath = "/healthz"
	readyPath  = "/readyz"
)

// router sends each request to the surface that answers it, by the prefix of its path. It is not a
// ServeMux, which would redirect paths of ids with "//".
type router struct {
	api                     api.Handler
	intake, delivery, pages http.Handler
	keys                    http.Handler                      // of receipts
	scripts                 http.Handler                      // of the upload page, and the uploader
	hosts                   cfapi.URLs                        // hosts of the base URLs
	identify                func(*http.Request) *http.Request // finds the client
	ready                   func(context.Context) (string, error)
	log                     *slog.Logger
	draining                atomic.Bool
	unready                 atomic.Value // the reason of the last answer of /readyz, "" when it was ready
}

// setHosts makes each host serve its role only, if the hosts differ.
func (h *router) setHosts(urls cfapi.URLs) {
	host := func(base string) string {
		u, err := url.Parse(base)
		if err != nil {
			return ""
		}
		return plainHost(u.Host)
	}
	hosts := cfapi.URLs{API: host(urls.API), Upload: host(urls.Upload),
		Delivery: host(urls.Delivery), Batch: host(urls.Batch)}
	if hosts.API != hosts.Upload || hosts.API != hosts.Delivery || hosts.API != hosts.Batch {
		h.hosts = hosts
	}
}

// plainHost returns a host for comparisons: in lower case, without a default port.
func plainHost(host string) string {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if name, ok := strings.CutSuffix(host, ":443"); ok {
		return name
	}
	return strings.TrimSuffix(host, ":80")
}

func (h *router) ServeHTTP(bare http.ResponseWriter, r *http.Request) {
	path := r.URL.EscapedPath()
	if !delivery.Serves(r.Context(), path == healthPath || path == readyPath) {
		// Before it closes the connection, net/http reads on for the rest of the body.
		_ = http.NewResponseController(bare).SetReadDeadline(time.Now())
		panic(http.ErrAbortHandler)
	}
	if len(r.TransferEncoding) > 0 || delivery.Spare(r.Context()) {
		// A body in chunks may have a Content-Length beside it, which net/http drops: the bytes after the
		// body must not be read as another request.
		bare.Header().Set("Connection", "close")
	}
	r = h.identify(r)
	w := httpframe.New(bare, r)
	if r.ContentLength != 0 {
		// net/http reads an unread body before it answers. The API and the intake, which read bodies, set
		// other deadlines.
		_ = http.NewResponseController(bare).SetReadDeadline(time.Now().Add(unwantedBodyTime))
	}
	switch path {
	case healthPath:
		answerText(w, http.StatusOK, "ok")
		return
	case readyPath:
		h.readyz(w, r)
		return
	}
	handler, host := h.delivery, h.hosts.Delivery
	switch {
	case strings.HasPrefix(path, api.Prefix):
		handler, host = h.api, h.hosts.API
	case path == api.OpenAPIPath:
		handler, host = http.HandlerFunc(api.ServeOpenAPI), h.hosts.API
	case path == api.KeysPath:
		handler, host = h.keys, h.hosts.API
	case api.IsBatch(path):
		handler, host = h.api, h.hosts.Batch
	case pages.ServesScripts(path):
		handler, host = h.scripts, h.hosts.Upload
	case strings.HasPrefix(path+"/", intake.Prefix):
		handler, host = h.intake, h.hosts.Upload
	case pages.Serves(path):
		handler, host = h.pages, h.hosts.API
	}
	switch asked := plainHost(r.Host); {
	case host == "" || asked == host:
	case asked == h.hosts.Upload:
		handler = h.intake // so that any page may read the refusal too
	default:
		answerText(w, http.StatusNotFound,
			"not found: this host does not answer this path")
		return
	}
	handler.ServeHTTP(w, r)
}

// readyz answers whether the server can serve requests; 503 at once when draining. The log has the
// reason, except for a full disk, which the answer names.
func (h *router) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
	defer cancel()
	text, err := h.ready(ctx)
	h.logReady(err)
	if errs.AsError(err).Kind == errs.NoSpace {
		answerText(w, http.StatusServiceUnavailable, "not ready: out of disk")
		return
	}
	if err != nil || h.draining.Load() {
		answerText(w, http.StatusServiceUnavailable, "not ready")
		return
	}
	answerText(w, http.StatusOK, text)
}

// logReady logs a change of the answer of /readyz, which is requested every few seconds.
func (h *router) logReady(err error) {
	reason := ""
	if err != nil {
		reason = err.Error()
	}
	switch before, _ := h.unready.Swap(reason).(string); {
	case reason != "" && reason != before:
		h.log.Warn("not ready", "err", err)
	case reason == "" && before != "":
		h.log.Info("ready again")
	}
}

// unwantedBodyTime limits the reading of a body that no surface reads.
const unwantedBodyTime = 5 * time.Second

func answerText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text+"\n") // the error cannot be reported
}
