package apiclient

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
)

// LocalBase is the base URL of a client whose requests are answered in the process.
const LocalBase = "http://localhost/client/v4"

// Local returns a RoundTripper whose requests are answered by a handler in this process. The body of an answer is
// passed on as it is written; closing it ends the handler.
func Local(handler http.Handler) http.RoundTripper { return &local{handler} }

type local struct{ handler http.Handler }

// RoundTrip runs the handler in a goroutine, which ends at the latest when the body of the answer is closed.
func (l *local) RoundTrip(r *http.Request) (*http.Response, error) {
	served := r.Clone(r.Context())
	served.RequestURI = r.URL.RequestURI()
	served.RemoteAddr = "127.0.0.1:0"
	if served.Host == "" {
		served.Host = r.URL.Host
	}
	if served.Body == nil {
		served.Body = http.NoBody
	}
	read, write := io.Pipe()
	w := &localWriter{header: http.Header{}, body: write, begun: make(chan struct{}), ended: make(chan struct{})}
	go func() {
		defer close(w.ended)
		err := w.serve(l.handler, served)
		err = errors.Join(err, served.Body.Close())
		w.WriteHeader(http.StatusOK)
		_ = write.CloseWithError(err) // it never fails
	}()
	<-w.begun
	return &http.Response{
		StatusCode: w.status, Status: fmt.Sprintf("%d %s", w.status, http.StatusText(w.status)),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: w.sent, ContentLength: -1,
		Body: &localBody{read, w.ended}, Request: r,
	}, nil
}

// A localWriter is the http.ResponseWriter of one request.
type localWriter struct {
	header, sent http.Header
	status       int
	body         *io.PipeWriter
	once         sync.Once
	begun, ended chan struct{}
}

// serve runs the handler, and returns an error if it has cut its answer.
func (w *localWriter) serve(handler http.Handler, r *http.Request) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("the answer was cut: %v", cause)
		}
	}()
	handler.ServeHTTP(w, r)
	return nil
}

func (w *localWriter) Header() http.Header { return w.header }

func (w *localWriter) WriteHeader(status int) {
	if status < http.StatusOK {
		return
	}
	w.once.Do(func() {
		w.status, w.sent = status, w.header.Clone()
		close(w.begun)
	})
}

func (w *localWriter) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(p)
}

// A localBody is the body of an answer.
type localBody struct {
	*io.PipeReader
	ended chan struct{}
}

// Close waits for the end of the handler, which may use what the caller closes next.
func (b *localBody) Close() error {
	err := b.PipeReader.Close()
	<-b.ended
	return err
}
