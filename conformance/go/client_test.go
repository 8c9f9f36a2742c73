// Package conformance is a program that uses Cloudflare Images through the official Go SDK:
// one-time upload URLs, details, lists, originals, deletion, errors, and webhooks, which it checks
// with the library of Standard Webhooks. It knows the account and where the service is from the
// three environment variables that the SDKs read, and nothing of who answers.
//
// It imports the SDK's packages images and alerting only, which compile in a fifth of the time of
// all of it.
// That is why it reads the environment as cloudflare.NewClient does, and fills the fields of
// parameters where others call cloudflare.F.
package conformance

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cloudflare/cloudflare-go/v7/alerting"
	"github.com/cloudflare/cloudflare-go/v7/images"
	"github.com/cloudflare/cloudflare-go/v7/option"
)

// A service is a client of an account, and what went over its wire.
type service struct {
	*images.ImageService
	alerting *alerting.AlertingService
	account  string

	mu       sync.Mutex
	requests int
	broken   []string // answers that are no envelopes
}

// newService makes a client of the account in the environment; more options override it. Answers
// that are not as documented fail the test.
func newService(t *testing.T, more ...option.RequestOption) *service {
	t.Helper()
	s := &service{account: variable(t, "CLOUDFLARE_ACCOUNT_ID")}
	options := append([]option.RequestOption{
		option.WithBaseURL(variable(t, "CLOUDFLARE_BASE_URL")),
		option.WithAPIToken(variable(t, "CLOUDFLARE_API_TOKEN")),
		option.WithMiddleware(s.watch),
	}, more...)
	s.ImageService = images.NewImageService(options...)
	s.alerting = alerting.NewAlertingService(options...)
	t.Cleanup(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, broken := range s.broken {
			t.Error("broken envelope:", broken)
		}
	})
	return s
}

func variable(t *testing.T, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		t.Fatalf("%s is not set", name)
	}
	return value
}

// watch counts requests, those that the SDK repeats too, and looks at envelopes: the SDK reads
// results without asking whether there was success.
func (s *service) watch(r *http.Request, next option.MiddlewareNext) (*http.Response, error) {
	s.mu.Lock()
	s.requests++
	s.mu.Unlock()
	response, err := next(r)
	if err != nil || !strings.Contains(response.Header.Get("Content-Type"), "json") {
		return response, err
	}
	body, err := io.ReadAll(response.Body)
	if closed := response.Body.Close(); err == nil {
		err = closed
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	if err == nil && !isEnvelope(body, response.StatusCode < 300) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.broken = append(s.broken,
			fmt.Sprintf("%s: status %d: %.300s", r.Method, response.StatusCode, body))
	}
	return response, err
}

// isEnvelope reports whether the body is an envelope with a success, or else with an error.
func isEnvelope(body []byte, success bool) bool {
	var envelope struct {
		Result           json.RawMessage
		Success          *bool
		Errors, Messages []struct {
			Code    int
			Message string
		}
	}
	if json.Unmarshal(body, &envelope) != nil || envelope.Success == nil || envelope.Result == nil ||
		envelope.Errors == nil || envelope.Messages == nil {
		return false
	}
	said := len(envelope.Errors) > 0 && envelope.Errors[0].Code > 0 &&
		envelope.Errors[0].Message != ""
	return *envelope.Success == success && said != success
}

// sent returns how many requests call makes the SDK send.
func (s *service) sent(call func()) int {
	s.mu.Lock()
	before := s.requests
	s.mu.Unlock()
	call()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests - before
}

// createUploadURL creates a one-time upload URL.
func (s *service) createUploadURL(t *testing.T, set func(*images.V2DirectUploadNewParams),
) (*images.V2DirectUploadNewResponse, error) {
	t.Helper()
	var params images.V2DirectUploadNewParams
	params.AccountID.Value, params.AccountID.Present = s.account, true
	if set != nil {
		set(&params)
	}
	return s.V2.DirectUploads.New(t.Context(), params)
}

func (s *service) details(t *testing.T, id string) (*images.Image, error) {
	t.Helper()
	var params images.V1GetParams
	params.AccountID.Value, params.AccountID.Present = s.account, true
	return s.V1.Get(t.Context(), id, params)
}

func (s *service) delete(t *testing.T, id string) error {
	t.Helper()
	var params images.V1DeleteParams
	params.AccountID.Value, params.AccountID.Present = s.account, true
	_, err := s.V1.Delete(t.Context(), id, params)
	return err
}

// blob returns the original.
func (s *service) blob(t *testing.T, id string) ([]byte, error) {
	t.Helper()
	var params images.V1BlobGetParams
	params.AccountID.Value, params.AccountID.Present = s.account, true
	response, err := s.V1.Blobs.Get(t.Context(), id, params)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	return io.ReadAll(response.Body)
}

// isDraft reads the field that the SDK's type lacks.
func isDraft(image *images.Image) bool { return image.JSON.ExtraFields["draft"].Raw() == "true" }

// newPicture returns a JPEG file of 64 x 48 pixels that is like no other: it carries a comment.
func newPicture(t *testing.T) []byte {
	t.Helper()
	picture, err := os.ReadFile("../testdata/picture.jpg")
	if err != nil {
		t.Fatal(err)
	}
	comment := rand.Text()
	segment := append([]byte{0xff, 0xfe, 0, byte(len(comment) + 2)}, comment...)
	return slices.Insert(picture, 2, segment...)
}

// post posts a picture as a form in a browser does, without any credentials, and returns the
// status.
func post(t *testing.T, url string, picture []byte) int {
	t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile("file", "picture.jpg")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := part.Write(picture); err != nil {
		t.Fatal(err)
	}
	if err := form.Close(); err != nil {
		t.Fatal(err)
	}
	response, err := http.Post(url, form.FormDataContentType(), &body)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode
}
