package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestMovingFinds: each search command of docs/moving.md finds an example.
func TestMovingFinds(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../docs/moving.md")
	if err != nil {
		t.Fatal(err)
	}
	function := regexp.MustCompile(`(?m)^g\(\) .*$`).Find(doc)
	rows := regexp.MustCompile("(?m)^- \\*\\*(.*?)\\*\\*:.*\n  `(g '.*')`$").FindAllSubmatch(doc, -1)
	examples := map[string][]string{
		"delivery host":           {`src="https://imagedelivery.net/x/y/public"`},
		"delivery by your domain": {"https://example.com/cdn-cgi/imagedelivery/x/y/z"},
		"API base in scripts": {
			"curl https://api.cloudflare.com/client/v4/accounts/$ID/images/v1"},
		"official SDKs, Terraform": {`"github.com/cloudflare/cloudflare-go/v7"`,
			"import Cloudflare from 'cloudflare'", `require("cloudflare")`,
			`resource "cloudflare_image_variant" "x" {`, "from cloudflare import Cloudflare"},
		"credentials":          {"CLOUDFLARE_API_TOKEN=x", "CLOUDFLARE_IMAGES_KEY", "CF_IMAGES_HASH"},
		"one-time upload host": {"https://upload.imagedelivery.net/x/y"},
		"batch host":           {"https://batch.imagedelivery.net/images/v1", "/images/v1/batch_token"},
		"CSP of your pages":    {"img-src 'self' https://imagedelivery.net; font-src x"},
		"Next.js":              {"remotePatterns: [", "images: { domains: ['x'] }", "loaderFile: './l.js'"},
		"other image loaders":  {`"@nuxt/image": "1"`, "provideCloudflareLoader('https://x')"},
		"Workers binding":      {"await env.IMAGES.input(x)", "[images]", `"images": { "binding": "X" }`},
		"flexible variants":    {"/x/y/w=100,h=50", "/fit=cover"},
		"code that signs URLs": {"crypto.createHmac('sha256', k)", "hash_hmac('sha256'", "hmac.new(k"},
		"webhook payloads":     {`alert_type: "image_notification"`},
		"preconnect, DNS prefetch": {
			`<link rel="preconnect" href="https://imagedelivery.net">`},
		"service workers and caches": {"registerRoute(", "caches.open('x')"},
		"apps on phones":             {"<key>NSExceptionDomains</key>"},
		"tests and mocks":            {"import { rest } from 'msw'", "nock('https://x')"},
		"transformations of other sites' pictures": {
			"/cdn-cgi/image/width=80/x.jpg", "fetch(x, { cf: { image: { width: 1 } } })"},
	}
	if len(rows) != len(examples) || len(function) == 0 {
		t.Errorf("the page has %d lines, this test examples for %d", len(rows), len(examples))
	}
	for _, row := range rows {
		name, line := string(row[1]), string(row[2])
		for _, example := range examples[name] {
			dir := t.TempDir()
			for path, text := range map[string]string{
				"code.txt": "nothing\n" + example + "\n", "node_modules/code.txt": example,
				"other.txt": "nothing to find\n",
			} {
				path = filepath.Join(dir, path)
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			cmd := exec.Command("sh", "-c", string(function)+"\n"+line)
			cmd.Dir = dir
			found, err := cmd.CombinedOutput()
			if want := "./code.txt:2:" + example + "\n"; string(found) != want {
				t.Errorf("%s: %s finds %q, %v", name, line, found, err)
			}
		}
		if len(examples[name]) == 0 || strings.Contains(name, "`") {
			t.Errorf("%q has no example in this test", name)
		}
	}
}
