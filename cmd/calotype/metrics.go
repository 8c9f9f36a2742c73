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

	"calotype/internal/metrics"
)

// A metricsServer serves the metrics on a separate address. Without -metrics-listen its Metrics are nil, and it
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
