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

// An sdkTest is a test of the Go SDK: what it needs, and how it ends here. Each was written
// against a mock that takes everything; those that ask for what no real service gives, or not this
// one, must be refused, for the reason given.
type sdkTest struct {
	needs   func(fixtures)
	refused string // the message of the refusal
	skipped bool   // by the SDK itself
}

// imagesTests are those of the package images.
var imagesTests = map[string]sdkTest{
	"TestV1NewWithOptionalParams":             {skipped: true},
	"TestV2DirectUploadNewWithOptionalParams": {skipped: true},
	"TestV1BlobGet":                           {}, // requests another server
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

// unknown is how the service says that there is no such thing, or no such path.
const unknown = "404 Not Found"

// alertingTests are those of the package alerting.
var alertingTests = map[string]sdkTest{
	"TestAvailableAlertList":            {},
	"TestDestinationEligibleGet":        {},
	"TestDestinationWebhookList":        {},
	"TestPolicyList":                    {},
	"TestHistoryListWithOptionalParams": {},
	// They hold ids that no server hands out.
	"TestDestinationWebhookDelete": {refused: unknown},
	"TestPolicyDelete":             {refused: unknown},
	// There are none here.
	"TestDestinationPagerdutyDelete": {refused: unknown},
	"TestDestinationPagerdutyGet":    {refused: unknown},
	"TestSilenceNew":                 {refused: unknown},
	"TestSilenceUpdate":              {refused: unknown},
	"TestSilenceList":                {refused: unknown},
	"TestSilenceDelete":              {refused: unknown},
	"TestSilenceGet":                 {refused: unknown},

	"TestDestinationPagerdutyNew":                    {skipped: true},
	"TestDestinationPagerdutyLink":                   {skipped: true},
	"TestDestinationWebhookNewWithOptionalParams":    {skipped: true},
	"TestDestinationWebhookUpdateWithOptionalParams": {skipped: true},
	"TestDestinationWebhookGet":                      {skipped: true},
	"TestPolicyNewWithOptionalParams":                {skipped: true},
	"TestPolicyUpdateWithOptionalParams":             {skipped: true},
	"TestPolicyGet":                                  {skipped: true},
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
	runSDKTests(t, s, "images", imagesTests)
	runSDKTests(t, s, "alerting", alertingTests)
}

// runSDKTests builds and runs the tests of a package of the SDK.
func runSDKTests(t *testing.T, s *server, name string, tests map[string]sdkTest) {
	t.Helper()
	program := filepath.Join(t.TempDir(), name+".test")
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-o", program,
		"github.com/cloudflare/cloudflare-go/v7/"+name)
	build.Dir, build.Env = "go", outerEnviron()
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the tests of the SDK: %v\n%s", err, out)
	}
	list, err := exec.CommandContext(t.Context(), program, "-test.list", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	names := strings.Fields(string(list))
	if len(names) != len(tests) {
		t.Errorf("the SDK has %d tests of %s, want %d", len(names), name, len(tests))
	}
	passed, refused, skipped := 0, 0, 0
	for _, name := range names {
		want, known := tests[name]
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
			skipped++
			if !strings.Contains(out, "--- SKIP: "+name) {
				t.Errorf("%s is no longer skipped:\n%s", name, out)
			}
		case want.refused != "":
			refused++
			if err == nil || !strings.Contains(out, want.refused) {
				t.Errorf("%s must be refused with %q:\n%s", name, want.refused, out)
			}
		case err != nil || !strings.Contains(out, "--- PASS: "+name):
			t.Errorf("%s: %v\n%s", name, err, out)
		default:
			passed++
		}
	}
	t.Logf("of the SDK's %d tests of %s %d passed, %d must be refused, %d are skipped by itself",
		len(names), name, passed, refused, skipped)
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

// remove deletes what an earlier test left.
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
