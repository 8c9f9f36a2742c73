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

// listenMetrics takes the address; nothing is served before serve.
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

// maxScrapers bounds the connections of those who look at metrics.
const maxScrapers = 16

// surface is the Observe of a surface's configuration.
func (m *metricsServer) surface(name string) func(string) func(int, time.Duration) {
	if m.Metrics == nil {
		return nil
	}
	return m.Surface(name)
}

// timer is that of the pool and the core.
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

// begin makes the metrics complete: the core has started.
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

// shutDown lets a scrape in flight end.
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

// close ends it at once.
func (m *metricsServer) close() {
	if m.server != nil {
		_ = m.listener.Close() // closed already, mostly: a server closes its own
		_ = m.server.Close()
	}
}
