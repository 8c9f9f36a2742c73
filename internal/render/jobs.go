package render

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"time"

	"calotype/internal/imagefile"
	"calotype/internal/limit"
	"calotype/internal/trace"
)

// dedicatedWorker has the formats whose first decoding gets a dedicated worker: it has decoded no picture before and
// decodes none after. Their decoders are the largest ones and have had the most memory errors.
var dedicatedWorker = map[imagefile.Format]bool{imagefile.HEIC: true, imagefile.AVIF: true}

// maxOutput bounds one rendition, in bytes. The worker's RLIMIT_FSIZE is the same.
const maxOutput = 128 * mib

// Examine decodes all frames of an original strictly, and returns its Properties. h is the result of ReadHeader,
// within the Limits. in must be readable; its offset is neither used nor moved. Errors: those of package render; a
// *LimitError if this server has too little memory for the picture.
func (p *Pool) Examine(ctx context.Context, in *os.File, h imagefile.Header) (Properties, error) {
	if err := p.checkDecoder(h.Format); err != nil {
		return Properties{}, err
	}
	source, err := openReadOnly(in)
	if err != nil {
		return Properties{}, err
	}
	defer source.Close()
	size, err := sizeOfOriginal(in)
	if err != nil {
		return Properties{}, err
	}
	if err := p.checkMemory(h, size); err != nil {
		return Properties{}, err
	}
	r := request{Op: opExamine, Job: Job{Header: h}}
	var properties Properties
	d := demand{lane: uploads, requester: requesterOf(ctx), need: examineCost(h).withFile(size),
		cost: examineTime(h), dedicated: dedicatedWorker[h.Format]}
	err = p.run(ctx, d, r, func(a answer) error {
		properties = a.Properties
		return checkProperties(a.Properties, h)
	}, source)
	if err != nil {
		return Properties{}, err
	}
	return properties, nil
}

// Render renders in and writes the rendition to out, a file that it overwrites from the start. in must be readable;
// its offset is neither used nor moved. Errors: those of package render, of which ErrYielded is for a job of the eager
// lane only; a *LimitError if the rendition would be too large.
func (p *Pool) Render(ctx context.Context, in, out *os.File, j Job) (Output, error) {
	if err := errors.Join(checkJob(j), p.checkDecoder(j.Header.Format), p.checkEncoder(j.Format)); err != nil {
		return Output{}, err
	}
	source, err := openReadOnly(in)
	if err != nil {
		return Output{}, err
	}
	defer source.Close()
	scratch, err := newScratch()
	if err != nil {
		return Output{}, err
	}
	defer scratch.Close()
	size, err := sizeOfOriginal(in)
	if err != nil {
		return Output{}, err
	}
	if j, err = p.withGainMap(j, in, size); err != nil {
		return Output{}, err
	}
	need := renderCost(j).withFile(size)
	if err := p.checkJobMemory(need); err != nil {
		return Output{}, err
	}
	var made Output
	r := request{Op: opRender, Job: j}
	d := demand{lane: renditions, requester: requesterOf(ctx), need: need, cost: renderTime(j)}
	if d.requester.Eager {
		d.lane = eager
	}
	err = p.run(ctx, d, r, func(a answer) error {
		if made, err = deliver(scratch, out, j); err != nil {
			return err
		}
		made.Quality, err = checkQuality(a.Output.Quality, j)
		return err
	}, source, scratch)
	if err != nil {
		return Output{}, err
	}
	return made, nil
}

// sizeOfOriginal returns the size of a file in bytes.
func sizeOfOriginal(in *os.File) (int64, error) {
	info, err := in.Stat()
	if err != nil {
		return 0, fmt.Errorf("measuring the original: %w", err)
	}
	return info.Size(), nil
}

// run does one job in a worker: admission, the exchange, and the return or end of the worker. accept checks
// and uses a successful answer; if it fails with ErrWorker, the worker is no longer trusted and is killed.
func (p *Pool) run(ctx context.Context, d demand, r request,
	accept func(answer) error, files ...*os.File) error {
	ctx, cancel, err := p.begin(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	arrived := time.Now()
	l := d.lane
	if l == eager {
		ctx, d.yield = context.WithCancelCause(ctx)
		defer d.yield(nil)
	}
	job, err := p.admit(ctx, d)
	p.c.Timer.Since(l.String(), StageWait, arrived)
	trace.Record(ctx, StageWait, arrived, err)
	if err != nil {
		return err
	}
	defer job.leave()
	began := time.Now()
	w, a, err := p.exchange(ctx, d, r, files)
	p.c.Timer.Since(l.String(), StageWork, began)
	if err == nil {
		err = answerError(a)
	}
	trace.Record(ctx, StageWork, began, err)
	if w == nil {
		return err
	}
	if err == nil {
		err = accept(a)
	}
	switch {
	case errors.Is(err, ErrWorker):
		p.discard(l, w, err)
	case d.dedicated:
		p.retire(w)
	default:
		p.release(l, w)
	}
	return err
}

// admit waits for admission for a limited time. After that the client should retry. A job of the eager lane has no
// client, and waits until ctx ends.
func (p *Pool) admit(ctx context.Context, d demand) (*admitted, error) {
	if d.lane == eager {
		return p.admission.enter(ctx, d)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, queueTime,
		fmt.Errorf("%w: %w: %s for a worker", ErrBusy, limit.ErrTimeout, queueTime))
	defer cancel()
	return p.admission.enter(ctx, d)
}

// begin registers a job with the Pool, whose Close cancels it.
func (p *Pool) begin(ctx context.Context) (context.Context, func(), error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, nil, errClosed
	}
	p.owned.Add(1)
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(p.ctx, func() { cancel(errClosed) })
	return ctx, func() {
		stop()
		cancel(nil)
		p.owned.Done()
	}, nil
}

// timeout returns the CPU time that a worker may use for a job.
func (p *Pool) timeout(d demand) time.Duration {
	if d.lane == uploads {
		return min(p.c.Timeout, max(examineTimeout, examinePatience*d.cost))
	}
	return p.c.Timeout
}

// maxAttempts limits the number of dead workers that a job may find before it fails.
const maxAttempts = 4

// exchange selects a worker and sends it the job. If the worker had died while it was idle, the next worker
// gets the job. If another process kills the worker during the job, the job is retried once.
func (p *Pool) exchange(
	ctx context.Context, d demand, r request, files []*os.File,
) (*process, answer, error) {
	l, kills := d.lane, 0
	for attempt := 1; ; attempt++ {
		w, err := p.take(ctx, d)
		if err != nil {
			return nil, answer{}, err
		}
		a, err := w.exchange(ctx, r, p.limits(d), files...)
		if err == nil {
			return w, a, nil
		}
		p.discard(l, w, err)
		killed := errors.Is(err, errKilled)
		if !killed && !errors.Is(err, errGone) {
			return nil, answer{}, err
		}
		// A job whose worker is killed twice may be the cause of it.
		if killed {
			kills++
		}
		if kills > 1 || attempt == maxAttempts {
			return nil, answer{}, fmt.Errorf("%w: %v", ErrNoWorker, err)
		}
	}
}

// take returns an idle worker that may do a job, or a new one.
func (p *Pool) take(ctx context.Context, d demand) (w *process, err error) {
	l := d.lane
	defer func() {
		if err == nil {
			w.assign(d)
			p.keepSpare(d)
		}
	}()
	for {
		w := p.pop(d)
		if w == nil {
			break
		}
		switch {
		case !w.alive():
			p.discard(l, w, errGone)
		case !w.fits(d.need.mapped):
			p.retire(w)
		default:
			return w, nil
		}
	}
	p.makeWay(l)
	w, err = p.start(ctx, l)
	if err != nil && ctx.Err() == nil {
		w, err = p.start(ctx, l) // the cause that killed a worker may also kill a starting one
	}
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		p.c.Log.Error("cannot start a render worker", "lane", l.String(), "error", err)
		return nil, fmt.Errorf("%w: %w", ErrNoWorker, err)
	}
	return w, nil
}

// start starts a worker and compares it with the others: all must run the same pipeline in an equal sandbox.
func (p *Pool) start(ctx context.Context, l lane) (*process, error) {
	w, err := startProcess(ctx, p.spawner, p.c)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.version == "" {
		p.version, p.sandbox = w.hello.Version, w.hello.Sandbox
		p.libraries, p.missing = w.hello.Libraries, w.hello.Missing
		p.missingEncoders = w.hello.MissingEncoders
	}
	switch got := w.hello; {
	case got.Version != p.version:
		err = fmt.Errorf("the worker is version %q, this server began with %q: restart the server",
			got.Version, p.version)
	case missesMore(got.Missing, p.missing):
		err = fmt.Errorf("the worker cannot decode %v, this server began with %v: restart the server",
			slices.Sorted(maps.Keys(got.Missing)), slices.Sorted(maps.Keys(p.missing)))
	case missesMore(got.MissingEncoders, p.missingEncoders):
		err = fmt.Errorf("the worker cannot encode %v, this server began with %v: restart the server",
			slices.Sorted(maps.Keys(got.MissingEncoders)), slices.Sorted(maps.Keys(p.missingEncoders)))
	case p.c.RequireSandbox && !got.Sandbox.Complete:
		err = fmt.Errorf("the sandbox is required but incomplete: %s", got.Sandbox.Detail)
	}
	if err != nil {
		w.kill()
		return nil, err
	}
	p.all[w] = l
	return w, nil
}

// missesMore reports whether a worker lacks a decoder or encoder that the first worker had. A worker with more of them
// is used; the server does not use their formats until its restart.
func missesMore(worker, first map[imagefile.Format]string) bool {
	for format := range worker {
		if _, missing := first[format]; !missing {
			return true
		}
	}
	return false
}

// release returns a worker to the pool after a successful job, or replaces it if it is worn.
func (p *Pool) release(l lane, w *process) {
	if w.worn() && !p.c.keepWorn {
		p.retire(w)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	w.noteIdle()
	p.idle[l] = append(p.idle[l], w)
}

// retire stops a worker that has not failed.
func (p *Pool) retire(w *process) {
	p.end(w)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.recycled++
	p.ended[endRecycled]++
}

// discard stops a worker that failed, and logs the reason. A worker of the eager lane whose job was cancelled has not
// failed.
func (p *Pool) discard(l lane, w *process, why error) {
	p.end(w)
	reason := lossReason(why)
	yielded := l == eager && reason == endCancelled
	p.mu.Lock()
	if !yielded {
		p.lost++
	}
	p.ended[reason]++
	p.mu.Unlock()
	if yielded {
		return
	}
	p.c.Log.Warn("render worker ended", "lane", l.String(), "reason", why,
		"state", w.cmd.ProcessState.String(), "printed", fmt.Sprintf("%q", w.stderr))
}

func (p *Pool) end(w *process) {
	w.kill()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.all, w)
}

// answerError converts a worker's refusal to an error; nil if the worker did the job.
func answerError(a answer) error {
	reason := sanitise(a.Reason)
	switch a.Kind {
	case kindOK:
		return nil
	case kindUndecodable:
		return fmt.Errorf("%w: %s", ErrUndecodable, reason)
	case kindEncode:
		return fmt.Errorf("%w: %s", ErrEncode, reason)
	case kindLimit:
		return &imagefile.LimitError{What: limitRendition, Measured: a.Measured, Allowed: imagefile.MaxTransformPixels}
	case kindMemory:
		return fmt.Errorf("%w: %w: %s", ErrWorker, ErrOutOfMemory, reason)
	case kindFailed:
		return fmt.Errorf("%w: %s", ErrWorker, reason)
	}
	return fmt.Errorf("%w: answer of unknown kind %q", ErrWorker, sanitise(a.Kind))
}

// deliver copies a worker's output to the caller's file and checks the copy, which no worker can
// change.
func deliver(scratch, out *os.File, j Job) (Output, error) {
	size, err := sizeOf(scratch)
	if err != nil {
		return Output{}, err
	}
	if err := out.Truncate(0); err != nil {
		return Output{}, fmt.Errorf("emptying the rendition's file: %w", err)
	}
	n, err := io.Copy(io.NewOffsetWriter(out, 0), io.NewSectionReader(scratch, 0, size))
	if err != nil {
		return Output{}, fmt.Errorf("writing the rendition: %w", err)
	}
	if n != size {
		return Output{}, fmt.Errorf("%w: the output shrank", ErrWorker)
	}
	return checkOutput(out, size, j)
}

func sizeOf(f *os.File) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, fmt.Errorf("measuring the output: %w", err)
	}
	if n := info.Size(); n < 1 || n > maxOutput {
		return 0, fmt.Errorf("%w: output of %d bytes, not 1 to %d", ErrWorker, n, maxOutput)
	}
	return info.Size(), nil
}
