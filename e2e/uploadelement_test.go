package e2e

import "testing"

// TestUploadElement: the element says the server's words, and the page of another origin can read each refusal by
// fetch with credentials.
func TestUploadElement(t *testing.T) {
	t.Parallel()
	g := newPageGround(t)
	good := g.file(t, "a b.jpg", photo(t, 700, 500, 51))
	text := g.file(t, "text.jpg", []byte("no picture"))
	large := g.file(t, "large.jpg", append(photo(t, 700, 500, 52), make([]byte, 12<<20)...))
	empty := g.file(t, "empty.jpg", nil)
	used, taken := g.createUploadURL(), g.createUploadURL()
	post(t, used.UploadURL, "a.jpg", photo(t, 64, 64, 53))
	unknown := oneTimeURL{UploadURL: g.tunnel.URL + "/upload/x/y?ticket=z"}
	tests := []struct {
		name, file   string
		url          oneTimeURL
		status, code int
	}{
		{"taken", good, taken, 0, 0}, {"used", good, used, 410, 5409}, {"unknown", good, unknown, 404, 5404},
		{"no picture", text, g.createUploadURL(), 415, 5455}, {"too large", large, g.createUploadURL(), 413, 5413},
	}
	var steps []uploadStep
	for _, test := range tests {
		steps = append(steps, uploadStep{
			Name: "element-" + test.name, Do: "element", Page: g.elementPage(test.url), File: test.file,
			Audit: test.name == "taken",
		})
	}
	busy := g.createUploadURL("policy", `{"test":"busy"}`)
	const serverBusy = "The server is busy with other pictures"
	steps = append(steps,
		uploadStep{Name: "element-empty", Do: "element", Page: g.elementPage(g.createUploadURL()), File: empty},
		uploadStep{Name: "element-busy", Do: "element", Page: g.elementPage(busy), File: good, Waits: serverBusy})
	for name, step := range map[string]uploadStep{
		"element-360":      {Width: 360, Height: 780},
		"element-360-dark": {Width: 360, Height: 780, Scheme: "dark"},
		"element-dark":     {Scheme: "dark"},
		"element-rtl":      {Page: "&dir=rtl", Width: 360, Height: 780},
	} {
		step.Name, step.Do, step.File, step.Audit = name, "element", good, true
		step.Page = g.elementPage(g.createUploadURL()) + step.Page
		steps = append(steps, step)
	}
	all := g.play(t, steps...)
	for i, test := range tests {
		seen := all[i]
		out := seen.Outcome
		if out.Code != test.code || out.Status != test.status {
			t.Errorf("%s: the page gets %+v", test.name, out)
		}
		if test.code != 0 && (out.Message == "" || seen.Text != out.Message) {
			t.Errorf("%s: the user reads %q, the server says %q", test.name, seen.Text, out.Message)
		}
		if test.code == 0 && (out.Result.ID != test.url.ID || seen.Progress == 0 || seen.Text != "Uploaded.") {
			t.Errorf("%s: %+v, %d steps of progress, %q", test.name, out, seen.Progress, seen.Text)
		}
	}
	for _, seen := range all {
		if seen.Note != "Pick one" || seen.Title != "How far" {
			t.Errorf("%s: the button has the text %q and the bar %q, not those of the page", seen.Name, seen.Note, seen.Title)
		}
	}
	if out := all[len(tests)]; out.Text != "Nothing in it." || out.Sent != 0 {
		t.Errorf("of an empty file the element says %q, after %d requests", out.Text, out.Sent)
	}
	g.wantDelivered(t, taken.ID, good)
}

// TestRefusalsAcrossOrigins: a page of another origin reads each refusal of each way in, with credentials too.
func TestRefusalsAcrossOrigins(t *testing.T) {
	t.Parallel()
	g := newPageGround(t)
	picture, text := photo(t, 300, 200, 61), []byte("no picture")
	used := g.createUploadURL()
	post(t, used.UploadURL, "a.jpg", photo(t, 64, 64, 62))
	unknown := g.tunnel.URL + "/upload/x/y?ticket=z"
	create := map[string]string{"Tus-Resumable": "1.0.0", "Upload-Length": "10"}
	resource := map[string]string{
		"Tus-Resumable": "1.0.0", "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream",
	}
	raw := map[string]string{"Content-Type": "image/jpeg"}
	gone := g.tunnel.URL + "/upload/tus/ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	tests := []struct {
		name         string
		request      uploadRequest
		status, code int
	}{
		{"form used", uploadRequest{used.UploadURL, "POST", nil, picture, true}, 409, 5409},
		{"form unknown", uploadRequest{unknown, "POST", nil, picture, true}, 404, 5404},
		{"form text", uploadRequest{g.createUploadURL().UploadURL, "POST", nil, text, true}, 415, 5455},
		{"put used", uploadRequest{used.UploadURL, "PUT", raw, picture, false}, 409, 5409},
		{"put text", uploadRequest{g.createUploadURL().UploadURL, "PUT", raw, text, false}, 415, 5455},
		{"put unknown", uploadRequest{unknown, "PUT", raw, picture, false}, 404, 5404},
		{"tus used", uploadRequest{used.UploadURL, "POST", create, nil, false}, 410, 5409},
		{"tus unknown", uploadRequest{unknown, "POST", create, nil, false}, 404, 5404},
		{"tus gone", uploadRequest{gone, "PATCH", resource, text, false}, 404, 5404},
		{"state unknown", uploadRequest{unknown, "GET", nil, nil, false}, 404, 5404},
		{"method", uploadRequest{used.UploadURL, "DELETE", nil, nil, false}, 405, 5400},
	}
	var requests []uploadRequest
	for _, test := range tests {
		requests = append(requests, test.request)
	}
	seen := g.play(t, uploadStep{Name: "fetch", Do: "fetch", Page: g.elementPage(used), Requests: requests})[0]
	if len(seen.Answers) != len(tests) {
		t.Fatalf("%d answers", len(seen.Answers))
	}
	for i, got := range seen.Answers {
		a := answer{status: got.Status, body: []byte(got.Body)}
		if got.Failed != "" || got.Status != tests[i].status || a.code(t) != tests[i].code {
			t.Errorf("%s: %s status %d, %s", tests[i].name, got.Failed, got.Status, got.Body)
		}
	}
}
