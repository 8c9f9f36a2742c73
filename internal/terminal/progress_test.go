package terminal

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/sys/unix"
)

// openTerminal opens a pseudo-terminal with a number of columns. output returns what was written to it, when it is closed.
func openTerminal(t *testing.T, columns uint16) (tty *os.File, output func() string) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { _ = master.Close() })
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 40, Col: columns})
	}
	if err == nil {
		tty, err = os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	var seen bytes.Buffer
	var reading sync.WaitGroup
	reading.Go(func() {
		_, _ = io.Copy(&seen, master) // it ends with an error when the other side is closed
	})
	return tty, func() string {
		if err := tty.Close(); err != nil {
			t.Error(err)
		}
		reading.Wait()
		return seen.String()
	}
}

// work counts items, as a task does.
func work(p *Progress, steps int, bytes int64) {
	for range steps {
		p.Add(1, bytes)
		time.Sleep(40 * time.Millisecond)
	}
}

var control = regexp.MustCompile("\x1b\\[[0-9;?]*[A-Za-z]|\r")

// TestProgress: a terminal shows counts, the rate and the time left, and a line that is printed stands alone.
func TestProgress(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		bytes, total int64
		want         []string
	}{
		"bytes": {1 << 20, 100 << 20, []string{
			`backup: \d+ of 100 images, \d+\.\d MiB of 100\.0 MiB`, `\d+\.\d MiB/s \d+s left`, `\d+ %`}},
		"items":    {0, 0, []string{`backup: \d+ of 100 images \[`, `\d+\.\d/s \d+s left`, `\d+ %`}},
		"no total": {0, -1, []string{`backup: \d+ images`, `\d+\.\d/s`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tty, output := openTerminal(t, 120)
			p := StartProgress(tty, false, "backup", "images")
			if c.total >= 0 {
				p.Expect(100, c.total)
			}
			work(p, 40, c.bytes)
			p.Print(io.Discard, "a note\x1b[2J")
			work(p, 20, c.bytes)
			p.End()
			p.End() // has no effect
			text := output()
			lines := control.ReplaceAllString(text, "\n")
			for _, want := range c.want {
				if !regexp.MustCompile(want).MatchString(lines) {
					t.Errorf("the terminal does not show %s:\n%s", want, lines)
				}
			}
			if !strings.Contains(lines, "\na note\\u001b[2J\n") {
				t.Errorf("the note is no line:\n%q", text)
			}
			if c.total < 0 && strings.Contains(lines, "left") {
				t.Error("a time is left of a task of unknown size")
			}
			if !strings.HasSuffix(strings.TrimSuffix(text, "\x1b[?25h"), "\n") || !strings.Contains(lines, "60 ") {
				t.Errorf("the terminal is not left with a whole line of the last state: %q", text)
			}
		})
	}
}

// TestProgressWidth: a narrow terminal shows the rate and the time left, and as much of the rest as fits into a line.
func TestProgressWidth(t *testing.T) {
	t.Parallel()
	for columns, want := range map[uint16]string{
		120: `\nbackup: \d+ of 1,234 images, \d+\.\d MiB of 1\.2 GiB \[=*>?-+\] \d %  ?\d+\.\d MiB/s \d+m?\d*s left\n`,
		80:  `\nbackup: \d+ of 1,234 images, \d+\.\d MiB of 1\.2 GiB \d % \d+\.\d MiB/s \d+m?\d*s left\n`,
		60:  `\nbackup: \d+ of 1,234 images \d % \d+\.\d MiB/s \d+m?\d*s left\n`,
		40:  `\n\d+ of 1,234 \d % \d+\.\d MiB/s \d+m?\d*s left\n`,
		30:  `\n \d % \d+\.\d MiB/s \d+m?\d*s left\n`,
	} {
		t.Run(strconv.Itoa(int(columns)), func(t *testing.T) {
			t.Parallel()
			tty, output := openTerminal(t, columns)
			p := StartProgress(tty, false, "backup", "images")
			p.Expect(1234, 1234<<20)
			work(p, 50, 1<<20)
			p.End()
			lines := control.ReplaceAllString(output(), "\n")
			if !regexp.MustCompile(want).MatchString(lines) {
				t.Errorf("the terminal does not show %s:\n%s", want, lines)
			}
			for line := range strings.SplitSeq(lines, "\n") {
				if len(line) > int(columns) {
					t.Errorf("%q is longer than the terminal is wide", line)
				}
			}
		})
	}
}

// TestProgressOfOneDrawing: a rate that becomes known while a line is drawn is not in this line, whose head has left no
// width for it.
func TestProgressOfOneDrawing(t *testing.T) {
	t.Parallel()
	p := &Progress{what: "backup", items: "images"}
	p.total.Store(1234)
	s := decor.Statistics{AvailableWidth: 30, Total: 1234, Current: 35}
	for range 2 {
		head := p.head(s)
		p.rate.Store(25_000)
		if line := head + percentage(s) + p.tail; len(line) > 30 {
			t.Errorf("%q has %d columns of 30", line, len(line))
		}
	}
	if !strings.Contains(p.tail, "left") {
		t.Errorf("the second line ends with %q", p.tail)
	}
}

// TestNoProgress: nothing is written to a file, nor to a terminal with --json.
func TestNoProgress(t *testing.T) {
	t.Parallel()
	file, err := os.Create(filepath.Join(t.TempDir(), "output"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	tty, output := openTerminal(t, 120)
	for _, p := range []*Progress{
		StartProgress(file, false, "backup", "images"), StartProgress(tty, true, "backup", "images"), nil,
	} {
		p.Expect(100, 0)
		work(p, 10, 0)
		if p.Shown() {
			t.Error("the progress is shown")
		}
		p.End()
	}
	written, err := os.ReadFile(file.Name())
	if text := output(); err != nil || len(written) > 0 || text != "" {
		t.Errorf("the file has %q, the terminal %q, %v", written, text, err)
	}
	var out bytes.Buffer
	StartProgress(file, false, "backup", "images").Print(&out, "a note")
	if out.String() != "a note\n" {
		t.Errorf("printed %q", out.String())
	}
}

// TestStopped: an end by Ctrl-C is an error that says what is done, and what to do next.
func TestStopped(t *testing.T) {
	t.Parallel()
	stopped, stop := context.WithCancel(t.Context())
	stop()
	broken := errors.New("broken")
	for _, c := range []struct {
		name string
		ctx  context.Context
		err  error
		want string
	}{
		{"no error", stopped, nil, ""},
		{"an error", t.Context(), broken, "broken"},
		{"Ctrl-C", stopped, context.Canceled, "the import stopped at 591 of 1,512 images: run it again"},
		{"Ctrl-C and an error", stopped, broken, "the import stopped at 591 of 1,512 images: run it again\nbroken"},
	} {
		p := StartProgress(os.Stderr, true, "import", "images")
		p.Expect(1512, 0)
		p.Add(591, 0)
		err := p.Stopped(c.ctx, c.err, "run it again")
		if got := errorText(err); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
