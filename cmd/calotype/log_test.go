package main

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
)

// A lines takes what a log writes.
type lines struct {
	mu     sync.Mutex
	text   bytes.Buffer
	writes int
	failed error
	wrote  chan struct{} // gets one for each write that it has room for
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed != nil {
		return 0, l.failed
	}
	l.writes++
	select {
	case l.wrote <- struct{}{}:
	default:
	}
	return l.text.Write(p)
}

func (l *lines) read() (text string, writes int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String(), l.writes
}

// Lines that may wait are written by themselves, all at once.
func TestLinesThatWaitAreWritten(t *testing.T) {
	t.Parallel()
	out := &lines{wrote: make(chan struct{}, 1)}
	logs := newLogs("text", out)
	logs.buffered.Info("one")
	logs.buffered.With("a", 1).WithGroup("g").Info("two", "b", 2)
	<-out.wrote
	text, _ := out.read()
	if !strings.Contains(text, "msg=one") {
		t.Errorf("the first write was %q", text)
	}
	if err := logs.close(); err != nil {
		t.Error(err)
	}
	if text, _ := out.read(); !strings.Contains(text, "msg=two a=1 g.b=2\n") {
		t.Errorf("after the end there is %q", text)
	}
}

// Warnings and errors, and every line of the other log, are written when the call returns, after the lines
// that were logged before.
func TestOtherLinesDoNotWait(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"text", "json"} {
		out := &lines{}
		logs := newLogs(format, out)
		want := ""
		for i, log := range []func(string, ...any){
			logs.buffered.Warn, logs.buffered.Error, logs.immediate.Info, logs.buffered.With("x", 1).Error,
		} {
			logs.buffered.Info(fmt.Sprint("before", i))
			log(fmt.Sprint("now", i))
			want += fmt.Sprintf("before%d now%d ", i, i)
			text, _ := out.read()
			if !strings.Contains(text, fmt.Sprint("now", i)) {
				t.Errorf("%s: line %d is not there:\n%s", format, i, text)
			}
		}
		text, _ := out.read()
		at := 0
		for word := range strings.FieldsSeq(want) {
			next := strings.Index(text[at:], word)
			if next < 0 {
				t.Fatalf("%s: %s is not in its place:\n%s", format, word, text)
			}
			at += next
		}
	}
}

// With many concurrent loggers each line is written once, complete, in fewer writes than lines, and the
// buffer stays within its limit.
func TestManyLinesAtOnce(t *testing.T) {
	t.Parallel()
	out := &lines{}
	logs := newLogs("text", out)
	const loggers, each = 8, 500
	var group sync.WaitGroup
	for i := range loggers {
		group.Go(func() {
			for j := range each {
				level := slog.LevelInfo
				if j%100 == 0 {
					level = slog.LevelWarn
				}
				logs.buffered.Log(t.Context(), level, fmt.Sprintf("<%d/%d>", i, j))
			}
		})
	}
	group.Wait()
	logs.out.mu.Lock()
	if n := len(logs.out.held); n >= linesHeld {
		t.Errorf("%d bytes are held", n)
	}
	logs.out.mu.Unlock()
	if err := logs.close(); err != nil {
		t.Error(err)
	}
	text, writes := out.read()
	if n := strings.Count(text, "\n"); n != loggers*each || writes >= n {
		t.Errorf("%d lines in %d writes", n, writes)
	}
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "time=") || !strings.HasSuffix(line, ">\n") ||
			strings.Count(line, "time=") != 1 {
			t.Errorf("a line is %q", line)
		}
	}
	for i := range loggers {
		for j := range each {
			if n := strings.Count(text, fmt.Sprintf("<%d/%d>", i, j)); n != 1 {
				t.Fatalf("line %d/%d is there %d times", i, j, n)
			}
		}
	}
}

// An output that fails says so and holds nothing back for ever.
func TestAnOutputThatFails(t *testing.T) {
	t.Parallel()
	out := &lines{failed: errors.New("broken pipe")}
	logs := newLogs("text", out)
	logs.buffered.Info("lost")
	if err := logs.close(); !errors.Is(err, out.failed) {
		t.Errorf("the end was %v", err)
	}
	if len(logs.out.held) != 0 {
		t.Errorf("%d bytes are still held", len(logs.out.held))
	}
}
