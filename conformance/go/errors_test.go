package conformance

import (
	"crypto/rand"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/cloudflare/cloudflare-go/v7/images"
	"github.com/cloudflare/cloudflare-go/v7/option"
)

// TestErrors makes mistakes: each is a typed error, and costs one request.
func TestErrors(t *testing.T) {
	s := newService(t)
	id := "errors/" + rand.Text()
	setID := func(p *images.V2DirectUploadNewParams) { p.ID.Value, p.ID.Present = id, true }
	if _, err := s.createUploadURL(t, setID); err != nil {
		t.Fatal(err)
	}
	stranger := newService(t, option.WithAPIToken("no such token"))
	tests := []struct {
		name   string
		by     *service
		status int
		call   func(s *service) error
	}{
		{"unknown image", s, http.StatusNotFound, func(s *service) error {
			_, err := s.details(t, "unknown/"+rand.Text())
			return err
		}},
		{"unknown blob", s, http.StatusNotFound, func(s *service) error {
			_, err := s.blob(t, "unknown/"+rand.Text())
			return err
		}},
		{"unknown deletion", s, http.StatusNotFound, func(s *service) error {
			return s.delete(t, "unknown/"+rand.Text())
		}},
		{"taken id", s, http.StatusConflict, func(s *service) error {
			_, err := s.createUploadURL(t, setID)
			return err
		}},
		{"expiry too soon", s, http.StatusBadRequest, func(s *service) error {
			_, err := s.createUploadURL(t, func(p *images.V2DirectUploadNewParams) {
				p.Expiry.Value, p.Expiry.Present = time.Now().Add(time.Minute), true
			})
			return err
		}},
		{"wrong token", stranger, http.StatusUnauthorized, func(s *service) error {
			_, err := s.createUploadURL(t, nil)
			return err
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			wantRefusal(t, test.by, test.status, func() error { return test.call(test.by) })
		})
	}
	if err := s.delete(t, id); err != nil {
		t.Error(err)
	}
}

// wantRefusal makes a call that must be refused, with a code, by the first request.
func wantRefusal(t *testing.T, s *service, status int, call func() error) {
	t.Helper()
	var err error
	if n := s.sent(func() { err = call() }); n != 1 {
		t.Errorf("the SDK sent %d requests for one refusal", n)
	}
	var refusal *images.Error
	if !errors.As(err, &refusal) || refusal.StatusCode != status {
		t.Fatalf("the refusal is %v, want status %d", err, status)
	}
	if len(refusal.Errors) != 1 || refusal.Errors[0].Code == 0 || refusal.Errors[0].Message == "" {
		t.Errorf("the refusal says %+v, want a code and a message", refusal.Errors)
	}
}
