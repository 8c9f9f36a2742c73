package blob_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"calotype/internal/blob"
	"calotype/internal/blob/blobtest"
)

// TestErrorsOfS3: each answer that an operator can do something about becomes an error that says what.
func TestErrorsOfS3(t *testing.T) {
	for key, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "canary", "AWS_CONFIG_FILE": os.DevNull,
		"AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
	} {
		t.Setenv(key, value)
	}
	for _, c := range []struct {
		status       int
		code, region string
		want         string
	}{
		{404, "NoSuchBucket", "", "no bucket pictures: create it"},
		{301, "PermanentRedirect", "eu-north-1", "in the region eu-north-1: set region=eu-north-1"},
		{400, "AuthorizationHeaderMalformed", "", "does not have the bucket pictures in this region"},
		{403, "InvalidAccessKeyId", "", "AWS_ACCESS_KEY_ID"},
		{403, "SignatureDoesNotMatch", "", "AWS_SECRET_ACCESS_KEY"},
		{403, "AccessDenied", "", "s3:ListBucket"},
		{403, "RequestTimeTooSkewed", "", "set the clock"},
		{400, "SomethingElse", "", "answered SomethingElse: it is so"},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if c.region != "" {
				w.Header().Set("X-Amz-Bucket-Region", c.region)
			}
			w.Header().Set("X-Amz-Request-Id", "R123")
			w.WriteHeader(c.status)
			fmt.Fprintf(w, "<Error><Code>%s</Code><Message>it is so</Message></Error>", c.code)
		}))
		t.Cleanup(server.Close)
		address := "s3://pictures/x?endpoint=" + server.URL + "&region=us-east-1&path_style=true"
		s, err := blob.Open(t.Context(), address)
		if err != nil {
			t.Fatal(err)
		}
		_, _, listed := s.List(t.Context(), "", "")
		_, opened := s.Open(t.Context(), "a", 0)
		for _, err := range []error{listed, opened} {
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "request R123") ||
				strings.Contains(err.Error(), "api error") || strings.Contains(err.Error(), "canary") {
				t.Errorf("%s: the error is %v, want %s", c.code, err, c.want)
			}
		}
	}
}

// TestBucket lists and reads the objects of another program, whose keys may be any text.
func TestBucket(t *testing.T) {
	g := blobtest.StartGateway(t)
	g.Setenv(t)
	want := map[string]string{"a b/ü.jpg": "one", "c.png": "two", "d/e/f": ""}
	for key, content := range want {
		if err := g.PutObject(t.Context(), "my pictures/"+key, []byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range []string{"my pictures 2/x", "other"} {
		if err := g.PutObject(t.Context(), key, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	bucket, err := blob.OpenBucket(t.Context(), g.URI("my pictures"))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]blob.Object{}
	err = bucket.Each(t.Context(), func(o blob.Object) error { found[o.Key] = o; return nil })
	if err != nil || len(found) != len(want) {
		t.Fatalf("found %v, %v", found, err)
	}
	for key, content := range want {
		if got := read(t, bucket, found[key], 0); got != content || found[key].Size != int64(len(content)) {
			t.Errorf("%q is %q of %d bytes", key, got, found[key].Size)
		}
	}
	if got := read(t, bucket, found["c.png"], 2); got != "tw" {
		t.Errorf("the first bytes are %q", got)
	}
	if err := g.PutObject(t.Context(), "my pictures/c.png", []byte("other")); err != nil {
		t.Fatal(err)
	}
	if _, err := bucket.Open(t.Context(), found["c.png"], 0); err == nil ||
		!strings.Contains(err.Error(), blob.ErrReplaced.Error()) {
		t.Errorf("a replaced object: %v", err)
	}
	for _, address := range []string{"", "/a/folder", "s3:///x", "http://x/y"} {
		if _, err := blob.OpenBucket(t.Context(), address); err == nil {
			t.Errorf("%q is opened", address)
		}
	}
}

// read returns the bytes of an object, all or the first ones.
func read(t *testing.T, b *blob.Bucket, o blob.Object, head int64) string {
	t.Helper()
	r, err := b.Open(t.Context(), o, head)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	content, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
