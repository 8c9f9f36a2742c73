package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// guidePage is the page of the guide, word for word.
const guidePage = `<!DOCTYPE html>
<html>
  <body>
    <form
      action="INSERT_UPLOAD_URL_HERE"
      method="post"
      enctype="multipart/form-data"
    >
      <input type="file" id="myFile" name="file" />
      <input type="submit" />
    </form>
  </body>
</html>
`

// A browserFile is what a user chooses; zeros fill it up to Size bytes.
type browserFile struct {
	Name   string `json:"name"`
	Type   string `json:"type"`
	Base64 []byte `json:"base64"` // encoding/json makes it base64
	Size   int    `json:"size,omitempty"`
}

// A browserStep is one thing that browser/drive.mjs knows to do, and what must come of it.
type browserStep struct {
	Do     string       `json:"do"`
	Page   string       `json:"page"`
	Target string       `json:"target,omitempty"`
	File   *browserFile `json:"file,omitempty"`

	name  string
	check func(t *testing.T, seen browserSeen)
}

// browserSeen is what a page saw.
type browserSeen struct {
	Failed        string
	Status        int
	URL, Text     string
	JSON          json.RawMessage
	Type          string
	RequestID     string
	Sent          int
	Width, Height int
	Pixel         []int
}

// TestBrowser does with Chromium what end users do, from a page of another origin.
func TestBrowser(t *testing.T) {
	t.Parallel()
	chromium, node := browserParts(t)
	s := newServer(t)
	pages := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		action := html.EscapeString(r.URL.Query().Get("to"))
		_, _ = io.WriteString(w, strings.Replace(guidePage, "INSERT_UPLOAD_URL_HERE", action, 1))
	}))
	defer pages.Close()
	steps := browserSteps(t, s, pages.URL)
	for i, seen := range drive(t, chromium, node, steps) {
		t.Run(steps[i].name, func(t *testing.T) {
			if seen.Failed != "" {
				t.Fatalf("the page saw: %s", seen.Failed)
			}
			steps[i].check(t, seen)
		})
	}
	preflights := 0
	s.lines(func(line string) {
		if strings.Contains(line, `"msg":"upload"`) && strings.Contains(line, `"method":"OPTIONS"`) {
			preflights++
		}
	})
	if preflights == 0 {
		t.Error("the browser asked for no preflight: the test does not test it")
	}
}

// browserSteps makes the steps in the order in which they are done.
func browserSteps(t *testing.T, s *server, page string) (steps []browserStep) {
	good := &browserFile{Name: "Übung 1.jpg", Type: "image/jpeg", Base64: photo(t, 640, 480, 70)}
	half := &browserFile{Name: "a.jpg", Type: "image/jpeg", Base64: good.Base64[:len(good.Base64)/2]}
	text := &browserFile{Name: "a.jpg", Type: "image/jpeg", Base64: []byte("no picture")}
	large := &browserFile{Name: "a.jpg", Type: "image/jpeg", Base64: good.Base64, Size: 12 << 20}

	pageFor := func(u oneTimeURL) string { return page + "/?to=" + url.QueryEscape(u.UploadURL) }
	form := s.createUploadURL()
	steps = append(steps, browserStep{
		Do: "form", Page: pageFor(form), File: good, name: "plain form",
		check: func(t *testing.T, seen browserSeen) {
			var p picture
			err := unmarshalResult(answer{body: []byte(seen.Text)}, &p)
			if seen.Status != http.StatusOK || err != nil || p.ID != form.ID || p.Filename == nil ||
				*p.Filename != "Übung 1.jpg" {
				t.Errorf("the user sees status %d: %s", seen.Status, seen.Text)
			}
			if p, ok := s.in(t).image(form.ID); !ok || p.Draft || p.Original.Width != 640 {
				t.Errorf("the image is %+v", p)
			}
		},
	}, browserStep{
		Do: "form", Page: pageFor(form), File: good, name: "form again",
		check: func(t *testing.T, seen browserSeen) {
			if seen.Status != http.StatusConflict || !strings.Contains(seen.Text, "5409") {
				t.Errorf("the user sees status %d: %s", seen.Status, seen.Text)
			}
		},
	})
	steps = append(steps, browserStep{
		Do: "form", Page: pageFor(s.createUploadURL()), File: large, name: "form too large",
		check: func(t *testing.T, seen browserSeen) {
			if seen.Status != http.StatusRequestEntityTooLarge || !strings.Contains(seen.Text, "5413") {
				t.Errorf("the user sees status %d: %s", seen.Status, seen.Text)
			}
		},
	})
	for _, do := range []string{"fetch", "xhr"} {
		fresh := s.createUploadURL()
		for _, one := range []struct {
			name         string
			target       oneTimeURL
			file         *browserFile
			status, code int
		}{
			{"taken", fresh, good, 200, 0}, {"used", fresh, good, 409, 5409},
			{"no picture", s.createUploadURL(), text, 415, 5455}, {"half a picture", s.createUploadURL(), half, 422, 9422},
			{"too large", s.createUploadURL(), large, 413, 5413}, {"large for a used URL", form, large, 409, 5409},
			{"unknown", oneTimeURL{"", s.url + "/upload/x/y?ticket=z"}, large, 404, 5404},
		} {
			if do == "xhr" && one.file == large {
				continue // fetch has shown it
			}
			steps = append(steps, browserStep{
				Do: do, Page: page, Target: one.target.UploadURL, File: one.file, name: do + " " + one.name,
				check: func(t *testing.T, seen browserSeen) {
					a := answer{status: seen.Status, body: seen.JSON}
					if seen.Status != one.status || a.code(t) != one.code {
						t.Errorf("the page reads status %d: %s", seen.Status, seen.JSON)
					}
					if do == "fetch" && (seen.Type != "cors" || seen.RequestID == "") {
						t.Errorf("type %q, request id %q", seen.Type, seen.RequestID)
					}
				},
			})
		}
	}
	return append(steps, browserStep{
		Do: "image", Page: page, Target: s.public(form.ID), name: "picture",
		check: func(t *testing.T, seen browserSeen) {
			if seen.Width != 640 || seen.Height != 480 || len(seen.Pixel) != 4 || seen.Pixel[3] != 255 {
				t.Errorf("the page sees %+v", seen)
			}
		},
	})
}

// drive lets the browser do the steps and returns what was seen at each.
func drive(t *testing.T, chromium, node string, steps []browserStep) (all []browserSeen) {
	t.Helper()
	plan, err := json.Marshal(map[string]any{
		"chromium": chromium, "args": chromiumArgs(), "steps": steps,
	})
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, node, "browser/drive.mjs")
	cmd.WaitDelay = 10 * time.Second // the browser may hold the pipes
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(plan), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("driving the browser: %v\n%s\n%s", err, stdout.String(), stderr.String())
	}
	decoder := json.NewDecoder(&stdout)
	for range steps {
		var seen browserSeen
		if err := decoder.Decode(&seen); err != nil {
			t.Fatalf("step %d: %v\n%s", len(all), err, stderr.String())
		}
		all = append(all, seen)
	}
	return all
}

func chromiumArgs() []string {
	args := []string{"--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync"}
	if os.Geteuid() == 0 {
		args = append(args, "--no-sandbox")
	}
	return args
}

// browserParts finds what the test needs. In CI nothing may be missing.
func browserParts(t *testing.T) (chromium, node string) {
	t.Helper()
	chromium, err := exec.LookPath("chromium")
	if err == nil {
		node, err = exec.LookPath("node")
	}
	if err == nil {
		_, err = os.Stat("browser/node_modules/playwright-core/package.json")
	}
	if err == nil {
		return chromium, node
	}
	reason := fmt.Sprintf("the browser's test needs chromium, node and npm ci in e2e/browser: %v", err)
	if os.Getenv("CI") == "true" {
		t.Fatal(reason)
	}
	t.Skip(reason)
	return "", ""
}
