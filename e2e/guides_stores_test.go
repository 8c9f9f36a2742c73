package e2e

import (
	"encoding/json"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"calotype/internal/blob"
	"calotype/internal/blob/blobtest"
	"calotype/internal/sqldb/sqldbtest"
)

// storesGuide is the guide of PostgreSQL and S3.
const storesGuide = "postgresql-and-s3"

// TestStoresGuide runs the commands of the guide with a real PostgreSQL and a versitygw. The other services of its
// table cannot be had here; the form of their addresses is checked.
func TestStoresGuide(t *testing.T) {
	t.Parallel()
	addresses := regexp.MustCompile("`(s3://my-bucket/[^`]*)`").FindAllStringSubmatch(readGuide(t, storesGuide), -1)
	if len(addresses) != 7 {
		t.Errorf("the guide has addresses of %d services", len(addresses))
	}
	for _, m := range addresses {
		if err := blob.CheckAddress(strings.Replace(m[1], "<account id>", "0123456789abcdef", 1)); err != nil {
			t.Errorf("%s: %v", m[1], err)
		}
	}
	dsn, gateway := sqldbtest.Postgres(t), blobtest.StartGateway(t)
	port := freePort(t)
	script := strings.NewReplacer("my-key", gateway.AccessKey, "my-secret", gateway.SecretKey,
		"postgres://calotype:change-me@localhost:5432/calotype?sslmode=disable", dsn,
		"s3://calotype/", "s3://"+gateway.Bucket+"/", "http://localhost:7070", gateway.Endpoint,
	).Replace(guideScript(t, storesGuide))
	script = strings.Replace(script, "calotype serve", "exec calotype serve", 1) // so that the test can end it
	shell := exec.Command("bash", "-eu", "-c", script)
	shell.Dir = t.TempDir()
	shell.Env = append(append(programInPath(t), gateway.Environ()...), "CALOTYPE_ACCOUNT_ID="+accountID,
		"CALOTYPE_API_TOKEN="+token, "CALOTYPE_DISK_RESERVE=1MiB", "CALOTYPE_LISTEN=127.0.0.1:"+port)
	_, log, _ := startProgram(t, shell, `SDK here`)
	wantIn(t, log.String(), "ok       database", "ok       store")
	s := &server{t: t, url: "http://127.0.0.1:" + port}
	waitFor(t, func() bool {
		response, err := http.Get(s.url + "/readyz")
		return err == nil && response.Body.Close() == nil && response.StatusCode == http.StatusOK
	})
	id := s.uploaded(photo(t, 640, 480, 3))
	wantPicture(t, s.variantOf(id), "640x480")
}

// TestRightsOfTheGuide: the policy of the guide is JSON, with the rights that the package blob names.
func TestRightsOfTheGuide(t *testing.T) {
	t.Parallel()
	var policy struct {
		Statement []struct {
			Action any
		}
	}
	for _, b := range guideBlocks(t, storesGuide) {
		if b.language != "json" {
			continue
		}
		if err := json.Unmarshal([]byte(b.code), &policy); err != nil {
			t.Fatal(err)
		}
		for _, right := range []string{"s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket"} {
			if strings.Count(b.code, right) != 1 {
				t.Errorf("the policy lacks %s", right)
			}
		}
	}
	if len(policy.Statement) != 2 {
		t.Errorf("the guide has a policy of %d statements", len(policy.Statement))
	}
}
