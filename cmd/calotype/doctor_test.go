package main

import (
	"bytes"
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"calotype/internal/doctor"
)

// testConfig returns a valid configuration whose folder is empty.
func testConfig(t *testing.T, change func(*Config)) Config {
	t.Helper()
	c := Config{Listen: "127.0.0.1:0", DiskReserve: 1, MaxUploadBytes: 1, SpoolBytes: 4, CacheBytes: 1,
		EventRetention: minEventRetention, Demo: "localhost", EagerFormats: "avif,webp,fallback"}
	c.Data = t.TempDir()
	if change != nil {
		change(&c)
	}
	return c
}

// TestCheck: serve and doctor refuse a configuration that is not valid, by the name of the flag.
func TestCheck(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	check := func(c Config) error {
		log.Reset()
		_, err := (&serveCommand{c}).check(slog.New(slog.NewTextHandler(&log, nil)))
		return err
	}
	if err := check(testConfig(t, nil)); err != nil || log.Len() > 0 {
		t.Errorf("a valid configuration: %v, log %s", err, &log)
	}
	short := testConfig(t, func(c *Config) { c.APIToken = "short" })
	if err := check(short); err != nil || !strings.Contains(log.String(), "-api-token is short") {
		t.Errorf("a short token: %v, log %s", err, &log)
	}
	for part, change := range map[string]func(*Config){
		"base URL":         func(c *Config) { c.URL = "images.example.com/path" },
		"-trusted-proxies": func(c *Config) { c.TrustedProxies = "everywhere" },
		"-format-in-url":   func(c *Config) { c.FormatInURL, c.Negotiate = "redirect", false },
		"-outbound-allow":  func(c *Config) { c.OutboundAllow = "everywhere" },
		"-demo":            func(c *Config) { c.Demo = "a host" },
		"account id":       func(c *Config) { c.AccountID = "first" },
		"account hash":     func(c *Config) { c.AccountHash = "first" },
		"-db":              func(c *Config) { c.DB = "mysql://host/x" },
		"begins with s3:":  func(c *Config) { c.Blobs = "s3:/bucket" },
		"unknown key":      func(c *Config) { c.Blobs = "s3://bucket?zone=x" },
		"unknown kind":     func(c *Config) { c.Blobs = "gs://bucket" },
		"-listen":          func(c *Config) { c.Listen, c.URL = "localhost", "https://images.example.com" },
		"-metrics-listen":  func(c *Config) { c.MetricsListen = "localhost:what" },
	} {
		if err := check(testConfig(t, change)); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%v, want %q", err, part)
		}
	}
}

// TestDoctorConfig: the checks get the files and secrets that the flags name.
func TestDoctorConfig(t *testing.T) {
	t.Parallel()
	c := doctorCommand{Config: testConfig(t, nil)}
	got := c.config()
	if !slices.Equal(got.Read, []string{firstTokenFile, demoKeyFile}) || len(got.Written) > 0 {
		t.Errorf("reads %q, writes %q", got.Read, got.Written)
	}
	if got.SQLite != filepath.Join(c.Data, "calotype.db") || got.Blobs != filepath.Join(c.Data, "blobs") {
		t.Errorf("database %s, originals %s", got.SQLite, got.Blobs)
	}
	if err := got.DemoKey(); err != nil {
		t.Errorf("no key: %v", err)
	}
	if err := writeSecret(filepath.Join(c.Data, demoKeyFile), "a short key", "a key"); err != nil {
		t.Fatal(err)
	}
	if err := got.DemoKey(); err == nil || !strings.Contains(err.Error(), "holds no key") {
		t.Errorf("a short key: %v", err)
	}
	c.Demo, c.WebhookURL, c.WebhookSecret, c.WebhookSigningSecret = "off", "https://host/x", "one", "two"
	got = c.config()
	if !slices.Equal(got.Read, []string{firstTokenFile}) || !slices.Equal(got.Written, []string{webhookSecretFile}) ||
		!slices.Equal(got.Secrets, []string{"one", "two"}) || got.DemoKey() != nil {
		t.Errorf("%+v", got)
	}
}

// TestDoctorInterrupted: an interrupted command fails, and says that checks are missing.
func TestDoctorInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	command := doctorCommand{Config: testConfig(t, nil)}
	if err := command.Run(ctx); err == nil || !strings.Contains(err.Error(), "interrupted") {
		t.Errorf("an interrupted command: %v", err)
	}
}

// TestVersionWithoutEngine: version reports a worker that ends or hangs.
func TestVersionWithoutEngine(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: waits five seconds")
	}
	t.Parallel()
	for want, command := range map[string][]string{
		"does not start: ": {"/bin/false"}, "no answer within 5s": {"/bin/sleep", "60"},
	} {
		if _, got := inspectEngine(t.Context(), command); !strings.HasPrefix(got, want) {
			t.Errorf("%q reports %s", command, got)
		}
	}
}

// TestShowFinding: a finding is one line.
func TestShowFinding(t *testing.T) {
	t.Parallel()
	for want, f := range map[string]doctor.Finding{
		"ok       disk               1 GiB\n":           {Result: doctor.OK, Subject: "disk", Found: "1 GiB"},
		"failed   disk               a\\u000ab; free\n": {Result: doctor.Failed, Subject: "disk", Found: "a\nb", Do: "free"},
	} {
		var out strings.Builder
		if showFinding(&out, f); out.String() != want {
			t.Errorf("printed %q, want %q", out.String(), want)
		}
	}
}
