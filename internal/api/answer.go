package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"calotype/internal/cfapi"
	"calotype/internal/errs"
	"calotype/internal/httpframe"
	"calotype/internal/limit"
)

// Answers use most of the API's memory, and a client may take minutes to read one. So their memory is a pool
// that accounts share. A list holds rows: it reserves their maximal memory before it reads them, releases the
// unused part, and then releases each row that is written. All rows are read before the first byte is sent, so
// that an error is a refusal.

const (
	answerMemory   = 64 << 20 // bytes, of all answers of a node
	answersWaiting = 200
	answerWait     = 10 * time.Second

	// smallAnswer is the size up to which an answer needs no memory of the pool.
	smallAnswer = 64 << 10
)

func newAnswers() *limit.Pool {
	return limit.New(limit.Config{Name: "answers", Size: answerMemory,
		Shares: []limit.Share{limit.Half}, Queue: answersWaiting, QueueTime: answerWait})
}

// pageBounds limit the JSON of a page, in bytes.
type pageBounds struct {
	token    int64 // of a page that may end early: a token, or another request, continues
	numbered int64 // of a numbered page, which cannot end early
}

// With defaultBounds a numbered page can have 1000 images with 100 variants each.
var defaultBounds = pageBounds{token: 8 << 20, numbered: 32 << 20}

// Pools returns the pools that the requests of all accounts share.
func (a *api) Pools() []*limit.Pool { return []*limit.Pool{a.answers} }

// reserve reserves memory for an answer, or waits for it. Errors: Busy, Aborted.
func (a *api) reserve(ctx context.Context, account string, bytes int64) (*limit.Lease, error) {
	lease, err := a.answers.Acquire(ctx, limit.Request{Keys: []string{account}, N: bytes})
	switch {
	case errors.Is(err, limit.ErrFull), errors.Is(err, limit.ErrTimeout):
		return nil, &errs.Error{Kind: errs.Busy, RetryAfter: 2 * time.Second, Err: err,
			Msg: "Too many answers are being read at once; try again in a few seconds, ask for " +
				"fewer per page, and read answers as fast as they come"}
	case err != nil:
		return nil, errs.ClientAborted(err)
	}
	return lease, nil
}

// A page holds the rows of a list answer while it is read and written.
type page[T any] struct {
	lease    *limit.Lease // nil after it was passed to the answer
	reserved int64
	most     int64 // bytes of JSON; the first row may exceed it
	json     int64
	full     bool  // a row did not fit
	err      error // of a row that could not be encoded
	scale    cfapi.Scale
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

// close releases the memory, unless it was passed to the answer.
func (p *page[T]) close() { p.lease.Release() }

// A row is a row of a page, with its reserved bytes.
type row[T any] struct {
	of   T
	held int64
}

// add adds a row, unless its JSON does not fit: that of value and more bytes. held are the bytes of the row
// itself. An error of the value is kept in p.err.
func (p *page[T]) add(one T, value any, more, held int64) bool {
	json, err := p.scale.Weigh(value)
	p.err = errors.Join(p.err, err)
	json += more
	if p.json > 0 && p.json+json > p.most {
		p.full = true
		return false
	}
	p.json += json
	p.rows = append(p.rows, row[T]{one, held})
	return true
}

// unwritten is an item of a list that could not be encoded: the answer ends before it.
type unwritten struct{ error }

// MarshalJSON fails.
func (u unwritten) MarshalJSON() ([]byte, error) { return nil, u.error }

// answer returns the page as a result; item makes the JSON value of a row.
func (p *page[T]) answer(result any, item func(T) (any, error)) *listAnswer {
	unused := p.reserved
	for _, r := range p.rows {
		unused -= r.held
	}
	lease := p.lease
	lease.Shrink(unused)
	p.lease = nil
	return &listAnswer{lease, cfapi.Series{Result: result, Items: func(yield func(any) bool) {
		for i, r := range p.rows {
			value, err := item(r.of)
			if err != nil {
				value = unwritten{err} // it was made without an error before
			}
			if !yield(value) {
				return
			}
			p.rows[i] = row[T]{}
			lease.Shrink(r.held)
		}
	}}}
}

// listOf returns the list of a result, never nil, with the item of each value.
func listOf[T, Item any](all []T, item func(T) Item) []Item {
	items := make([]Item, len(all))
	for i, one := range all {
		items[i] = item(one)
	}
	return items
}

// A sendable is a handler's result in a form that can be sent; then it releases its memory.
type sendable interface {
	send(w *httpframe.Response, r *http.Request) error
}

// A listAnswer is written item by item.
type listAnswer struct {
	lease *limit.Lease
	cfapi.Series
}

func (l *listAnswer) send(w *httpframe.Response, _ *http.Request) error {
	defer l.lease.Release()
	err := cfapi.WriteSeries(w, l.Series)
	w.Broken = errors.Is(err, cfapi.ErrCut)
	return err
}

// A wholeAnswer is completely in memory.
type wholeAnswer struct {
	lease  *limit.Lease // nil for a small one
	status int
	body   []byte
}

func (a *wholeAnswer) send(w *httpframe.Response, _ *http.Request) error {
	defer a.lease.Release()
	return cfapi.Write(w, a.status, a.body)
}

// sendable makes a sendable of a handler's result. The answer to a write is never refused, so only reads may
// have to wait for memory.
func (a *api) sendable(r *http.Request, account string, result any) (sendable, error) {
	if ready, ok := result.(sendable); ok {
		return ready, nil
	}
	status, body, err := cfapi.EncodeResult(result)
	if err != nil {
		return nil, err
	}
	whole := &wholeAnswer{status: status, body: body}
	if len(body) > smallAnswer && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		whole.lease, err = a.reserve(r.Context(), account, int64(len(body)))
	}
	return whole, err
}
