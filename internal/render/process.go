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

	"calotype/internal/imagefile"
)

// helloTimeout bounds the start of a worker. It is generous, since a busy machine starts slowly.
const helloTimeout = 30 * time.Second

// A spawner starts processes from one operating system thread that lives as long as the Pool, because
// the kernel sends a child its parent-death signal when the thread that forked it ends, not the
// process. The thread has the restrictions that a worker needs from its start.
type spawner struct {
	calls chan func()
	done  chan struct{}

	landlock string // of the starting thread: the version, or an error

	// Written while the Pool starts its first worker.
	isolate bool // in namespaces
	tried   bool // whether that works is known
}

func newSpawner(c PoolConfig) *spawner {
	s := &spawner{calls: make(chan func()), done: make(chan struct{}), isolate: !c.noNamespaces}
	program := c.Command[0]
	if path, err := exec.LookPath(program); err == nil {
		program = path
	}
	go func() {
		defer close(s.done)
		// Never unlocked, so the thread ends with this goroutine, after the last worker.
		runtime.LockOSThread()
		for call := range s.calls {
			call()
		}
	}()
	s.do(func() { s.landlock = restrictSpawner(c.landlock, program) })
	return s
}

func (s *spawner) do(f func()) {
	done := make(chan struct{})
	s.calls <- func() {
		defer close(done)
		f()
	}
	<-done
}

func (s *spawner) start(cmd *exec.Cmd) (err error) {
	s.do(func() { err = cmd.Start() })
	return err
}

func (s *spawner) close() {
	close(s.calls)
	<-s.done
}

// A process is one worker.
type process struct {
	cmd      *exec.Cmd
	conn     *net.UnixConn
	statm    *os.File // its /proc/PID/statm; nil if not available
	stat     *os.File // its /proc/PID/stat; nil if not available
	requests *os.File // its requests for threads; nil without that part of the sandbox
	mostData int64    // maximal limit of its writable memory, in bytes
	idleData int64    // its writable memory at the start, in bytes
	hello    hello
	stderr   *stderrTail
	jobs     int
	assignment
	exited chan struct{} // closed when it has ended and is reaped
}

const (
	// dataVariable holds a worker's limit of writable memory, in bytes.
	dataVariable = "CALOTYPE_WORKER_DATA"
	// landlockVariable holds the version of landlock, or its error, for a worker.
	landlockVariable = "CALOTYPE_WORKER_LANDLOCK"
)

// environment returns the whole environment of a worker. memory is the Pool's.
func environment(memory int64) []string {
	env := []string{
		// Go's own work in a worker is small, and its threads are counted.
		"GOTRACEBACK=none", "GOMAXPROCS=2", "MALLOC_ARENA_MAX=2", "LC_ALL=C", "VIPS_BLOCK_UNTRUSTED=1",
		// If a loader cannot stream, libvips stores pixels in memory and never in temporary files,
		// which the sandbox forbids. RLIMIT_DATA limits them.
		"VIPS_DISC_THRESHOLD=100g",
		fmt.Sprintf("%s=%d", dataVariable, mostData(memory)),
	}
	if path := os.Getenv("LD_LIBRARY_PATH"); path != "" {
		env = append(env, "LD_LIBRARY_PATH="+path)
	}
	return env
}

// usualIdleData is the writable memory of an idle worker, in bytes: 158 MiB measured, mostly stacks of
// threads and reservations of Go.
const usualIdleData = 160 * mib

// mostData returns the maximal writable memory of a worker, in bytes: its memory at the start, the
// slack, and the Pool's memory, independent of its job's estimate.
func mostData(memory int64) int64 { return usualIdleData + dataSlack + min(memory, maxJob) }

// startProcess starts a worker and waits for its hello. It tries namespaces with the first one; if that fails,
// this and all later workers have no namespaces.
func startProcess(ctx context.Context, s *spawner, c PoolConfig) (*process, error) {
	p, err := s.startProcess(ctx, c)
	if s.tried {
		return p, err
	}
	s.tried = true // by startPool, before workers start concurrently
	if err == nil || !s.isolate || ctx.Err() != nil {
		return p, err
	}
	s.isolate = false
	p, again := s.startProcess(ctx, c)
	if again != nil {
		return nil, again
	}
	c.Log.Info("render workers have no separate namespaces", "reason", err)
	return p, nil
}

func (s *spawner) startProcess(ctx context.Context, c PoolConfig) (*process, error) {
	conn, theirs, err := socketpair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	// The thread that starts the worker is no longer allowed to open it.
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("starting a worker: %w", err)
	}
	defer null.Close()
	p := &process{
		conn: conn, mostData: mostData(c.Memory), stderr: &stderrTail{}, exited: make(chan struct{}),
	}
	p.cmd = exec.Command(c.Command[0], c.Command[1:]...)
	p.cmd.Env = append(environment(c.Memory), landlockVariable+"="+s.landlock)
	p.cmd.Dir = "/"
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = null, null, p.stderr
	p.cmd.ExtraFiles = []*os.File{theirs} // becomes workerFD
	p.cmd.SysProcAttr = processAttributes(s.isolate)
	p.cmd.WaitDelay = time.Second
	if err := s.start(p.cmd); err != nil {
		conn.Close()
		return nil, fmt.Errorf("starting a worker: %w", err)
	}
	p.statm, p.stat = openStat(p.cmd.Process.Pid, "statm"), openStat(p.cmd.Process.Pid, "stat")
	theirs.Close() // now, so that only the worker holds its end
	go func() {
		defer close(p.exited)
		// cmd.ProcessState has the exit status.
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
	adjusted := p.dieFirst() // before the worker is undumpable, after which the file belongs to root
	if _, err := p.conn.Write([]byte{0}); err != nil {
		return errors.Join(context.Cause(ctx), err)
	}
	files, err := readFrameFiles(p.conn, &p.hello, 1)
	if err != nil {
		return errors.Join(context.Cause(ctx), err)
	}
	if err := p.supervise(files); err != nil {
		return err
	}
	switch h := p.hello; {
	case h.Error != "":
		return fmt.Errorf("worker says %q", sanitise(h.Error))
	case h.Protocol != protocol:
		return fmt.Errorf("worker speaks protocol %d, not %d", h.Protocol, protocol)
	}
	p.hello.Version = sanitise(p.hello.Version)
	for _, missing := range []map[imagefile.Format]string{p.hello.Missing, p.hello.MissingEncoders} {
		for format, why := range missing {
			missing[format] = sanitise(why)
		}
	}
	p.hello.Libraries = checkLibraries(p.hello.Libraries)
	p.hello.Sandbox.Detail = sanitiseTo(p.hello.Sandbox.Detail, maxDetail)
	p.idleData = p.usage().data
	p.hello.Sandbox.note(partJobMemory, 1,
		errors.Join(adjusted, p.boundSpace(), p.setMemory(p.idleLimit())))
	return nil
}

// maxDetail limits a worker's text about its sandbox, in bytes.
const maxDetail = 800

// supervise answers the worker's requests for threads until it has ended.
func (p *process) supervise(files []*os.File) error {
	if len(files) == 0 {
		return nil
	}
	defer files[0].Close()
	requests, err := pollable(files[0])
	if err != nil {
		return err
	}
	p.requests = requests
	go func() {
		superviseThreads(requests, p.stat)
		requests.Close()
	}()
	return nil
}

// errGone says that a worker had ended before it got the job, so the job can be retried.
var errGone = errors.New("worker is gone")

// errKilled says that another process killed a worker during its job, so the job can be retried.
var errKilled = errors.New("worker was killed")

// alive reports whether the worker is not known to have ended.
func (p *process) alive() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// exchange does one job within limits. On any error the worker is in an unknown state and must be
// killed. When ctx ends, the worker is killed at once: a hostile picture without a waiting client must
// not occupy a worker.
func (p *process) exchange(
	ctx context.Context, r request, l jobLimits, files ...*os.File,
) (answer, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(ctx, func() { p.cmd.Process.Kill() })
	defer stop()
	p.conn.SetDeadline(time.Now().Add(l.wall))
	p.jobs++
	if err := p.begin(l); errors.Is(err, syscall.ESRCH) {
		return answer{}, fmt.Errorf("%w: %w", errGone, err)
	} else if err != nil {
		return answer{}, err
	}
	defer p.watch(l.cpu, cancel)()
	if err := writeFrame(p.conn, r, files...); err != nil {
		return answer{}, p.broken(ctx, l, err)
	}
	var a answer
	if err := readFrame(p.conn, &a); err != nil {
		return answer{}, p.broken(ctx, l, err)
	}
	// A kill may be in progress: the worker is reused only if the kill was cancelled in time.
	if !stop() {
		return answer{}, p.broken(ctx, l, context.Cause(ctx))
	}
	if err := p.setMemory(p.idleLimit()); p.limited() && err != nil {
		return answer{}, fmt.Errorf("%w: %w", ErrWorker, err)
	}
	return a, nil
}

// broken returns the error of a failed exchange.
func (p *process) broken(ctx context.Context, l jobLimits, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	// EPIPE: the worker had closed the socket before. ECONNRESET: it closed the socket with our frame
	// unread in it.
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("%w after %s; it may use %s of a processor", errSlow, l.wall, l.cpu)
	}
	ended := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	if ended && p.killed() {
		return fmt.Errorf("%w: %w: %w", ErrWorker, errKilled, err)
	}
	return fmt.Errorf("%w: %w", ErrWorker, err)
}

// exitTime is the time that a worker has to exit after it has closed its socket, so that its exit status is
// known.
const exitTime = time.Second

// killed reports whether another process ended the worker with SIGKILL, such as the kernel when memory
// is short: the job has no fault then. It must be called before kill.
func (p *process) killed() bool {
	select {
	case <-p.exited:
	case <-time.After(exitTime):
		return false
	}
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// kill kills the worker and waits for its end.
func (p *process) kill() {
	p.cmd.Process.Kill() // an error means that it has ended
	p.conn.Close()
	for _, f := range []*os.File{p.statm, p.stat, p.requests} {
		f.Close() // only read; a nil file may be closed
	}
	<-p.exited
}

// stderrTail stores the first bytes of a worker's standard error and discards the rest.
type stderrTail struct {
	mu   sync.Mutex
	text []byte
}

// maxStderr limits the stored part of a worker's standard error, in bytes.
const maxStderr = 2 << 10

func (t *stderrTail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p[:min(len(p), maxStderr-len(t.text))]...)
	return len(p), nil
}

func (t *stderrTail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}
