package blobtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A Gateway is a running S3 gateway with an empty bucket, for one test.
type Gateway struct {
	Endpoint  string // http URL on the loopback interface; wants path style
	Region    string
	Bucket    string
	AccessKey string
	SecretKey string
}

// URI returns the address of a store under prefix, as blob.Open takes it.
func (g Gateway) URI(prefix string) string {
	return fmt.Sprintf("s3://%s/%s?endpoint=%s&region=%s&path_style=true",
		g.Bucket, prefix, g.Endpoint, g.Region)
}

// Environ returns the environment variables that a program needs to use the gateway, and that
// keep it from a configuration of the machine's user.
func (g Gateway) Environ() []string {
	return []string{
		"AWS_ACCESS_KEY_ID=" + g.AccessKey,
		"AWS_SECRET_ACCESS_KEY=" + g.SecretKey,
		"AWS_SESSION_TOKEN=",
		"AWS_PROFILE=",
		"AWS_CONFIG_FILE=" + os.DevNull,
		"AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull,
	}
}

// Setenv sets Environ for the test itself, which then cannot be parallel; its subtests can.
func (g Gateway) Setenv(t testing.TB) {
	t.Helper()
	for _, e := range g.Environ() {
		name, value, _ := strings.Cut(e, "=")
		t.Setenv(name, value)
	}
}

// gatewayAttempts bounds how often the gateway is started: another process may take its port.
const gatewayAttempts = 5

// StartGateway starts a versitygw on a free port, which stops with the test. Without the program
// the test is skipped, or fails where CI=true.
func StartGateway(t testing.TB) Gateway {
	t.Helper()
	if testing.Short() {
		t.Skip("slow: an S3 gateway")
	}
	program, err := findVersityGW()
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	for attempt := 1; ; attempt++ {
		g, err := startGateway(t, program)
		if err == nil {
			return g
		}
		if attempt == gatewayAttempts {
			t.Fatalf("versitygw does not start: %v", err)
		}
	}
}

// findVersityGW looks at CALOTYPE_TEST_VERSITYGW, in PATH and where scripts/setup installs.
func findVersityGW() (string, error) {
	if program := os.Getenv("CALOTYPE_TEST_VERSITYGW"); program != "" {
		if _, err := os.Stat(program); err != nil {
			return "", fmt.Errorf("CALOTYPE_TEST_VERSITYGW: %w", err)
		}
		return program, nil
	}
	if program, err := exec.LookPath("versitygw"); err == nil {
		return program, nil
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		program := filepath.Join(dir, ".tools", "bin", "versitygw")
		if _, err := os.Stat(program); err == nil {
			return program, nil
		}
	}
	return "", errors.New("versitygw, the S3 gateway of these tests, is not installed: " +
		"run scripts/setup test")
}

// startGateway starts program once and waits until it answers.
func startGateway(t testing.TB, program string) (Gateway, error) {
	t.Helper()
	g := Gateway{
		Region: "us-east-1", Bucket: "calotype-test",
		AccessKey: "test-" + rand.Text(), SecretKey: rand.Text(),
	}
	// The gateway serves each folder of this one as a bucket.
	backend := t.TempDir()
	if err := os.Mkdir(filepath.Join(backend, g.Bucket), 0o700); err != nil {
		return g, err
	}
	address, err := freeAddress()
	if err != nil {
		return g, err
	}
	g.Endpoint = "http://" + address
	var output lockedBuffer
	cmd := exec.Command(program, "--port", address, "--region", g.Region, "posix", backend)
	cmd.Env = append(os.Environ(),
		"ROOT_ACCESS_KEY_ID="+g.AccessKey, "ROOT_SECRET_ACCESS_KEY="+g.SecretKey)
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		return g, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	if err := awaitGateway(t.Context(), address, ended); err != nil {
		_ = cmd.Process.Kill() // it may have ended already
		return g, fmt.Errorf("%w: %s", err, output.String())
	}
	t.Cleanup(func() { stopGateway(t, cmd.Process, ended) })
	return g, nil
}

// stopGateway lets the gateway end by itself, so that it no longer writes into its folder, which
// the test removes next.
func stopGateway(t testing.TB, p *os.Process, ended <-chan error) {
	_ = p.Signal(syscall.SIGTERM) // it may have ended already
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Logf("versitygw is killed: it does not stop")
		_ = p.Kill()
		<-ended
	}
}

// awaitGateway returns when the gateway accepts connections, or why it does not.
func awaitGateway(ctx context.Context, address string, ended chan error) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err == nil {
			return conn.Close()
		}
		select {
		case err := <-ended:
			ended <- err
			return fmt.Errorf("it has ended: %w", err)
		case <-ctx.Done():
			return fmt.Errorf("it does not listen: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// freeAddress returns an address of the loopback interface that is free now.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// A lockedBuffer keeps the first 16 KiB that a process prints.
type lockedBuffer struct {
	mu sync.Mutex
	b  []byte
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.b = append(b.b, p[:min(len(p), 16<<10-len(b.b))]...)
	return len(p), nil
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.b)
}
