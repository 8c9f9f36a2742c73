package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"calotype/internal/errs"
	"calotype/internal/limit"
	"calotype/internal/v4"
)

// Answers are the largest thing that the API holds in memory, and a reader may take minutes for one.
// So their memory is a pool that accounts share. A list holds rows: it reserves what they may take
// at most before it reads them, keeps what they do take, and gives back each row as it is written.
// Everything is read before the first byte is sent, so that what fails is a refusal.

const (
	answerMemory   = 64 << 20 // bytes, of all answers of a node
	answersWaiting = 200
	answerWait     = 10 * time.Second

	// smallAnswer is what any answer may have without a share of the pool.
	smallAnswer = 64 << 10
)

func newAnswers() *limit.Pool {
	return limit.New(limit.Config{Name: "answers", Size: answerMemory,
		Shares: []limit.Share{limit.Half}, Queue: answersWaiting, QueueTime: answerWait})
}

// pageBounds bound the JSON of a page, in bytes.
type pageBounds struct {
	token    int64 // of a page that may end early: more is asked for by a token, or again
	numbered int64 // of a page with a number, which cannot
}

// defaultBounds let a numbered page have 1000 images with 100 variants each.
var defaultBounds = pageBounds{token: 8 << 20, numbered: 32 << 20}

// Pools returns what the requests of all accounts share.
func (a *api) Pools() []*limit.Pool { return []*limit.Pool{a.answers} }

// reserve takes memory for an answer, or waits for it: Busy, Aborted.
func (a *api) reserve(ctx context.Context, account string, bytes int64) (*limit.Lease, error) {
	lease, err := a.answers.Acquire(ctx, limit.Request{Keys: []string{account}, N: bytes})
	switch {
	case errors.Is(err, limit.ErrFull), errors.Is(err, limit.ErrTimeout):
		return nil, &errs.Error{Kind: errs.Busy, RetryAfter: 2 * time.Second, Err: err,
			Msg: "Too many answers are being read at once; try again in a few seconds, ask for " +
				"fewer per page, and read answers as fast as they come"}
	case err != nil:
		return nil, &errs.Error{Kind: errs.Aborted, Msg: "The request was aborted by the client",
			Err: err}
	}
	return lease, nil
}

// A page is what a list answer holds while it is read and while it is written.
type page[T any] struct {
	lease    *limit.Lease // nil once it is the answer's
	reserved int64
	most     int64 // bytes of JSON; the first row may pass it
	json     int64
	full     bool // a row did not fit
	rows     []row[T]
}

// openPage reserves memory for a page of at most most bytes of JSON and a number of rows. A row takes at most
// maxRow bytes, and at most rowBase more than its JSON. The caller must close the page.
func openPage[T any](
	ctx context.Context, a *api, account string, most, rows, maxRow, rowBase int64,
) (*page[T], error) {
	p := &page[T]{most: most, reserved: min(rows*maxRow, rows*rowBase+most)}
	var err error
	p.lease, err = a.reserve(ctx, account, p.reserved)
	return p, err
}

// close gives the memory back, unless it is the answer's.
func (p *page[T]) close() { p.lease.Release() }

// A row is one of a page, with the bytes that it holds.
type row[T any] struct {
	of   T
	held int64
}

// add adds a row, unless its JSON does not fit. held are the bytes that the row itself takes.
func (p *page[T]) add(one T, json, held int64) bool {
	if p.json > 0 && p.json+json > p.most {
		p.full = true
		return false
	}
	p.json += json
	p.rows = append(p.rows, row[T]{one, held})
	return true
}

// answer is the page as a result; item makes what is written of a row.
func (p *page[T]) answer(result any, item func(T) any) *listAnswer {
	unused := p.reserved
	for _, r := range p.rows {
		unused -= r.held
	}
	lease := p.lease
	lease.Shrink(unused)
	p.lease = nil
	return &listAnswer{lease, v4.Series{Result: result, Items: func(yield func(any) bool) {
		for i, r := range p.rows {
			if !yield(item(r.of)) {
				return
			}
			p.rows[i] = row[T]{}
			lease.Shrink(r.held)
		}
	}}}
}

// A sendable is what a handler's result becomes: it is sent, and gives back what it holds.
type sendable interface {
	send(w *statusWriter, r *http.Request) error
}

// listAnswer is written item by item.
type listAnswer struct {
	lease *limit.Lease
	v4.Series
}

func (l *listAnswer) send(w *statusWriter, _ *http.Request) error {
	defer l.lease.Release()
	err := v4.WriteSeries(w, l.Series)
	w.broken = errors.Is(err, v4.ErrCut)
	return err
}

// wholeAnswer stands in memory whole.
type wholeAnswer struct {
	lease  *limit.Lease // nil of a small one
	status int
	body   []byte
}

func (a *wholeAnswer) send(w *statusWriter, _ *http.Request) error {
	defer a.lease.Release()
	return v4.Write(w, a.status, a.body)
}

// sendable makes a sendable of a handler's result. The answer to a write is never refused, so only reads may
// have to wait for memory.
func (a *api) sendable(r *http.Request, account string, result any) (sendable, error) {
	if ready, ok := result.(sendable); ok {
		return ready, nil
	}
	status, body, err := v4.EncodeResult(result)
	if err != nil {
		return nil, err
	}
	whole := &wholeAnswer{status: status, body: body}
	if len(body) > smallAnswer && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		whole.lease, err = a.reserve(r.Context(), account, int64(len(body)))
	}
	return whole, err
}
