package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"calotype/internal/backup"
	"calotype/internal/blob"
	"calotype/internal/cfapi"
	"calotype/internal/images"
	"calotype/internal/sqldb"
)

// Config is the whole configuration of a server; the help of its fields is the manual. Each flag
// is also an environment variable: -listen is CALOTYPE_LISTEN.
type Config struct {
	StateFlags

	Listen        string `help:"Address to listen on; env: of the running server." default:"localhost:8080"`
	URL           string `help:"Public base URL, without a path; from -listen if not given."`
	UploadURL     string `help:"Public base URL of one-time uploads, on a separate host."`
	DeliveryURL   string `help:"Public base URL of delivery, on a separate host."`
	MetricsListen string `help:"Address for Prometheus, such as localhost:9090; empty: off."`

	MetricsAccounts int `help:"Number of accounts with separate metrics, by images; 0: none." default:"0"`

	TrustedProxies string `help:"Proxies that name their clients in X-Forwarded-For: CIDR,..."`

	BatchURL string `help:"Public base URL of the batch API, on a separate host."`

	AccountHash string `help:"Hash in public URLs, 22 base64url characters; default: from the id."`
	APIToken    string `help:"A token, or CALOTYPE_API_TOKEN_FILE; replaces the previous one."`

	Workers          int           `help:"Concurrent jobs of workers; 0: by CPU and memory." default:"0"`
	Memory           Bytes         `help:"Memory of all workers; 0: 60 %." default:"0"`
	WorkerTimeout    time.Duration `help:"Maximal processor time of a picture." default:"30s"`
	WorkerPerAccount bool          `help:"Never decode pictures of two accounts in one process."`

	RequireSandbox bool `help:"Refuse to start without the complete sandbox."`

	MaxUploadBytes Bytes `help:"Largest original." default:"10MiB"`
	CacheBytes     Bytes `help:"Size of the rendition cache." default:"10GiB"`
	SpoolBytes     Bytes `help:"Size of all uploads in progress; an account has half, a URL a quarter." default:"4GiB"`
	DiskReserve    Bytes `help:"Disk space left free; 0: the larger of 1 GiB and 5 %." default:"0"`

	Eager        string `help:"Variants to render right after an upload: all, or name,...; empty: none."`
	EagerFormats string `help:"Formats of -eager: avif, webp, fallback (JPEG, PNG, GIF)." default:"avif,webp,fallback"`

	MissRate      int    `help:"New renditions a second for a client address; 0: no limit." default:"20"`
	APIRate       int    `help:"Requests of an API token in 5 minutes; 0: no limit." default:"0"`
	OutboundAllow string `help:"Private networks that URLs of clients may name: CIDR,..."`
	RemoteSources string `help:"Hosts whose pictures /cdn-cgi/image may transform: host[/path],..."`

	EventRetention time.Duration `help:"Time for which events for webhooks are stored." default:"30d"`

	RebuildAt Clock `help:"Time of day, UTC, at which SQLite is rebuilt after erasures." default:"03:00"`

	WebhookURL    string `help:"URL that gets the events of the first account."`
	WebhookSecret string `help:"Secret in its header cf-webhook-auth; or CALOTYPE_WEBHOOK_SECRET_FILE."`

	WebhookSigningSecret string `help:"Its signing secret, whsec_...; or ..._FILE; default: generated."`

	PurgeURL  string `help:"URLs of caches, which get purges: url,...; see docs/guides/cdn.md."`
	PurgeForm string `help:"Their form: ${enum}." default:"json" enum:"bunny,cloudflare,cloudfront,fastly,json,varnish"`

	Accel string `help:"nginx: it may read the rendition cache; see docs/guides/cdn.md." default:"off" enum:"off,nginx"`

	Demo string `help:"Hosts that serve the demo page /try: localhost, names, on or off." default:"localhost"`
	Docs string `help:"The viewer of the API at /docs: on or off." default:"on" enum:"on,off"`

	Negotiate bool `help:"Choose the format by Accept, and options by client hints." default:"true" negatable:""`

	FormatInURL string `help:"Formats in URLs: ${enum}; docs/guides/cdn.md." default:"off" enum:"off,redirect,name"`

	HDR       string `help:"Gain maps of Ultra HDR JPEGs in JPEG renditions: on or off." default:"on" enum:"on,off"`
	LogFormat string `help:"text, json or auto: text on a terminal." default:"auto" enum:"auto,text,json"`

	ShutdownDelay   time.Duration `help:"Delay between failing /readyz and closing listeners." default:"0s"`
	ShutdownTimeout time.Duration `help:"Maximal time for requests to end in." default:"25s"`
}

// StateFlags are the flags of the location of the state. Every command that opens the state has them.
type StateFlags struct {
	Data  string `help:"Folder of all local state." default:"./data" type:"path"`
	DB    string `help:"postgres:// URL, or CALOTYPE_DB_FILE; empty: SQLite in -data."`
	Blobs string `help:"s3://bucket/prefix?endpoint=&region=&path_style=, or a folder."`

	AccountID string `help:"Account id, 32 hex digits; default: the only or first account."`
}

// dsn returns the data source name for sqldb.Open.
func (s StateFlags) dsn() string {
	return cmp.Or(s.DB, filepath.Join(s.Data, backup.DatabaseFile))
}

// openDB opens the database and migrates its schema.
func (s StateFlags) openDB(ctx context.Context) (*sqldb.DB, error) {
	if err := sqldb.CheckAddress(s.DB); err != nil {
		return nil, err
	}
	db, err := sqldb.Open(ctx, s.dsn())
	if err != nil {
		return nil, err
	}
	if err := images.Migrate(ctx, db); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func (s StateFlags) openBlobs(ctx context.Context) (blob.Store, error) {
	return blob.Open(ctx, s.blobs())
}

// blobs returns the location of the originals: an address, or a folder.
func (s StateFlags) blobs() string {
	return cmp.Or(s.Blobs, filepath.Join(s.Data, "blobs"))
}

// urls returns the public bases of the roles. guessed says that -listen names no host that
// other machines could reach, and that -url is empty.
func (c Config) urls() (urls cfapi.URLs, guessed bool, err error) {
	base := c.URL
	if base == "" {
		host, port, err := net.SplitHostPort(c.Listen)
		if err != nil {
			return urls, false, fmt.Errorf("-listen %q is not valid: it should be like localhost:8080: %w",
				c.Listen, err)
		}
		if isAnyHost(host) {
			host, guessed = "localhost", true
		}
		base = "http://" + net.JoinHostPort(host, port)
	}
	urls = cfapi.URLs{API: base, Upload: c.UploadURL, Delivery: c.DeliveryURL,
		Batch: c.BatchURL}
	for _, one := range []*string{&urls.API, &urls.Upload, &urls.Delivery, &urls.Batch} {
		if *one == "" {
			*one = base
		}
		if *one, err = checkBase(*one); err != nil {
			return urls, false, err
		}
	}
	return urls, guessed, nil
}

// isAnyHost reports whether the host of an address to listen on means every address of this machine.
func isAnyHost(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || ip != nil && ip.IsUnspecified()
}

func checkBase(base string) (string, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" ||
		strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		shown := ""
		if !strings.Contains(base, "@") { // otherwise it may hold a password
			shown = fmt.Sprintf(" %q", base)
		}
		return "", fmt.Errorf("the base URL%s is not valid: it should be like "+
			"https://images.example.com, without a user and without a path", shown)
	}
	return u.Scheme + "://" + u.Host, nil
}

// Clock is a time of day, written 03:00, as the time since midnight.
type Clock time.Duration

// UnmarshalText reads the written form.
func (c *Clock) UnmarshalText(text []byte) error {
	at, err := time.Parse("15:04", string(text))
	if err != nil {
		return fmt.Errorf("%q is not a time of day: it should be like 03:00", text)
	}
	*c = Clock(time.Duration(at.Hour())*time.Hour + time.Duration(at.Minute())*time.Minute)
	return nil
}

// Bytes is a number of bytes, written 1048576, 512KiB, 10MiB, 4GiB, 10MB or 1GB.
type Bytes int64

var byteUnits = []struct {
	suffix string
	size   int64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1}, {"", 1},
}

// UnmarshalText reads the written form.
func (b *Bytes) UnmarshalText(text []byte) error {
	for _, unit := range byteUnits {
		digits, ok := strings.CutSuffix(string(text), unit.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil || n < 0 || n > (1<<62)/unit.size {
			break
		}
		*b = Bytes(n * unit.size)
		return nil
	}
	return fmt.Errorf("%q is not a number of bytes: it should be like 512KiB, 10MiB or 4GiB", text)
}

// makeData makes the data folder durably, so that acknowledged data in it survives a power loss.
func (s StateFlags) makeData() error {
	if err := os.MkdirAll(s.Data, 0o700); err != nil {
		return fmt.Errorf("making the data folder: %w", err)
	}
	above, err := os.Open(filepath.Dir(filepath.Clean(s.Data)))
	if err != nil {
		return fmt.Errorf("making the data folder: %w", err)
	}
	if err := errors.Join(above.Sync(), above.Close()); err != nil {
		return fmt.Errorf("making the data folder: %w", err)
	}
	return nil
}
