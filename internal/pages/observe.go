package pages

import (
	"net/http"
	"strings"
	"time"
)

// An observed answer remembers its status. Answers of NotFound are not observed.
type observed struct {
	http.ResponseWriter
	status int // 0 before the header
	passed bool
}

func (o *observed) WriteHeader(status int) {
	o.status = status
	o.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (o *observed) Unwrap() http.ResponseWriter { return o.ResponseWriter }

// observe returns around, which observes a handler's answers, and pass, to which that handler must pass
// requests that it does not answer; they reach passing.
func observe(
	ask func(route string) func(status int, took time.Duration), passing http.Handler,
) (around func(http.Handler) http.Handler, pass http.Handler) {
	if ask == nil {
		return func(h http.Handler) http.Handler { return h }, passing
	}
	front, sample, try := ask("/"), ask(SamplePath), ask(DemoPath)
	around = func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			start, seen := time.Now(), &observed{ResponseWriter: w}
			h.ServeHTTP(seen, r)
			tell := front
			switch {
			case seen.passed:
				return
			case r.URL.Path == SamplePath:
				tell = sample
			case strings.HasPrefix(r.URL.Path, DemoPath):
				tell = try
			}
			tell(seen.status, time.Since(start))
		})
	}
	return around, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if seen, ok := w.(*observed); ok {
			seen.passed = true
			w = seen.ResponseWriter
		}
		passing.ServeHTTP(w, r)
	})
}
