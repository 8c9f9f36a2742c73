package render

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// helloTimeout bounds the start of a worker. It is generous, since a busy machine starts slowly.
const helloTimeout = 30 * time.Second

// A starter starts processes from one operating system thread that lives as long as the Pool: the
// kernel sends a child its parent-death signal when the thread that forked it ends, not the
// process.
type starter struct {
	calls chan func()
	done  chan struct{}
}

func newStarter() *starter {
	s := &starter{calls: make(chan func()), done: make(chan struct{})}
	go func() {
		defer close(s.done)
		// Never unlocked, so the thread ends with this goroutine, after the last worker.
		runtime.LockOSThread()
		slackenTimers()
		for call := range s.calls {
			call()
		}
	}()
	return s
}

func (s *starter) start(cmd *exec.Cmd) error {
	result := make(chan error)
	s.calls <- func() { result <- cmd.Start() }
	return <-result
}

func (s *starter) close() {
	close(s.calls)
	<-s.done
}

// A process is one worker.
type process struct {
	cmd    *exec.Cmd
	conn   *net.UnixConn
	statm  *os.File // what the system says of its memory; nil where it does not
	hello  hello
	stderr *printed
	jobs   int
	since  time.Time     // idle since
	exited chan struct{} // closed when it is gone and reaped
}

// dataVariable tells a worker its limit of writable memory, in bytes.
const dataVariable = "CALOTYPE_WORKER_DATA"

// environment is all that a worker gets to know of the server's. memory is the Pool's.
func environment(memory int64) []string {
	env := []string{
		"GOTRACEBACK=none", "MALLOC_ARENA_MAX=2", "LC_ALL=C", "VIPS_BLOCK_UNTRUSTED=1",
		// Where a loader cannot stream, libvips keeps pixels in memory and never in temporary
		// files, which the sandbox forbids. RLIMIT_DATA bounds them.
		"VIPS_DISC_THRESHOLD=100g",
		// No worker alone passes the whole budget, whatever its job was estimated at. What counts
		// for the limit is address space, of which an idle worker has 113 MiB already.
		fmt.Sprintf("%s=%d", dataVariable, min(maxData, memory+128*mib)),
	}
	if path := os.Getenv("LD_LIBRARY_PATH"); path != "" {
		env = append(env, "LD_LIBRARY_PATH="+path)
	}
	return env
}

// startProcess starts a worker and waits for its hello.
func startProcess(ctx context.Context, s *starter, c PoolConfig) (*process, error) {
	conn, theirs, err := socketpair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	p := &process{conn: conn, stderr: &printed{}, exited: make(chan struct{})}
	p.cmd = exec.Command(c.Command[0], c.Command[1:]...)
	p.cmd.Env = environment(c.Memory)
	p.cmd.Dir = "/"
	p.cmd.Stderr = p.stderr
	p.cmd.ExtraFiles = []*os.File{theirs} // becomes workerFD
	p.cmd.SysProcAttr = processAttributes()
	p.cmd.WaitDelay = time.Second
	if err := s.start(p.cmd); err != nil {
		conn.Close()
		return nil, fmt.Errorf("starting a worker: %w", err)
	}
	p.statm = openStatm(p.cmd.Process.Pid)
	theirs.Close() // now, so that the worker's end is the worker's only
	go func() {
		defer close(p.exited)
		// How it ended is in cmd.ProcessState.
		_ = p.cmd.Wait()
	}()
	if err := p.greet(ctx); err != nil {
		p.kill()
		return nil, fmt.Errorf("starting a worker: %w (it printed %q)", err, p.stderr)
	}
	return p, nil
}

// greet reads the hello.
func (p *process) greet(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { p.cmd.Process.Kill() })
	defer stop()
	p.conn.SetDeadline(time.Now().Add(helloTimeout))
	if err := readFrame(p.conn, &p.hello); err != nil {
		return errors.Join(context.Cause(ctx), err)
	}
	switch h := p.hello; {
	case h.Error != "":
		return fmt.Errorf("worker says %q", sanitise(h.Error))
	case h.Protocol != protocol:
		return fmt.Errorf("worker speaks protocol %d, not %d", h.Protocol, protocol)
	}
	p.hello.Version = sanitise(p.hello.Version)
	p.hello.Sandbox.Detail = sanitise(p.hello.Sandbox.Detail)
	return nil
}

// errGone says that a worker had ended before it got the job: the job is as good as new.
var errGone = errors.New("worker is gone")

// errKilled says that somebody else killed a worker at its job: the job may be as good as new.
var errKilled = errors.New("worker was killed")

// alive tells whether the worker is still there, as far as is known.
func (p *process) alive() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// exchange does one job. On any error the worker is in an unknown state and must be killed. When
// ctx ends, the worker is killed at once: a hostile picture that nobody waits for shall not hold a
// worker for longer.
func (p *process) exchange(
	ctx context.Context, r request, timeout time.Duration, files ...*os.File,
) (answer, error) {
	stop := context.AfterFunc(ctx, func() { p.cmd.Process.Kill() })
	defer stop()
	p.conn.SetDeadline(time.Now().Add(timeout))
	p.jobs++
	if err := writeFrame(p.conn, r, files...); err != nil {
		return answer{}, p.broken(ctx, timeout, err)
	}
	var a answer
	if err := readFrame(p.conn, &a); err != nil {
		return answer{}, p.broken(ctx, timeout, err)
	}
	// The kill may be on its way: only a worker that it missed is used again.
	if !stop() {
		return answer{}, p.broken(ctx, timeout, context.Cause(ctx))
	}
	return a, nil
}

// broken says why an exchange failed.
func (p *process) broken(ctx context.Context, timeout time.Duration, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	// EPIPE: it had closed the socket before. ECONNRESET: it closed it with our frame in it,
	// unread.
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("%w: %w: not done after %s", ErrWorker, ErrTime, timeout)
	}
	ended := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	if ended && p.killed() {
		return fmt.Errorf("%w: %w: %w", ErrWorker, errKilled, err)
	}
	return fmt.Errorf("%w: %w", ErrWorker, err)
}

// exitTime is how long a worker that closed its socket may take to be gone, to tell how it ended.
const exitTime = time.Second

// killed tells whether somebody else ended the worker with SIGKILL, such as the kernel when memory
// is short: that says nothing of its job. It must be asked before kill.
func (p *process) killed() bool {
	select {
	case <-p.exited:
	case <-time.After(exitTime):
		return false
	}
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// kill ends the worker and waits until it is gone.
func (p *process) kill() {
	p.cmd.Process.Kill() // an error means that it is gone already
	p.conn.Close()
	p.statm.Close() // only read; a nil file may be closed
	<-p.exited
}

// printed keeps the first bytes of what a worker prints and drops the rest.
type printed struct {
	mu   sync.Mutex
	text []byte
}

// maxStderr bounds what is kept of a worker's standard error, in bytes.
const maxStderr = 2 << 10

func (t *printed) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p[:min(len(p), maxStderr-len(t.text))]...)
	return len(p), nil
}

func (t *printed) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}
