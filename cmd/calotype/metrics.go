package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"

	"calotype/internal/images"
	"calotype/internal/limit"
	"calotype/internal/metrics"
	"calotype/internal/notify"
	"calotype/internal/render"
)

// A metricsServer serves the metrics on a separate address. Without -metrics-listen it has no Metrics, and
// does nothing.
type metricsServer struct {
	*metrics.Metrics
	listener net.Listener
	server   *http.Server
}

// listenMetrics opens the listener; requests are served from serve on.
func (c *serveCommand) listenMetrics(log *slog.Logger) (*metricsServer, error) {
	if c.MetricsListen == "" {
		return &metricsServer{}, nil
	}
	listener, err := net.Listen("tcp", c.MetricsListen)
	if err != nil {
		return nil, fmt.Errorf("listening on %s for metrics: %w; -metrics-listen names another "+
			"address", c.MetricsListen, err)
	}
	m := metrics.New()
	return &metricsServer{m, listener, &http.Server{
		Handler:           m.Handler(log),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}}, nil
}

// maxScrapers limits the connections of scrapers.
const maxScrapers = 16

// surface returns the Observe of a surface's configuration.
func (m *metricsServer) surface(name string) func(string) func(int, time.Duration) {
	if m.Metrics == nil {
		return nil
	}
	return m.Surface(name)
}

// timer returns the Timer of the pool and the core.
func (m *metricsServer) timer() func(pool, stage string, took time.Duration) {
	if m.Metrics == nil {
		return nil
	}
	return m.Timer
}

// webhooks returns the Observe of the notifier.
func (m *metricsServer) webhooks() func(outcome string, took time.Duration) {
	if m.Metrics == nil {
		return nil
	}
	return m.Webhooks(notify.Outcomes)
}

// begin adds the metrics of the core, which has started.
func (m *metricsServer) begin(core *images.Service, pool *render.Pool,
	pools []*limit.Pool) error {
	if m.Metrics == nil {
		return nil
	}
	return m.Watch(core, pool, pools, version)
}

// serve serves until shutDown or close.
func (m *metricsServer) serve() error {
	if m.server == nil {
		return nil
	}
	err := m.server.Serve(netutil.LimitListener(m.listener, maxScrapers))
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serving metrics: %w", err)
}

// shutDown waits for a running scrape.
func (m *metricsServer) shutDown() {
	if m.server == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if m.server.Shutdown(ctx) != nil {
		m.close()
	}
}

// close stops the server at once.
func (m *metricsServer) close() {
	if m.server != nil {
		_ = m.listener.Close() // usually closed already: a server closes its listener
		_ = m.server.Close()
	}
}
