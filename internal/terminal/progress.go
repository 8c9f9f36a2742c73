package terminal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

const (
	progressEvery  = 200 * time.Millisecond // between two drawings
	progressWindow = 75                     // drawings over which the rate is measured: 15 seconds
	progressFirst  = time.Second            // before the first rate
	progressBar    = 24                     // columns of the bar
	leastBar       = 10                     // columns; a shorter bar is left out

	maxLeft = 10_000 * time.Hour // a longer time left is not shown
)

// A Progress counts the finished items of a task, such as images of a backup, and shows them on a terminal in one
// line, with the rate and the time left. Without a terminal it only counts. Its methods are safe for concurrent use,
// and a nil Progress does nothing.
type Progress struct {
	what, items string // such as backup, images

	done, doneBytes   atomic.Int64
	total, totalBytes atomic.Int64 // 0: not known

	container *mpb.Progress // nil without a terminal
	bar       *mpb.Bar
	rate      atomic.Int64 // thousandths of what the bar is about, in a second; 0: not known yet
	tail      string       // the rate and the time left in the line that is being drawn; head sets it
	stop      chan struct{}
	drawing   sync.WaitGroup
	ended     sync.Once
}

// A sample is the state of a Progress at a time.
type sample struct {
	at   time.Time
	done int64 // of what the bar is about
}

// StartProgress returns the Progress of a task, whose items have a name in the plural. It is shown on w if w is a
// terminal and hidden is false. The caller ends it by End, before it prints anything else to the terminal.
func StartProgress(w *os.File, hidden bool, what, items string) *Progress {
	p := &Progress{what: what, items: items, stop: make(chan struct{})}
	if hidden || !IsTerminal(w) {
		return p
	}
	p.container = mpb.New(mpb.WithOutput(w), mpb.WithWidth(progressBar), mpb.WithRefreshRate(progressEvery))
	p.bar = p.container.New(0, mpb.BarStyle(), mpb.BarFillerTrim(), mpb.BarFillerMiddleware(wideBar),
		mpb.PrependDecorators(decor.Any(p.head)),
		mpb.AppendDecorators(
			decor.Any(percentage),
			decor.Any(func(decor.Statistics) string { return p.tail }),
		))
	p.drawing.Go(p.draw)
	return p
}

// Shown reports whether the progress is shown on a terminal, so that totals are worth counting.
func (p *Progress) Shown() bool { return p != nil && p.container != nil }

// draw passes the counts to the bar until End.
func (p *Progress) draw() {
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	var samples []sample
	for inBytes := false; ; {
		select {
		case <-p.stop:
			return
		case <-tick.C:
		}
		if now := p.totalBytes.Load() > 0; now != inBytes {
			samples, inBytes = nil, now
		}
		done := p.measure(&p.done, &p.doneBytes)
		samples = append(samples, sample{time.Now(), done})
		samples = samples[max(0, len(samples)-progressWindow):]
		if took := time.Since(samples[0].at); took >= progressFirst {
			p.rate.Store(int64(float64(done-samples[0].done) * 1000 / took.Seconds()))
		}
		p.bar.SetTotal(p.measure(&p.total, &p.totalBytes), false)
		p.bar.SetCurrent(done)
	}
}

// wideBar returns a bar with a space before it, which is left out if there is no width for it.
func wideBar(bar mpb.BarFiller) mpb.BarFiller {
	return mpb.BarFillerFunc(func(w io.Writer, s decor.Statistics) error {
		if s.AvailableWidth--; s.AvailableWidth < leastBar {
			return nil
		}
		if _, err := io.WriteString(w, " "); err != nil {
			return err
		}
		return bar.Fill(w, s)
	})
}

// head returns the text before the bar: as much of the state as leaves the width for the rate and the time left. These
// may change until the bar draws the end of the line, so head stores them.
func (p *Progress) head(s decor.Statistics) string {
	rate := p.rate.Load()
	p.tail = p.speed(rate) + left(s, rate)
	width := s.AvailableWidth - len(percentage(s)+p.tail)
	number, items, _ := strings.Cut(p.counts(), " "+p.items)
	for _, text := range []string{
		p.what + ": " + number + " " + p.items + items,
		p.what + ": " + number + " " + p.items,
		p.what + ": " + number,
		number,
	} {
		if len(text) <= width {
			return text
		}
	}
	return ""
}

// measure returns the number that the bar, the rate and the time left are about: bytes if their total is known.
func (p *Progress) measure(items, bytes *atomic.Int64) int64 {
	if p.totalBytes.Load() > 0 {
		return bytes.Load()
	}
	return items.Load()
}

// speed returns the text of a rate, "" while it is not known.
func (p *Progress) speed(rate int64) string {
	switch {
	case rate == 0:
		return ""
	case p.totalBytes.Load() > 0:
		return " " + Bytes(rate/1000) + "/s"
	default:
		return fmt.Sprintf(" %.1f/s", float64(rate)/1000)
	}
}

// left returns the text of the time left at a rate, "" while it is not known.
func left(s decor.Statistics, rate int64) string {
	if rate == 0 || s.Total <= s.Current {
		return ""
	}
	seconds := float64(s.Total-s.Current) * 1000 / float64(rate)
	if seconds > maxLeft.Seconds() {
		return ""
	}
	return " " + max(time.Second, time.Duration(seconds)*time.Second).String() + " left"
}

func percentage(s decor.Statistics) string {
	if s.Total <= 0 {
		return ""
	}
	return fmt.Sprintf(" %d %%", min(100, s.Current*100/s.Total))
}

// Expect sets the total number of items and of their bytes; 0 for what is not known.
func (p *Progress) Expect(items, bytes int64) {
	if p != nil {
		p.total.Store(items)
		p.totalBytes.Store(bytes)
	}
}

// Add counts finished items and their bytes.
func (p *Progress) Add(items, bytes int64) {
	if p != nil {
		p.done.Add(items)
		p.doneBytes.Add(bytes)
	}
}

// String returns the state for people: "backup: 591 of 1,512 images, 12.3 MiB of 31.0 MiB".
func (p *Progress) String() string {
	return p.what + ": " + p.counts()
}

func (p *Progress) counts() string {
	done, total := p.done.Load(), p.total.Load()
	text := Number(done) + " " + p.items
	if total > 0 {
		text = Number(done) + " of " + Number(total) + " " + p.items
	}
	if bytes := p.totalBytes.Load(); bytes > 0 {
		text += ", " + Bytes(p.doneBytes.Load()) + " of " + Bytes(bytes)
	}
	return text
}

// Print prints a line above the progress, or to w if no progress is shown.
func (p *Progress) Print(w io.Writer, line string) {
	if p.Shown() {
		// After End the container refuses it.
		if _, err := io.WriteString(p.container, Visible(line)+"\n"); err == nil {
			return
		}
	}
	ShowLine(w, "%s", line)
}

// End ends the display; its last state remains on the terminal.
func (p *Progress) End() {
	if !p.Shown() {
		return
	}
	p.ended.Do(func() {
		close(p.stop)
		p.drawing.Wait()
		p.bar.SetTotal(p.measure(&p.total, &p.totalBytes), false)
		p.bar.SetCurrent(p.measure(&p.done, &p.doneBytes))
		p.bar.Abort(false)
		p.container.Wait()
	})
}

// Stopped ends the display and returns the error of the task. If ctx has ended, as by Ctrl-C, the error says how
// much is done, and next, which is what to do then, instead of the error of the context.
func (p *Progress) Stopped(ctx context.Context, err error, next string) error {
	p.End()
	if err == nil || ctx.Err() == nil {
		return err
	}
	stopped := fmt.Errorf("the %s stopped at %s: %s", p.what, p.counts(), next)
	if errors.Is(err, context.Canceled) {
		return stopped
	}
	return errors.Join(stopped, err)
}
