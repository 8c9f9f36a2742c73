package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// lineDelay is the time that a line of a served picture may wait for others, so that one write takes all
	// of them: a write for each line would cost half as much as the rest of the request.
	lineDelay = 100 * time.Millisecond
	// linesHeld limits the waiting lines, in bytes.
	linesHeld = 32 << 10
)

// logs are the two logs of a server. They share an output, on which lines stay in order.
type logs struct {
	immediate *slog.Logger // each line is written before the call returns
	buffered  *slog.Logger // lines of level Info may wait for lineDelay, others are written at once
	out       *logOutput
}

func newLogs(format string, w io.Writer) logs {
	out := &logOutput{w: w}
	immediate := logHandler(format, immediateWriter{out})
	return logs{slog.New(immediate), slog.New(bufferedHandler{logHandler(format, out), immediate}), out}
}

// close writes the waiting lines. Later lines wait as before, and may never be written.
func (l logs) close() error { return l.out.flush() }

func newLog(format string) *slog.Logger { return slog.New(logHandler(format, os.Stderr)) }

func logHandler(format string, w io.Writer) slog.Handler {
	if format == "text" || format == "auto" && isTerminal(os.Stderr) {
		return slog.NewTextHandler(w, nil)
	}
	return slog.NewJSONHandler(w, nil)
}

// isTerminal tests a property that only terminals have: /dev/null is a character device too, and would
// lose the first token.
func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	return err == nil
}

// bufferedHandler buffers lines up to level Info.
type bufferedHandler struct {
	slog.Handler // buffers
	immediate    slog.Handler
}

func (h bufferedHandler) Handle(ctx context.Context, r slog.Record) error {
	if r.Level > slog.LevelInfo {
		return h.immediate.Handle(ctx, r)
	}
	return h.Handler.Handle(ctx, r)
}

func (h bufferedHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return bufferedHandler{h.Handler.WithAttrs(attrs), h.immediate.WithAttrs(attrs)}
}

func (h bufferedHandler) WithGroup(name string) slog.Handler {
	return bufferedHandler{h.Handler.WithGroup(name), h.immediate.WithGroup(name)}
}

// A logOutput buffers lines for at most lineDelay, and then writes them in one write.
type logOutput struct {
	w    io.Writer
	mu   sync.Mutex
	held []byte
	due  *time.Timer // runs while lines are held; nil before the first
}

// Write buffers a line. Its error may be the error of a write of earlier lines.
func (o *logOutput) Write(line []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.held) == 0 {
		if o.due == nil {
			o.due = time.AfterFunc(lineDelay, func() { _ = o.flush() }) // the error cannot be reported
		} else {
			o.due.Reset(lineDelay)
		}
	}
	o.held = append(o.held, line...)
	if len(o.held) < linesHeld {
		return len(line), nil
	}
	return len(line), o.write()
}

// flush writes the waiting lines.
func (o *logOutput) flush() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.write()
}

// write writes the waiting lines; the caller has locked mu.
func (o *logOutput) write() error {
	if len(o.held) == 0 {
		return nil
	}
	o.due.Stop()
	_, err := o.w.Write(o.held)
	o.held = o.held[:0]
	return err
}

// immediateWriter writes the buffered lines, and then its own, at once.
type immediateWriter struct{ *logOutput }

func (p immediateWriter) Write(line []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.write(); err != nil {
		return 0, err
	}
	return p.w.Write(line)
}
