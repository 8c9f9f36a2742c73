package blob_test

import (
	"path/filepath"
	"strings"
	"testing"

	"calotype/internal/blob"
)

func TestOpenDirectory(t *testing.T) {
	t.Parallel()
	s, err := blob.Open(t.Context(), filepath.Join(t.TempDir(), "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := s.(*blob.Dir); !ok {
		t.Errorf("Open returns a %T", s)
	}
}

// TestOpenRefuses: each refusal says what would be right, and none repeats a secret.
func TestOpenRefuses(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	tests := []struct{ uri, want string }{
		{"", "give a directory or s3://bucket/prefix"},
		{"s3:/bucket", "must be like s3://bucket/prefix"},
		{"S3:bucket", "must be like s3://bucket/prefix"},
		{"gs://bucket", "give s3://bucket/prefix"},
		{"file:///var/blobs", "the plain path of a directory"},
		{"s3:///prefix?region=r", "no bucket"},
		{"s3://bucket?regoin=r", "known are endpoint, path_style, region"},
		{"s3://bucket?region=r&region=s", "region stands twice"},
		{"s3://bucket?region=r&path_style=maybe", "path_style in the s3:// address is true or"},
		{"s3://bucket?region=%zz", "key=value"},
		{"s3://bucket/a//b?region=r", "bad segment"},
		{"s3://bucket/../b?region=r", "bad segment"},
		{"s3://bucket/a%20b?region=r", "bad segment"},
		{"s3://bucket?region=r&endpoint=localhost:9000", "like https://"},
		{"s3://bucket?region=r&endpoint=ftp://localhost", "like https://"},
		{"s3://bucket?region=r&endpoint=https://u:canary@localhost", "without user"},
		{"s3://bucket?region=r&endpoint=https://u:canary@loc%20alhost", "cannot be read"},
		{"s3://id:canary@bucket", "AWS_SECRET_ACCESS_KEY instead"},
		{"s3://id:canary@buck et", "cannot be read"},
		{"s3://bucket#canary", "'#'"},
	}
	for _, test := range tests {
		s, err := blob.Open(t.Context(), test.uri)
		if err == nil {
			t.Errorf("Open(%q) = %v", test.uri, s)
			continue
		}
		if !strings.Contains(err.Error(), test.want) {
			t.Errorf("Open(%q): %v\nwant %q", test.uri, err, test.want)
		}
		if strings.Contains(err.Error(), "canary") {
			t.Errorf("Open(%q) repeats a secret: %v", test.uri, err)
		}
		if check := blob.CheckAddress(test.uri); check == nil || check.Error() != err.Error() {
			t.Errorf("CheckAddress(%q): %v, want %v", test.uri, check, err)
		}
	}
}
