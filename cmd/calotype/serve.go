package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"calotype/internal/accounts"
	"calotype/internal/api"
	"calotype/internal/blob"
	"calotype/internal/cdn"
	"calotype/internal/cfapi"
	"calotype/internal/delivery"
	"calotype/internal/disk"
	"calotype/internal/images"
	"calotype/internal/intake"
	"calotype/internal/listing"
	"calotype/internal/metrics"
	"calotype/internal/notify"
	"calotype/internal/outbound"
	"calotype/internal/pages"
	"calotype/internal/render"
	"calotype/internal/renditions"
	"calotype/internal/sqldb"
	"calotype/internal/trace/otlp"
)

// Settings of the garbage collector; GOGC and GOMEMLIMIT take precedence.
const (
	// gcPercent is the growth of the heap that starts a collection, in percent of the live heap. The live
	// heap is a few MB: at Go's default of 100 a busy server would collect every 4 MB of requests.
	gcPercent = 400
	// gcMemory is the size of Go's memory, in bytes, from which collections start earlier. Thousands of
	// connections make a live heap of hundreds of MB, which must not grow to five times that.
	gcMemory = 512 << 20
)

// minToken is the length from which -api-token counts as too long to be guessed.
const minToken = 20

// minEventRetention is longer than the time to the last attempt of a delivery.
const minEventRetention = 48 * time.Hour

// roomWait is the interval in which a start checks a full disk for free space.
const roomWait = 5 * time.Second

type serveCommand struct {
	Config
}

// Run serves until ctx ends.
func (c *serveCommand) Run(ctx context.Context) (err error) {
	if err := wantEngine(); err != nil {
		return err
	}
	setCollector()
	logs := newLogs(c.LogFormat, os.Stderr)
	defer joinClose(&err, logs.close)
	log := logs.immediate
	urls, err := c.check(log)
	if err != nil {
		return err
	}
	if err := c.makeData(); err != nil {
		return err
	}
	lock, err := disk.Lock(ctx, c.Data)
	if err != nil {
		return err
	}
	defer joinClose(&err, lock.Close)
	connections, err := c.listen()
	if err != nil {
		return err
	}
	defer connections.Close() // usually a second time: a server closes its listener
	watch, err := c.listenMetrics(log)
	if err != nil {
		return err
	}
	defer watch.close()
	traces, err := otlp.Start(ctx, version, log)
	if err != nil {
		return err
	}
	defer closeTraces(traces)
	db, err := c.openDBToServe(ctx, log)
	if err != nil {
		return err
	}
	defer joinClose(&err, db.Close)
	pool, err := c.pool(ctx, watch, log)
	if err != nil {
		return err
	}
	defer joinClose(&err, pool.Close)
	core, made, err := c.core(ctx, db, pool, urls, watch, log)
	if err != nil {
		return err
	}
	defer core.Close()
	defer made.Close()
	return c.runNode(ctx, &node{urls, logs, connections, watch, traces, db, pool, core, made})
}

// setCollector sets up the garbage collector.
func setCollector() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(gcMemory)
	}
}

// A node holds what Run has opened.
type node struct {
	urls        cfapi.URLs
	logs        logs
	connections *delivery.Connections
	watch       *metricsServer
	traces      *otlp.Exporter
	db          *sqldb.DB
	pool        *render.Pool
	core        *images.Service
	renditions  *renditions.Service
}

// runNode sets up the first account and the surfaces, and serves until ctx ends.
func (c *serveCommand) runNode(ctx context.Context, n *node) (err error) {
	log := n.logs.immediate
	account, newToken, err := n.core.Accounts.SetUp(ctx, accounts.Setup{
		ID: c.AccountID, Hash: c.AccountHash, Token: c.APIToken, Store: c.keepToken,
	})
	if err != nil {
		return err
	}
	if err := n.core.Start(ctx); err != nil {
		return err
	}
	if err := n.renditions.Start(); err != nil {
		return err
	}
	if err := delivery.StartEager(c.delivery(n), c.Eager, c.EagerFormats); err != nil {
		return err
	}
	notifier, err := c.notifier(n)
	if err != nil {
		return err
	}
	if err := c.ensureWebhook(ctx, n.core, account, log); err != nil {
		return err
	}
	purger, err := cdn.Open(ctx, cdn.Config{Purges: n.core.Purges, URLs: n.urls, Log: log,
		Observe: n.watch.Purges(cdn.Outcomes)}, c.PurgeForm, c.PurgeURL)
	if err != nil {
		return err
	}
	handler := c.surfaces(n, notifier)
	demoLink := ""
	handler.pages, demoLink, err = c.pages(n.core, account, n.urls, handler.delivery, n.watch, log)
	if err != nil {
		return err
	}
	err = n.watch.Watch(metrics.Sources{Core: n.core, Renditions: n.renditions, Render: n.pool,
		Pools: slices.Concat(n.core.Pools(), n.renditions.Pools(), notifier.Pools(), n.pool.Pools(),
			handler.api.Pools(), n.connections.Pools())}, version)
	if err != nil {
		return err
	}
	if err := errors.Join(n.watchTraces(), n.watch.WatchAccounts(ctx, n.core.Accounts, c.MetricsAccounts)); err != nil {
		return err
	}
	withdraw, err := announce(c.Data, n.connections.Addr().String(), n.urls)
	if err != nil {
		return err
	}
	defer joinClose(&err, withdraw)
	if err := c.printFirstSteps(account, newToken, demoLink, n.urls, log); err != nil {
		return err
	}
	return c.serve(ctx, n, handler, notifier, purger)
}

// pool starts the workers, and logs their limits.
func (c *serveCommand) pool(ctx context.Context, watch *metricsServer, log *slog.Logger) (*render.Pool, error) {
	pool, err := render.StartPool(ctx, render.PoolConfig{
		Command: workerArgs(), Workers: c.Workers, Memory: int64(c.Memory),
		Timeout: c.WorkerTimeout, RequireSandbox: c.RequireSandbox, Log: log,
		WorkerPerAccount: c.WorkerPerAccount, Eager: c.Eager != "",
		Timer: watch.Timer,
	})
	if err != nil {
		return nil, err
	}
	s := pool.Status()
	log.Info("render workers", "renditions", s.Renditions.Limit, "uploads", s.Uploads.Limit,
		"memory", s.Memory, "timeout", s.Timeout, "sandbox", s.Sandbox.Detail)
	return pool, nil
}

// surfaces returns the router with all surfaces except the pages.
func (c *serveCommand) surfaces(n *node, notifier *notify.Notifier) *router {
	log := n.logs.immediate
	handler := &router{
		api: api.New(api.Config{
			Core: n.core, Lists: listing.New(n.db), Notifier: notifier, URLs: n.urls, Log: log, Rate: c.APIRate,
			Observe: n.watch.Surface("api"), Tracer: n.traces.Tracer(),
		}),
		intake: intake.New(intake.Config{
			Core: n.core, URLs: n.urls, Log: log, Observe: n.watch.Surface("intake"), Page: uploadPage(n.core, n.urls),
			Tracer: n.traces.Tracer(),
		}),
		delivery: delivery.New(c.delivery(n)),
		keys:     api.ReceiptKeys(n.core.Receipts), scripts: pages.NewScripts(log),
		ready: readiness(n.db, n.core, n.pool), identify: n.connections.Identify,
		log: log,
	}
	handler.setHosts(n.urls)
	return handler
}

// delivery returns the configuration of deliveries.
func (c *serveCommand) delivery(n *node) delivery.Config {
	return delivery.Config{
		Renditions: n.renditions, Log: n.logs.buffered, URL: n.urls.Delivery, Negotiate: c.Negotiate,
		FormatInURL: delivery.FormatInURL(c.FormatInURL), BunnyTags: c.PurgeForm == "bunny", Accel: c.Accel == "nginx",
		Observe: n.watch.Surface("delivery"), Tracer: n.traces.Tracer(),
	}
}

// listen opens the listener. It is called before anything is created, because an address in use is the
// most frequent error of a first start.
func (c *serveCommand) listen() (*delivery.Connections, error) {
	proxies, err := outbound.ParseFlag("-trusted-proxies", c.TrustedProxies)
	if err != nil {
		return nil, err
	}
	most, err := connectionsAllowed()
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w; -listen names another address", c.Listen, err)
	}
	return delivery.NewConnections(listener, most, proxies), nil
}

// check refuses an invalid configuration, and returns the public URLs.
func (c *serveCommand) check(log *slog.Logger) (cfapi.URLs, error) {
	urls, guessed, err := c.urls()
	switch {
	case err != nil:
		return urls, err
	case c.MaxUploadBytes == 0 || c.SpoolBytes == 0 || c.CacheBytes == 0:
		return urls, errors.New("-max-upload-bytes, -spool-bytes and -cache-bytes must not be 0")
	case int64(c.SpoolBytes) < images.LeastSpool(int64(c.MaxUploadBytes)):
		return urls, errors.New("-spool-bytes must be at least four times -max-upload-bytes: one " +
			"upload URL gets a quarter of it at most")
	case c.MetricsAccounts < 0 || c.MetricsAccounts > metrics.MaxAccounts:
		return urls, fmt.Errorf("-metrics-accounts must be from 0 to %d", metrics.MaxAccounts)
	case c.EventRetention < minEventRetention:
		return urls, fmt.Errorf("-event-retention must not be less than %v: a delivery may take "+
			"longer than a day", minEventRetention)
	case c.Workers < 0 || c.APIRate < 0 || c.MissRate < 0:
		return urls, errors.New("-workers, -api-rate and -miss-rate must not be negative")
	}
	if err := cmp.Or(c.checkForms(), c.checkWebhook(), cdn.Check(c.PurgeForm, c.PurgeURL)); err != nil {
		return urls, err
	}
	if n := len(c.APIToken); n > 0 && n < minToken {
		log.Warn("-api-token is short enough to be guessed: a client that guesses it has all rights: use a "+
			"random one, such as `openssl rand -hex 20` prints", "characters", n, "least", minToken)
	}
	if guessed {
		log.Warn("-listen is open to other machines, but URLs say localhost: set -url to the "+
			"address that clients reach", "url", urls.API)
	}
	return urls, nil
}

// checkForms returns an error for a flag whose text cannot be used.
func (c *serveCommand) checkForms() error {
	_, demo := pages.ParseDemoHosts(c.Demo)
	_, proxies := outbound.ParseFlag("-trusted-proxies", c.TrustedProxies)
	_, networks := outbound.ParseNetworks(c.OutboundAllow)
	_, sources := outbound.ParsePlaces("-remote-sources", c.RemoteSources)
	_, _, _, eager := delivery.ParseEager(c.Eager, c.EagerFormats)
	formats := delivery.CheckFormatInURL(delivery.FormatInURL(c.FormatInURL), c.Negotiate)
	metricsAddress := error(nil)
	if c.MetricsListen != "" {
		metricsAddress = checkListen("-metrics-listen", c.MetricsListen)
	}
	return cmp.Or(checkListen("-listen", c.Listen), metricsAddress, sqldb.CheckAddress(c.DB),
		blob.CheckAddress(c.blobs()), accounts.CheckNames(c.AccountID, c.AccountHash), demo, proxies, networks, sources,
		eager, formats, otlp.Check())
}

// checkListen returns an error if an address to listen on has not the form host:port.
func checkListen(flag, address string) error {
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil {
		return fmt.Errorf("%s %q is not valid: it should be like localhost:8080: %w", flag, address, err)
	}
	return nil
}

// core returns the core on its stores, and the renditions of its images.
func (c *serveCommand) core(ctx context.Context, db *sqldb.DB, pool *render.Pool, urls cfapi.URLs,
	watch *metricsServer, log *slog.Logger) (core *images.Service, made *renditions.Service, err error) {
	blobs, err := c.openBlobs(ctx)
	if err != nil {
		return nil, nil, err
	}
	allow, err := outbound.ParseNetworks(c.OutboundAllow)
	if err != nil {
		return nil, nil, err
	}
	sources, err := outbound.ParsePlaces("-remote-sources", c.RemoteSources)
	if err != nil {
		return nil, nil, err
	}
	client := outbound.New(outbound.Config{Allow: allow, Own: urls.Hosts()})
	core = images.New(images.Config{
		DB: db, Blobs: blobs, Render: pool, Outbound: client, Dir: c.Data,
		MaxUploadBytes: int64(c.MaxUploadBytes), SpoolBytes: int64(c.SpoolBytes),
		CacheBytes: int64(c.CacheBytes), DiskReserve: int64(c.DiskReserve), Log: log,
		EventRetention: c.EventRetention, Issuer: urls.API,
		RebuildAt: time.Duration(c.RebuildAt),
		Timer:     watch.Timer, CountUpload: watch.CountUpload,
		Uploaded: func(img images.Image) { made.Uploaded(img) },
	})
	return core, renditions.New(renditions.Config{
		Core: core, Blobs: blobs, Render: pool, Outbound: client, Sources: sources,
		FetchedBytes: int64(c.SpoolBytes) / 4, MissRate: c.MissRate, SDR: c.HDR == "off", Timer: watch.Timer,
		Log: log,
	}), nil
}

// notifier makes the Notifier.
func (c *serveCommand) notifier(n *node) (*notify.Notifier, error) {
	allow, err := outbound.ParseNetworks(c.OutboundAllow)
	if err != nil {
		return nil, err
	}
	return notify.New(notify.Config{
		Webhooks: n.core.Webhooks, URLs: n.urls, Log: n.logs.immediate,
		Outbound: outbound.Config{Allow: allow, Own: n.urls.Hosts()},
		Observe:  n.watch.Webhooks(notify.Outcomes), Tracer: n.traces.Tracer(),
	}), nil
}

// serve runs the server, the notifier and the background jobs until ctx ends, and then waits for requests
// to end.
func (c *serveCommand) serve(ctx context.Context, n *node, handler *router,
	notifier *notify.Notifier, purger *cdn.Sender) error {
	log := n.logs.immediate
	server := &http.Server{
		Handler:           handler,
		ConnContext:       n.connections.ConnContext,
		ConnState:         n.connections.ConnState,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	group, running := errgroup.WithContext(ctx)
	group.Go(func() error {
		err := server.Serve(n.connections)
		if errors.Is(err, http.ErrServerClosed) {
			return nil
		}
		return fmt.Errorf("serving: %w", err)
	})
	group.Go(func() error { return n.core.Run(running) })
	group.Go(func() error { return notifier.Run(running) })
	group.Go(func() error { return purger.Run(running) })
	group.Go(n.watch.serve)
	group.Go(func() error {
		defer n.watch.shutDown() // last, so that the end of requests is visible in the metrics
		<-running.Done()
		handler.draining.Store(true)
		log.Info("shutting down", "delay", c.ShutdownDelay, "timeout", c.ShutdownTimeout)
		// After Shutdown no new request is answered, not even /readyz. A second signal ends the program.
		time.Sleep(c.ShutdownDelay)
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.ShutdownTimeout)
		defer cancel()
		if err := server.Shutdown(ending); err != nil {
			return errors.Join(fmt.Errorf("requests did not end in time: %w", err), server.Close())
		}
		return nil
	})
	return group.Wait()
}

// openDBToServe opens the database, also on a full disk: it first frees space, and waits until there is
// some.
func (c *serveCommand) openDBToServe(ctx context.Context, log *slog.Logger) (*sqldb.DB, error) {
	for {
		if err := images.MakeSpaceToStart(c.Data, log); err != nil {
			return nil, err
		}
		db, err := c.openDB(ctx)
		if !sqldb.IsFull(err) {
			return db, err
		}
		log.Error("out of disk: the database cannot be opened before there is free space", "err", err)
		select {
		case <-time.After(roomWait):
		case <-ctx.Done():
			return nil, err
		}
	}
}

// readiness returns whether the server can serve requests, and the state of the workers' sandbox.
func readiness(
	db *sqldb.DB, core *images.Service, pool *render.Pool,
) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		if err := db.Ping(ctx); err != nil {
			return "", err
		}
		if err := core.CheckSpace(); err != nil {
			return "", err
		}
		if sandbox := pool.Status().Sandbox; !sandbox.Complete {
			return "ready, sandbox incomplete: no " + strings.Join(sandbox.Missing(), ", no "), nil
		}
		return "ready", nil
	}
}

// workerArgs returns the command of a worker: the running program, also if its file was replaced.
func workerArgs() []string {
	if runtime.GOOS == "linux" {
		return []string{"/proc/self/exe", "worker"}
	}
	return []string{os.Args[0], "worker"}
}

// joinClose runs a Close at the end of a function and adds its error.
func joinClose(err *error, fn func() error) { *err = errors.Join(*err, fn()) }
