// Package conformance is a program that uses Cloudflare Images through version 0 of the official Go
// SDK, which was written by hand and sends other forms than the generated ones. Every call that it
// has for images is made here. It knows the account and where the service is from environment
// variables, and nothing of who answers.
package conformance

import (
	"bytes"
	"context"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/cloudflare/cloudflare-go"
)

// A service is a client of an account.
type service struct {
	*cloudflare.API
	account *cloudflare.ResourceContainer
}

func newService(t *testing.T) service {
	t.Helper()
	api, err := cloudflare.NewWithAPIToken(variable(t, "CLOUDFLARE_API_TOKEN"),
		cloudflare.BaseURL(strings.TrimSuffix(variable(t, "CLOUDFLARE_BASE_URL"), "/")))
	if err != nil {
		t.Fatal(err)
	}
	return service{api, cloudflare.AccountIdentifier(variable(t, "CLOUDFLARE_ACCOUNT_ID"))}
}

func variable(t *testing.T, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		t.Fatalf("%s is not set", name)
	}
	return value
}

// picture is a photograph.
func picture(t *testing.T) []byte {
	t.Helper()
	content, err := os.ReadFile("../testdata/picture.jpg")
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// create uploads the picture with the SDK.
func (s service) create(t *testing.T, params cloudflare.UploadImageParams) cloudflare.Image {
	t.Helper()
	params.File, params.Name = io.NopCloser(bytes.NewReader(picture(t))), "picture.jpg"
	image, err := s.UploadImage(context.Background(), s.account, params)
	if err != nil {
		t.Fatal("uploading:", err)
	}
	return image
}

// details asks for an image.
func (s service) details(t *testing.T, id string) cloudflare.Image {
	t.Helper()
	image, err := s.GetImage(context.Background(), s.account, id)
	if err != nil {
		t.Fatal("details:", err)
	}
	return image
}

// post sends the picture to a one-time URL as a browser does, and returns the status.
func post(t *testing.T, url string) int {
	t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile("file", "picture.jpg")
	if err == nil {
		_, err = part.Write(picture(t))
	}
	if err == nil {
		err = form.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.Post(url, form.FormDataContentType(), &body)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	return response.StatusCode
}

// get returns the status and the bytes behind a URL.
func get(t *testing.T, url string) (int, []byte) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, content
}

// serve offers the picture at a URL of this program, which the service fetches.
func serve(t *testing.T) (url string) {
	t.Helper()
	content := picture(t)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "image/jpeg")
		_, _ = w.Write(content)
	}))
	t.Cleanup(s.Close)
	return s.URL + "/fetched.jpg"
}
