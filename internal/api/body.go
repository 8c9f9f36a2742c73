package api

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"calotype/internal/cfapi"
	"calotype/internal/errs"
)

// maxBody limits the body of a request without a picture, in bytes.
const maxBody = 64 << 10

// A body is an unread request body. It has a deadline, which also applies when net/http discards an unread
// rest. At the end of the body net/http removes the deadline, so that it does not interrupt the handler.
type body struct {
	request *http.Request
	time    time.Duration
}

// openBody sets the deadline of a request's body.
func (a *api) openBody(w http.ResponseWriter, r *http.Request) (*body, error) {
	b := &body{r, a.bodyTimeout}
	if r.ContentLength == 0 {
		return b, nil
	}
	return b, cfapi.SetReadDeadline(http.NewResponseController(w), time.Now().Add(a.bodyTimeout))
}

// form reads the body as a form.
func (b *body) form() (form, error) {
	if !cfapi.IsPlain(b.request.Header.Get("Content-Encoding")) {
		return nil, errs.Errorf(errs.NotForm,
			"Content-Encoding is not supported: send the body as it is.")
	}
	content, err := b.read()
	if err != nil {
		return nil, err
	}
	return decodeForm(b.request.Header.Get("Content-Type"), content)
}

// readForm reads the body of a request as a form, and its fields by fields.
func readForm[T any](c *call, fields func(form) (T, error)) (v T, err error) {
	f, err := c.body.form()
	if err != nil {
		return v, err
	}
	return fields(f)
}

// read reads the body to its end. Errors: TooLarge, TooSlow, Aborted.
func (b *body) read() ([]byte, error) {
	content, err := io.ReadAll(io.LimitReader(b.request.Body, maxBody+1))
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, errs.Errorf(errs.TooSlow, "The body came too slowly: it must be complete "+
			"within %v.", b.time)
	case err != nil:
		return nil, &errs.Error{Kind: errs.Aborted, Msg: "The body ended too early.", Err: err}
	case len(content) > maxBody:
		return nil, errTooLarge
	}
	return content, nil
}
