package conformance

import (
	"bytes"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What the tests of the official Go SDK hold in their source.
const (
	sdkAccount = "023e105f4ecef8ad9ca31a8372d0c353"
	sdkToken   = "Sn3lZJTBX6kkg7OdcBUAxOO963GEIyGQqnFTOFYY"
	sdkImage   = "image_id"
)

// sdkTests are the tests of the Go SDK's package images, with what each needs and how it ends here.
// Each was written against a mock that takes everything; those that ask for what no real service
// gives must be refused, for the reason given.
var sdkTests = map[string]struct {
	needs   func(fixtures)
	refused string // the message of the refusal
	skipped bool   // by the SDK itself
}{
	"TestV1NewWithOptionalParams":             {skipped: true},
	"TestV2DirectUploadNewWithOptionalParams": {skipped: true},
	"TestV1BlobGet":                           {}, // asks a server of its own
	"TestV1ListWithOptionalParams":            {},
	"TestV1StatGet":                           {},
	"TestV1KeyList":                           {},
	"TestV1VariantList":                       {},
	"TestV1Get":                               {needs: fixtures.image},
	"TestV1Delete":                            {needs: fixtures.image},
	"TestV1KeyUpdate":                         {},
	"TestV1KeyDelete":                         {needs: fixtures.key},
	"TestV1VariantNewWithOptionalParams":      {},
	"TestV1VariantGet":                        {needs: fixtures.variant},
	"TestV1VariantDelete":                     {needs: fixtures.variant},
	"TestV1VariantEditWithOptionalParams":     {needs: fixtures.variant},
	// It makes an image with a custom id private.
	"TestV1EditWithOptionalParams": {needs: fixtures.image, refused: "custom"},
	// Its continuation token is the text "continuation_token", its filter "<field>[<operator>]".
	"TestV2ListWithOptionalParams": {refused: "400 Bad Request"},
}

// fixtures puts what the tests expect to find.
type fixtures struct {
	t      *testing.T
	server *server
}

// TestGoSDKOwnTests runs the tests of the Go SDK itself against the server.
func TestGoSDKOwnTests(t *testing.T) {
	t.Parallel()
	s := newServer(t, "CALOTYPE_ACCOUNT_ID="+sdkAccount, "CALOTYPE_API_TOKEN="+sdkToken)
	program := filepath.Join(t.TempDir(), "images.test")
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-o", program,
		"github.com/cloudflare/cloudflare-go/v7/images")
	build.Dir, build.Env = "go", outerEnviron()
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the tests of the SDK: %v\n%s", err, out)
	}
	list, err := exec.CommandContext(t.Context(), program, "-test.list", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	names := strings.Fields(string(list))
	if len(names) != len(sdkTests) {
		t.Errorf("the SDK has %d tests, want %d", len(names), len(sdkTests))
	}
	passed := 0
	for _, name := range names {
		want, known := sdkTests[name]
		if !known {
			t.Errorf("the SDK's %s is unknown here", name)
			continue
		}
		// They share one account with fixed names: each begins with none of them.
		f := fixtures{t, s}
		f.remove()
		if want.needs != nil {
			want.needs(f)
		}
		out, err := runSDKTest(t, s, program, name)
		switch {
		case want.skipped:
			if !strings.Contains(out, "--- SKIP: "+name) {
				t.Errorf("%s is no longer skipped:\n%s", name, out)
			}
		case want.refused != "":
			if err == nil || !strings.Contains(out, want.refused) {
				t.Errorf("%s must be refused with %q:\n%s", name, want.refused, out)
			}
		case err != nil || !strings.Contains(out, "--- PASS: "+name):
			t.Errorf("%s: %v\n%s", name, err, out)
		default:
			passed++
		}
	}
	t.Logf("%d of the SDK's %d tests passed, 2 must be refused, 2 are skipped by itself", passed,
		len(names))
}

func runSDKTest(t *testing.T, s *server, program, name string) (out string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, "-test.v", "-test.run", "^"+name+"$")
	cmd.Env = append(outerEnviron(), "TEST_API_BASE_URL="+s.front.URL+"/client/v4/")
	printed, err := cmd.CombinedOutput()
	return string(printed), err
}

// ask sends a request with the token that the tests have, and fails on another status.
func (f fixtures) ask(method, path, contentType string, body io.Reader, statuses ...int) {
	f.t.Helper()
	r, err := http.NewRequestWithContext(f.t.Context(), method,
		f.server.front.URL+"/client/v4/accounts/"+sdkAccount+"/images/v1"+path, body)
	if err != nil {
		f.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+sdkToken)
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		f.t.Fatal(err)
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body)
	if !slices.Contains(statuses, response.StatusCode) {
		f.t.Fatalf("%s %s: %d %s", method, path, response.StatusCode, text)
	}
}

// remove takes out what an earlier test left.
func (f fixtures) remove() {
	for _, path := range []string{"/" + sdkImage, "/variants/hero", "/keys/someKey"} {
		f.ask("DELETE", path, "", nil, http.StatusOK, http.StatusNotFound)
	}
}

func (f fixtures) image() {
	f.t.Helper()
	content, err := os.ReadFile("testdata/picture.jpg")
	if err != nil {
		f.t.Fatal(err)
	}
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile("file", "picture.jpg")
	if err == nil {
		_, err = part.Write(content)
	}
	if err == nil {
		err = form.WriteField("id", sdkImage)
	}
	if err == nil {
		err = form.Close()
	}
	if err != nil {
		f.t.Fatal(err)
	}
	f.ask("POST", "", form.FormDataContentType(), &body, http.StatusOK)
}

func (f fixtures) key() { f.ask("PUT", "/keys/someKey", "", nil, http.StatusOK) }

func (f fixtures) variant() {
	body := `{"id": "hero", "options": {"fit": "scale-down", "width": 1366, "height": 768,
		"metadata": "none"}}`
	f.ask("POST", "/variants", "application/json", strings.NewReader(body), http.StatusOK)
}
