package blob_test

import (
	"crypto/md5"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"calotype/internal/blob"
	"calotype/internal/blob/blobtest"
)

func TestS3(t *testing.T) {
	g := blobtest.StartGateway(t)
	g.Setenv(t)
	var stores atomic.Int32
	blobtest.Run(t, func(t *testing.T) blob.Store {
		s, err := blob.Open(t.Context(), g.URI(fmt.Sprintf("tests/store-%d", stores.Add(1))))
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

// TestS3Gateway tests a real service beyond the interface Store.
func TestS3Gateway(t *testing.T) {
	g := blobtest.StartGateway(t)
	g.Setenv(t)
	open := func(g blobtest.Gateway, prefix string) blob.Store {
		s, err := blob.Open(t.Context(), g.URI(prefix))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	t.Run("neighbours in one bucket", func(t *testing.T) {
		whole, one, ten := open(g, ""), open(g, "store-1"), open(g, "store-10")
		for key, s := range map[string]blob.Store{"a": one, "b": ten, "c": whole} {
			blobtest.Put(t, s, key, []byte(key))
		}
		for s, want := range map[blob.Store]string{
			one: "[a]", ten: "[b]", whole: "[c store-1/a store-10/b]",
		} {
			var keys []string
			for _, o := range blobtest.All(t, s, "") {
				keys = append(keys, o.Key)
			}
			if got := fmt.Sprint(keys); got != want {
				t.Errorf("listed %s, want %s", got, want)
			}
		}
	})
	t.Run("no such bucket", func(t *testing.T) {
		other := g
		other.Bucket = "no-such-bucket"
		s := open(other, "")
		_, err := s.Open(t.Context(), "calotype-installation", 0)
		if err == nil || errors.Is(err, blob.ErrNotExist) {
			t.Errorf("Open: %v; only the object may be absent", err)
		}
		if _, _, err := s.List(t.Context(), "", ""); err == nil {
			t.Error("List found a page")
		}
	})
	t.Run("wrong secret", func(t *testing.T) {
		t.Setenv("AWS_SECRET_ACCESS_KEY", "canary")
		_, err := open(g, "").Open(t.Context(), "a", 0)
		if err == nil || errors.Is(err, blob.ErrNotExist) ||
			strings.Contains(err.Error(), "canary") {
			t.Errorf("Open: %v", err)
		}
	})
}

// TestS3NoCredentials: without them OpenS3 names the missing variables, and sends no request to the
// metadata service.
func TestS3NoCredentials(t *testing.T) {
	blobtest.Gateway{}.Setenv(t)
	var asked atomic.Bool
	metadata := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		asked.Store(true)
	}))
	defer metadata.Close()
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata.URL)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "")
	c := blob.S3Config{Bucket: "bucket", Region: "us-east-1"}
	_, err := blob.OpenS3(t.Context(), c)
	if err == nil || !strings.Contains(err.Error(), "AWS_ACCESS_KEY_ID") {
		t.Errorf("OpenS3: %v", err)
	}
	if asked.Load() {
		t.Error("the metadata service was asked")
	}
	t.Setenv("AWS_EC2_METADATA_DISABLED", "false")
	if _, err := blob.OpenS3(t.Context(), c); err == nil {
		t.Error("OpenS3 found credentials")
	}
	if !asked.Load() {
		t.Error("the metadata service was not asked though the environment wants it")
	}
}

func TestS3NoRegion(t *testing.T) {
	blobtest.Gateway{AccessKey: "key", SecretKey: "secret"}.Setenv(t)
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_DEFAULT_REGION", "")
	_, err := blob.OpenS3(t.Context(), blob.S3Config{Bucket: "bucket"})
	if err == nil || !strings.Contains(err.Error(), "region=") {
		t.Errorf("OpenS3: %v", err)
	}
}

// fakeS3 returns a store whose service is handler.
func fakeS3(t *testing.T, handler http.HandlerFunc) blob.Store {
	t.Helper()
	blobtest.Gateway{AccessKey: "key", SecretKey: "secret"}.Setenv(t)
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	s, err := blob.OpenS3(t.Context(), blob.S3Config{
		Bucket: "bucket", Prefix: "p", Endpoint: server.URL, PathStyle: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestS3PutRequest: one plain request of known size, which any S3-compatible service understands.
func TestS3PutRequest(t *testing.T) {
	var requests []*http.Request
	sum := md5.New()
	s := fakeS3(t, func(_ http.ResponseWriter, r *http.Request) {
		requests = append(requests, r)
		if _, err := io.Copy(sum, r.Body); err != nil {
			t.Error(err)
		}
	})
	blobtest.Put(t, s, "a/b", make([]byte, 9<<20))
	if len(requests) != 1 {
		t.Fatalf("%d requests", len(requests))
	}
	r := requests[0]
	if r.Method != "PUT" || r.URL.Path != "/bucket/p/a/b" || r.ContentLength != 9<<20 {
		t.Errorf("%s %s of %d bytes", r.Method, r.URL.Path, r.ContentLength)
	}
	want := base64.StdEncoding.EncodeToString(sum.Sum(nil))
	if got := r.Header.Get("Content-Md5"); got != want {
		t.Errorf("the body's checksum is %q, want %q", got, want)
	}
	for _, name := range []string{
		"If-None-Match", "Content-Encoding", "X-Amz-Trailer", "X-Amz-Sdk-Checksum-Algorithm",
	} {
		if value, ok := r.Header[name]; ok {
			t.Errorf("the request has %s: %q", name, value)
		}
	}
}

// TestS3Retries: failed requests are retried, with the whole body, but not for ever.
func TestS3Retries(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: waits between the attempts")
	}
	var requests, bytes atomic.Int64
	s := fakeS3(t, func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			t.Error(err)
		}
		requests.Add(1)
		bytes.Add(n)
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	f := blobtest.File(t, []byte("picture"))
	if err := s.Put(t.Context(), "a", f, 7); err == nil {
		t.Error("Put succeeded")
	}
	if requests.Load() != 5 || bytes.Load() != 5*7 {
		t.Errorf("%d requests with %d bytes", requests.Load(), bytes.Load())
	}
	if _, err := os.Stat(f.Name()); err != nil {
		t.Errorf("the file is gone: %v", err)
	}
}

// TestS3Stall: a service that stops in the middle of an object does not hold its reader.
func TestS3Stall(t *testing.T) {
	s := fakeS3(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100")
		if _, err := io.WriteString(w, "pict"); err != nil {
			t.Error(err)
		}
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		<-r.Context().Done()
	})
	r, err := s.Open(t.Context(), "a", 0)
	if err != nil {
		t.Fatal(err)
	}
	blob.SetStallTimeout(r, 50*time.Millisecond)
	got, err := io.ReadAll(r)
	if err == nil || !strings.Contains(err.Error(), "no bytes came") {
		t.Errorf("read %q, %v", got, err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// TestS3Truncated: an object that ends early is an error, not a short object.
func TestS3Truncated(t *testing.T) {
	s := fakeS3(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		if _, err := io.WriteString(w, "pict"); err != nil {
			t.Error(err)
		}
	})
	r, err := s.Open(t.Context(), "a", 0)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("read %q, %v", got, err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// TestS3OddLists has pages that no correct service sends.
func TestS3OddLists(t *testing.T) {
	var page string
	s := fakeS3(t, func(w http.ResponseWriter, _ *http.Request) {
		_, err := fmt.Fprintf(w, "<ListBucketResult>%s</ListBucketResult>", page)
		if err != nil {
			t.Error(err)
		}
	})
	const time = "<LastModified>2026-07-01T00:00:00.000Z</LastModified>"
	object := func(key string) string {
		return "<Contents><Key>" + key + "</Key><Size>7</Size>" + time + "</Contents>"
	}
	tests := []struct {
		name, cursor, page string
		keys, next, err    string
	}{
		{name: "plain", page: object("p/a") + object("p/b"), keys: "[a b]"},
		{name: "foreign keys", keys: "[a b]",
			page: object("p/") + object("p/a") + object("p/a b") + object("p/a/") + object("p/b")},
		{name: "a page of foreign keys", keys: "[]", next: "a~",
			page: object("p/a b") + object("p/a~") + "<IsTruncated>true</IsTruncated>"},
		{name: "unordered", page: object("p/b") + object("p/a"), err: "order of keys"},
		{name: "from the beginning again", cursor: "a", page: object("p/a"), err: "order"},
		{name: "outside the prefix", page: object("q/a"), err: "order"},
		{name: "more, but nothing", cursor: "a", page: "<IsTruncated>true</IsTruncated>",
			err: "sends nothing"},
		{name: "no age", page: "<Contents><Key>p/a</Key><Size>7</Size></Contents>", err: "age"},
		{name: "no size", page: "<Contents><Key>p/a</Key>" + time + "</Contents>", err: "size"},
	}
	for _, test := range tests {
		page = test.page
		objects, next, err := s.List(t.Context(), "", test.cursor)
		if test.err != "" {
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("%s: error %v, want %q", test.name, err, test.err)
			}
			continue
		}
		keys := []string{}
		for _, o := range objects {
			keys = append(keys, o.Key)
		}
		if got := fmt.Sprint(keys); got != test.keys || next != test.next || err != nil {
			t.Errorf("%s: %s, %q, %v", test.name, got, next, err)
		}
	}
}

// TestS3DeleteAbsent: some services answer 404.
func TestS3DeleteAbsent(t *testing.T) {
	s := fakeS3(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		if _, err := io.WriteString(w, "<Error><Code>NoSuchKey</Code></Error>"); err != nil {
			t.Error(err)
		}
	})
	if err := s.Delete(t.Context(), "a"); err != nil {
		t.Error(err)
	}
}

// TestS3Clock: the time of the service is that of its answer.
func TestS3Clock(t *testing.T) {
	at := time.Date(2020, 2, 3, 4, 5, 6, 0, time.UTC)
	s := fakeS3(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", at.Format(http.TimeFormat))
		io.WriteString(w, `<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>`)
	})
	if got, err := s.(*blob.S3).Clock(t.Context()); err != nil || !got.Equal(at) {
		t.Errorf("the clock is %v, %v", got, err)
	}
}
