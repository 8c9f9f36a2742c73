package importer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/outbound"
)

const (
	attempts     = 6 // of one request, the first included
	longestPause = 10 * time.Minute
	requestTime  = 10 * time.Minute
	maxAnswer    = 64 << 20 // bytes of JSON
	maxRefusal   = 64 << 10
	perPage      = images.MaxNamed
)

// A Source is the account of another service from which images are imported.
type Source struct {
	API     string // base of its v4 API, such as https://api.cloudflare.com/client/v4
	Account string // id
	Token   string // may read images
}

// A statusError is an answer other than a success.
type statusError struct {
	status     int
	code       int // of the API; 0 if absent
	message    string
	retryAfter time.Duration
}

func (e *statusError) Error() string {
	text := fmt.Sprintf("the source answered %d", e.status)
	if e.code != 0 {
		text += fmt.Sprintf("/%d", e.code)
	}
	if e.message != "" {
		text += ": " + e.message
	}
	return text
}

// temporary reports whether a retry may succeed.
func (e *statusError) temporary() bool {
	return e.status == http.StatusTooManyRequests || e.status == http.StatusRequestTimeout ||
		e.status >= 500
}

// forbids reports whether every request with this token will fail.
func (e *statusError) forbids() bool {
	return e.status == http.StatusUnauthorized || e.status == http.StatusForbidden
}

// A brokenError is a connection that failed, or an answer that ended early.
type brokenError struct{ error }

func (e brokenError) Unwrap() error { return e.error }

// A source sends requests to a Source, within its rate.
type source struct {
	images  string // URL of .../images
	token   string
	http    *http.Client
	limit   *rate.Limiter
	backoff time.Duration // before the second attempt; doubled for each further one

	mu    sync.Mutex
	pause time.Time // no request before this time
}

func newSource(c Config) (*source, error) {
	base, err := url.Parse(c.Source.API)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" ||
		base.User != nil || base.RawQuery != "" || base.Fragment != "" {
		return nil, errors.New("the base of the source's API is not valid: it should be like " +
			"https://api.cloudflare.com/client/v4")
	}
	s := &source{
		images: strings.TrimRight(base.String(), "/") + "/accounts/" +
			url.PathEscape(c.Source.Account) + "/images",
		token: c.Source.Token, http: c.HTTP, backoff: c.Backoff,
		limit: rate.NewLimiter(rate.Inf, 1),
	}
	if c.Rate > 0 {
		s.limit = rate.NewLimiter(rate.Limit(c.Rate), 1)
	}
	return s, nil
}

// get sends one request, after a pause and within the rate. The caller closes the body of a success.
// Errors are *statusError or brokenError.
func (s *source) get(ctx context.Context, path, accept string) (*http.Response, error) {
	s.mu.Lock()
	pause := time.Until(s.pause)
	s.mu.Unlock()
	if err := wait(ctx, pause); err != nil {
		return nil, err
	}
	if err := s.limit.Wait(ctx); err != nil {
		return nil, err
	}
	// The time limit does not include the waits above.
	limited, cancel := context.WithTimeout(ctx, requestTime)
	request, err := http.NewRequestWithContext(limited, http.MethodGet, s.images+path, nil)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("making a request: %w", err)
	}
	request.Header.Set("Authorization", "Bearer "+s.token)
	request.Header.Set("Accept", accept)
	response, err := s.http.Do(request)
	if err != nil {
		cancel()
		if refused := new(outbound.Error); errors.As(err, &refused) {
			return nil, fmt.Errorf("requesting the source: %w", refused)
		}
		// The text of a *url.Error contains the URL, which is long and often the same.
		if inner := new(url.Error); errors.As(err, &inner) {
			err = inner.Err
		}
		return nil, brokenError{fmt.Errorf("requesting the source: %w", err)}
	}
	response.Body = body{response.Body, cancel}
	if response.StatusCode == http.StatusOK {
		return response, nil
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxRefusal))
	if err = errors.Join(err, response.Body.Close()); err != nil {
		return nil, brokenError{fmt.Errorf("reading a refusal of the source: %w", err)}
	}
	e := refusal(response.StatusCode, text)
	e.retryAfter = retryAfter(response.Header.Get("Retry-After"))
	return nil, e
}

// retryAfter parses the header: seconds, or a date.
func retryAfter(value string) time.Duration {
	after := time.Duration(0)
	if seconds, err := strconv.ParseInt(value, 10, 32); err == nil {
		after = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		after = time.Until(at)
	}
	return min(max(after, 0), longestPause)
}

// retry calls fn until it succeeds, fails permanently, or has failed attempts times. If the source sends
// Retry-After, all requests wait.
func (s *source) retry(ctx context.Context, fn func() error) error {
	return retry(ctx, s.backoff, s.shouldRetry, fn)
}

// retry calls fn until it succeeds, should says that a retry is useless, or it has failed attempts times.
func retry(ctx context.Context, backoff time.Duration, should func(error) (time.Duration, bool),
	fn func() error) error {
	for attempt := 1; ; attempt++ {
		err := fn()
		if err == nil || ctx.Err() != nil {
			return errors.Join(ctx.Err(), err)
		}
		after, again := should(err)
		if !again || attempt == attempts {
			return err
		}
		if err := wait(ctx, max(after, min(backoff<<(attempt-1), longestPause))); err != nil {
			return err
		}
	}
}

// shouldRetry reports whether a retry may succeed, and after which time.
func (s *source) shouldRetry(err error) (after time.Duration, again bool) {
	answer := new(statusError)
	if !errors.As(err, &answer) {
		return shouldRetry(err)
	}
	if answer.retryAfter > 0 && answer.temporary() {
		s.mu.Lock()
		if until := time.Now().Add(answer.retryAfter); until.After(s.pause) {
			s.pause = until
		}
		s.mu.Unlock()
	}
	return answer.retryAfter, answer.temporary()
}

// shouldRetry reports whether a retry may succeed after an error other than an answer, and after which time.
func shouldRetry(err error) (after time.Duration, again bool) {
	refused := new(errs.Error)
	switch {
	case errors.As(err, new(brokenError)), errors.Is(err, images.ErrIncomplete):
		return 0, true
	case errors.As(err, &refused) && refused.Kind == errs.Busy:
		return refused.RetryAfter, true
	}
	return 0, false
}

// wait sleeps for d, or until ctx ends.
func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// result requests a JSON result.
func (s *source) result(ctx context.Context, path string, result any) error {
	return s.retry(ctx, func() error {
		response, err := s.get(ctx, path, "application/json")
		if err != nil {
			return err
		}
		text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
		if err = errors.Join(err, response.Body.Close()); err != nil {
			return brokenError{fmt.Errorf("reading an answer of the source: %w", err)}
		}
		if len(text) > maxAnswer {
			return fmt.Errorf("the answer is longer than %d bytes", maxAnswer)
		}
		return decodeResult(text, result)
	})
}

// count returns the number of images that the source states, 0 if it states none.
func (s *source) count(ctx context.Context) (int64, error) {
	var stats struct {
		Count struct {
			Current int64 `json:"current"`
		} `json:"count"`
	}
	err := s.result(ctx, "/v1/stats", &stats)
	answer := new(statusError)
	if errors.As(err, &answer) && answer.status != http.StatusUnauthorized {
		return 0, nil // it is for the progress only
	}
	if err != nil {
		return 0, fmt.Errorf("reading the number of images of the source: %w", err)
	}
	return max(0, stats.Count.Current), nil
}

// list requests a page of images, oldest first, so that concurrent uploads are at the end.
func (s *source) list(ctx context.Context, token string) (p page, err error) {
	query := url.Values{"per_page": {strconv.Itoa(perPage)}, "sort_order": {"asc"}}
	if token != "" {
		query.Set("continuation_token", token)
	}
	err = s.result(ctx, "/v2?"+query.Encode(), &p)
	if err == nil && len(p.Images) > perPage {
		err = fmt.Errorf("the source lists %d images on a page of %d", len(p.Images), perPage)
	}
	if err != nil {
		return p, fmt.Errorf("listing the images of the source: %w", err)
	}
	return p, nil
}

// blob copies the original of an image. One attempt.
func (s *source) blob(ctx context.Context, id string, to io.Writer) (n int64, err error) {
	response, err := s.get(ctx, "/v1/"+url.PathEscape(id)+"/blob", "image/*")
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	n, err = io.Copy(to, reader{response.Body})
	return n, err
}

// A body ends its request when it is closed.
type body struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (b body) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}

// A reader distinguishes errors of the source from errors of the writer.
type reader struct{ io.Reader }

func (r reader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil && err != io.EOF {
		err = brokenError{fmt.Errorf("reading a picture of the source: %w", err)}
	}
	return n, err
}
