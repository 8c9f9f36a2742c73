package e2e

import (
	"bytes"
	"context"
	bigendian "encoding/binary"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// A policyCase is one key of a policy with pictures on both sides of its bounds.
type policyCase struct {
	policy   string
	accepted [][]byte // inside, and exactly at the bound
	refused  []refusedPicture
}

// A refusedPicture is beyond a bound. says is the message, with the measured and the accepted figure.
type refusedPicture struct {
	content []byte
	says    string
}

// policyCases are all keys that are about the picture.
func policyCases(t *testing.T) []policyCase {
	pixels := func(w, h int) []byte { return flat(t, "jpeg", w, h, 1) }
	sized := func(n int) []byte { return withComments(t, pixels(64, 48), n) }
	animation := func(frames int) []byte { return flat(t, "gif", 32, 32, frames) }
	svg := func(w, h int) []byte {
		return fmt.Appendf(nil, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d"><path d="M0 0h9v9z"/></svg>`,
			w, h)
	}
	// 60 x 120 pixels that are shown as 120 x 60.
	turned := oriented(pixels(60, 120), 6)
	return []policyCase{
		{`{"maxBytes":3000}`, [][]byte{sized(2999), sized(3000)}, []refusedPicture{
			{sized(3001), "3000 bytes accepted here"}, {sized(200_000), "3000 bytes accepted here"}}},
		{`{"maxBytes":1048576}`, [][]byte{sized(1 << 20)}, []refusedPicture{
			{sized(1<<20 + 1), "1 MiB (1048576 bytes) accepted here"}}},
		{`{"formats":["jpeg","webp"]}`, [][]byte{pixels(20, 20)}, []refusedPicture{
			{flat(t, "png", 20, 20, 1), "PNG is not accepted here; JPEG or WebP are"},
			{animation(1), "GIF is not accepted here; JPEG or WebP are"},
			{svg(20, 20), "SVG is not accepted here; JPEG or WebP are"}}},
		{`{"formats":["png"]}`, [][]byte{flat(t, "png", 20, 20, 1)}, []refusedPicture{
			{pixels(20, 20), "JPEG is not accepted here; PNG is"}}},
		{`{"formats":["svg","gif","png"]}`, [][]byte{svg(9, 9), animation(2)}, []refusedPicture{
			{pixels(20, 20), "JPEG is not accepted here; SVG, GIF or PNG are"}}},
		{`{"minWidth":100}`, [][]byte{pixels(101, 20), pixels(100, 20), turned, svg(100, 1)}, []refusedPicture{
			{pixels(99, 200), "The picture is 99 pixels wide; at least 100 are required here"},
			{svg(99, 200), "99 pixels wide"}}},
		{`{"maxWidth":100}`, [][]byte{pixels(99, 200), pixels(100, 200)}, []refusedPicture{
			{pixels(101, 20), "The picture is 101 pixels wide; at most 100 are accepted here"},
			{turned, "120 pixels wide"}}},
		{`{"minHeight":100}`, [][]byte{pixels(20, 101), pixels(20, 100)}, []refusedPicture{
			{pixels(200, 99), "The picture is 99 pixels high; at least 100 are required here"},
			{turned, "60 pixels high"}}},
		{`{"maxHeight":100}`, [][]byte{pixels(200, 99), pixels(200, 100), turned}, []refusedPicture{
			{pixels(20, 101), "The picture is 101 pixels high; at most 100 are accepted here"}}},
		{`{"maxPixels":5000}`, [][]byte{pixels(100, 49), pixels(100, 50), flat(t, "gif", 100, 50, 3)}, []refusedPicture{
			{pixels(100, 51), "The picture has 5100 pixels (100 x 51); at most 5000 are accepted here"}}},
		{`{"aspectRatio":[1,"16:9"]}`, [][]byte{pixels(91, 90), pixels(90, 90), pixels(160, 90), turnedBy(t, 90, 160)},
			[]refusedPicture{
				{pixels(89, 90), "The picture is 89 x 90 pixels: its width / height is 0.99; at least 1.00 is accepted here"},
				{pixels(161, 90), "The picture is 161 x 90 pixels: its width / height is 1.79; at most 1.78 is accepted here"},
				{pixels(90, 160), "0.56; at least 1.00"}}},
		{`{"aspectRatio":{"max":1.777}}`, [][]byte{pixels(159, 90)}, []refusedPicture{
			{pixels(160, 90), "its width / height is 1.778; at most 1.777 is accepted here"}}},
		{`{"animated":false}`, [][]byte{animation(1), pixels(20, 20)}, []refusedPicture{
			{animation(2), "The picture is an animation of 2 frames; only still pictures are accepted here"}}},
		{`{"animated":true}`, [][]byte{animation(2), pixels(20, 20)}, nil},
	}
}

// TestURLPolicies: each key of a policy accepts a picture inside and at its bound, and refuses one beyond it with the
// measured figure, by each way.
func TestURLPolicies(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for _, c := range policyCases(t) {
		for _, w := range ways {
			for i, content := range c.accepted {
				u := s.createUploadURL("policy", c.policy)
				if i == 0 {
					for n, r := range c.refused {
						s.refusedByPolicy(w, u, c.policy, r, n+1)
					}
				}
				a, err := w.send(t.Context(), u.UploadURL, "a.jpg", content)
				if p, ok := s.image(u.ID); err != nil || a.status != http.StatusOK || !ok || p.Draft {
					t.Errorf("%s by %s refuses its picture %d: %d, %v %s", c.policy, w.name, i, a.status, err, a.body)
				}
			}
		}
	}
}

// refusedByPolicy wants a picture refused as the nth of a URL, and the reason in the details of the draft.
func (s *server) refusedByPolicy(w way, u oneTimeURL, policy string, r refusedPicture, nth int) {
	s.t.Helper()
	a, err := w.send(s.t.Context(), u.UploadURL, "a.jpg", r.content)
	var e struct{ Errors []struct{ Message string } }
	if err != nil || json.Unmarshal(a.body, &e) != nil || len(e.Errors) != 1 ||
		!strings.Contains(e.Errors[0].Message, r.says) {
		s.t.Errorf("%s by %s says nothing of %q: %v\n%s", policy, w.name, r.says, err, a.body)
		return
	}
	wantRefusal(s.t, a, http.StatusUnprocessableEntity, 5456)
	if strings.Contains(policy, "maxBytes") && (w.name == "tus" || strings.HasPrefix(w.name, "IETF")) {
		return // refused by the declared size: no body came that could count
	}
	var img struct {
		Draft  bool
		Upload struct {
			Attempts  int
			LastError struct {
				Code    int
				Message string
			}
			Policy json.RawMessage
		}
	}
	if err := unmarshalResult(s.api("GET", "images/v1/"+u.ID, nil), &img); err != nil || !img.Draft ||
		img.Upload.Attempts != nth || img.Upload.LastError.Code != 5456 ||
		img.Upload.LastError.Message != e.Errors[0].Message || len(img.Upload.Policy) == 0 {
		s.t.Errorf("%s by %s: the draft is %+v, %v", policy, w.name, img, err)
	}
}

// TestURLPolicyAndServer: the smaller limit of size counts, and the refusal is of that one; a file that is no picture
// is refused with the accepted types.
func TestURLPolicyAndServer(t *testing.T) {
	t.Parallel()
	s := newServer(t, "-max-upload-bytes", "100000")
	picture := flat(t, "jpeg", 64, 48, 1)
	for _, w := range ways {
		u := s.createUploadURL("policy.maxBytes", "200000", "policy.formats", "jpeg")
		a, err := w.send(t.Context(), u.UploadURL, "a.jpg", withComments(t, picture, 100_001))
		if err != nil || !bytes.Contains(a.body, []byte("100000 bytes")) {
			t.Errorf("%s: %v, %s", w.name, err, a.body)
		}
		wantRefusal(t, a, http.StatusRequestEntityTooLarge, 5413)
		a, err = w.send(t.Context(), u.UploadURL, "a.jpg", bytes.Repeat([]byte("no picture"), 100))
		if err != nil || !bytes.Contains(a.body, []byte("must have image/jpeg content")) {
			t.Errorf("%s: %v, %s", w.name, err, a.body)
		}
		wantRefusal(t, a, http.StatusUnsupportedMediaType, 5455)
		if a, err := w.send(t.Context(), u.UploadURL, "a.jpg", withComments(t, picture, 100_000)); err != nil || a.status != 200 {
			t.Errorf("%s: %d, %v, %s", w.name, a.status, err, a.body)
		}
	}
}

// TestURLPolicyOfUnknownLength: bytes that no length has announced count if they are too many.
func TestURLPolicyOfUnknownLength(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	u := s.createUploadURL("policy.maxBytes", "3000")
	picture := withComments(t, flat(t, "jpeg", 64, 48, 1), 3001)
	unknown := way{"unknown length", func(ctx context.Context, url, _ string, content []byte) (answer, error) {
		upload := &ietfUpload{version: "6"}
		if a, err := upload.send(ctx, "POST", url, content[:2000], "Upload-Complete", "?0"); err != nil || a.status > 299 {
			return a, err
		}
		return upload.patch(ctx, 2000, content[2000:], true)
	}}
	s.refusedByPolicy(unknown, u, "maxBytes", refusedPicture{picture, "larger than the 3000 bytes accepted here"}, 1)
}

// TestURLPolicyOfAnAccount: the command sets and removes the default, and refuses what is no policy.
func TestURLPolicyOfAnAccount(t *testing.T) {
	t.Parallel()
	onBothDatabases(t, func(t *testing.T, s *server) {
		run := func(args ...string) finished {
			env := []string{"CALOTYPE_DATA=" + s.data}
			if len(s.args) == 2 { // -db of PostgreSQL
				env = append(env, "CALOTYPE_DB="+s.args[1])
			}
			return calotype(t, env, append([]string{"account"}, args...)...)
		}
		for _, wrong := range []string{`{"maxbytes":1}`, `{"test":"used"}`, `{"maxBytes":0}`, `5`} {
			if ran := run("set", accountID, "-policy", wrong); ran.code == 0 || !strings.Contains(ran.stderr, "policy") {
				t.Errorf("%s: %d %s", wrong, ran.code, ran.stderr)
			}
		}
		if ran := run("set", accountID, "-policy", `{"minWidth":100,"formats":["png"]}`); ran.code != 0 {
			t.Fatal(ran.stderr)
		}
		wantIn(t, run("list").stdout, `{"formats":["png"],"minWidth":100}`)
		w := ways[0]
		picture := refusedPicture{flat(t, "png", 99, 9, 1), "99 pixels wide; at least 100"}
		s.refusedByPolicy(w, s.createUploadURL(), "default", picture, 1)
		s.refusedByPolicy(w, s.createUploadURL("policy.minWidth", "300"), "both", refusedPicture{picture.content,
			"99 pixels wide; at least 300"}, 1)
		u := s.createUploadURL("policy.minWidth", "1")
		s.refusedByPolicy(w, u, "both", refusedPicture{flat(t, "jpeg", 9, 9, 1), "JPEG is not accepted here; PNG is"}, 1)
		if a := post(t, u.UploadURL, "a.png", picture.content); a.status != http.StatusOK {
			t.Errorf("%d %s", a.status, a.body)
		}
		if ran := run("set", accountID, "-policy", "none"); ran.code != 0 {
			t.Fatal(ran.stderr)
		}
		if list := run("list").stdout; strings.Contains(list, "policy") {
			t.Errorf("the list is %s", list)
		}
		if a := post(t, s.createUploadURL().UploadURL, "a.jpg", flat(t, "jpeg", 9, 9, 1)); a.status != http.StatusOK {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
}

// TestURLPolicyWebhook: the event of a refused picture has the code, the message and the policy.
func TestURLPolicyWebhook(t *testing.T) {
	t.Parallel()
	s := newServer(t, "-outbound-allow", "127.0.0.0/8")
	received := newReceiver(t)
	s.webhook("add", received.URL, "-outbound-allow", "127.0.0.0/8")
	u := s.createUploadURL("policy.maxWidth", "50")
	wantRefusal(t, post(t, u.UploadURL, "a.jpg", flat(t, "jpeg", 64, 48, 1)), http.StatusUnprocessableEntity, 5456)
	m := received.await(t, u.ID, 1)
	if m.about().Data.Event != "image.upload.failed" || !bytes.Contains(m.body, []byte("5456")) ||
		!bytes.Contains(m.body, []byte("The picture is 64 pixels wide; at most 50 are accepted here")) ||
		!bytes.Contains(m.body, []byte(`"policy":{"maxWidth":50}`)) {
		t.Errorf("the message is %s", m.body)
	}
}

// TestURLPolicyOrigins: pages of other origins can use no method on the URL, and read no answer, before and after it
// is used; so it is for the URLs of resumable uploads.
func TestURLPolicyOrigins(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	const ours, other = "https://app.example.com", "https://app.example.com:8443"
	u := s.createUploadURL("policy.origins.0", "HTTPS://App.Example.com:443/", "policy.origins.1", "http://localhost:3000")
	body, kind := form(t)
	refused := func(method, address string, header ...string) {
		t.Helper()
		for _, origin := range []string{other, "http://app.example.com", "https://evil.example", "null"} {
			a := do(t, method, address, bytes.NewReader(body.Bytes()), append([]string{"Origin", origin}, header...)...)
			for name := range a.header {
				if strings.HasPrefix(name, "Access-Control-") {
					t.Errorf("%s from %s: the page may read the answer: %s", method, origin, name)
				}
			}
			if a.status != http.StatusForbidden || method != http.MethodHead && !bytes.Contains(a.body, []byte("5456")) {
				t.Errorf("%s from %s: %d %s", method, origin, a.status, a.body)
			}
		}
	}
	all := func(address string) {
		t.Helper()
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "BREW"} {
			refused(method, address, "Content-Type", kind)
		}
		refused("OPTIONS", address, "Access-Control-Request-Method", "POST")
	}
	all(u.UploadURL)
	tus, a, err := newTus(t.Context(), u.UploadURL, "a.jpg", 1000, nil)
	if err != nil || tus.url == "" {
		t.Fatalf("%v %d %s", err, a.status, a.body)
	}
	all(tus.url)
	for _, origin := range []string{ours, "http://localhost:3000"} {
		a := do(t, "OPTIONS", u.UploadURL, nil, "Origin", origin, "Access-Control-Request-Method", "POST")
		if a.status != http.StatusNoContent {
			t.Errorf("a preflight of %s: %d", origin, a.status)
		}
		wantHeadersFor(t, a.header, origin)
		a = do(t, "HEAD", tus.url, nil, "Origin", origin, "Tus-Resumable", "1.0.0")
		if a.status != http.StatusOK || a.header.Get("Upload-Offset") != "0" {
			t.Errorf("the offset for %s: %d %v", origin, a.status, a.header)
		}
	}
	if _, ok := s.image(u.ID); !ok {
		t.Error("the draft is gone")
	}
	a = postFrom(t, ours, u.UploadURL, flat(t, "jpeg", 9, 9, 1))
	wantHeadersFor(t, a.header, ours)
	if a.status != http.StatusOK {
		t.Errorf("%d %s", a.status, a.body)
	}
	all(u.UploadURL) // used
	// The plain form of the upload page has no origin, since its page has no referrer.
	page := s.createUploadURL("policy.origins", s.url)
	for site, want := range map[string]int{"cross-site": 403, "same-site": 403, "": 403, "same-origin": 200} {
		if a := postFrom(t, "null", page.UploadURL, flat(t, "jpeg", 9, 9, 1), "Sec-Fetch-Site", site); a.status != want {
			t.Errorf("Origin null and Sec-Fetch-Site %q: %d %s, want %d", site, a.status, a.body, want)
		}
	}
	// Without an Origin, and without the list.
	for _, u := range []oneTimeURL{s.createUploadURL("policy.origins", ours), s.createUploadURL("policy.origins", "*")} {
		if a := post(t, u.UploadURL, "a.jpg", flat(t, "jpeg", 9, 9, 1)); a.status != http.StatusOK {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
}

// postFrom posts a picture in a form with headers of a request by a page. It follows no redirect.
func postFrom(t *testing.T, origin, address string, content []byte, header ...string) answer {
	t.Helper()
	body := fmt.Sprintf("--%s\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n%s\r\n--%[1]s--\r\n",
		rawBoundary, content)
	r, err := http.NewRequestWithContext(t.Context(), "POST", address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	header = append([]string{"Origin", origin, "Content-Type", "multipart/form-data; boundary=" + rawBoundary}, header...)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	follow := *client
	follow.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	response, err := follow.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{status: response.StatusCode, header: response.Header, body: text}
}

// TestURLPolicyRedirect: a browser that posts a form goes to the address of the policy, with the id and the result;
// fetch gets the envelope.
func TestURLPolicyRedirect(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	const origin, to = "https://app.example.com", "https://app.example.com/done?from=form#top"
	navigation := []string{"Sec-Fetch-Mode", "navigate", "Accept", "text/html,*/*"}
	old := []string{"Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
	want := func(a answer, id, status string) {
		t.Helper()
		location, err := url.Parse(a.header.Get("Location"))
		if err != nil || a.status != http.StatusSeeOther || len(a.body) != 0 ||
			location.String() != "https://app.example.com/done?from=form&id="+url.QueryEscape(id)+"&status="+status+"#top" {
			t.Errorf("%d to %q, want the status %s", a.status, a.header.Get("Location"), status)
		}
		wantHeadersFor(t, a.header, origin)
	}
	small, large := flat(t, "jpeg", 20, 20, 1), flat(t, "jpeg", 101, 20, 1)
	for i, browser := range [][]string{navigation, old} {
		id := fmt.Sprintf("a/picture & %d", i)
		u := s.createUploadURL("id", id, "policy.redirect", to, "policy.maxWidth", "100")
		want(postFrom(t, origin, u.UploadURL, large, browser...), id, "5456")
		want(postFrom(t, origin, u.UploadURL, []byte("no picture"), browser...), id, "5455")
		want(postFrom(t, origin, u.UploadURL, nil, browser...), id, "5455")
		for _, fetch := range [][]string{{}, {"Sec-Fetch-Mode", "cors", "Accept", "text/html"}, {"Accept", "*/*"},
			{"Accept", "application/json, text/html"}} {
			a := postFrom(t, origin, u.UploadURL, large, fetch...)
			if a.status != http.StatusUnprocessableEntity || !bytes.Contains(a.body, []byte("101 pixels wide")) {
				t.Errorf("fetch: %d %s", a.status, a.body)
			}
		}
		want(postFrom(t, origin, u.UploadURL, small, browser...), id, "ok")
		if p, ok := s.image(id); !ok || p.Draft {
			t.Errorf("the image is %+v", p)
		}
		want(postFrom(t, origin, u.UploadURL, small, browser...), id, "5409")
	}
	// Without the key, from a forbidden origin, and of an unknown ticket a navigation gets the envelope.
	plain := s.createUploadURL("policy.maxWidth", "100")
	wantHeadersFor(t, postFrom(t, origin, plain.UploadURL, large, navigation...).header, origin)
	if a := postFrom(t, origin, plain.UploadURL, small, navigation...); a.status != http.StatusOK {
		t.Errorf("%d %s", a.status, a.body)
	}
	forbidden := s.createUploadURL("policy.redirect", to, "policy.origins", "https://other.example")
	if a := postFrom(t, origin, forbidden.UploadURL, small, navigation...); a.status != http.StatusForbidden {
		t.Errorf("a forbidden origin: %d to %q", a.status, a.header.Get("Location"))
	}
	unknown := strings.Split(plain.UploadURL, "?")[0] + "?ticket=ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	if a := postFrom(t, origin, unknown, small, navigation...); a.status != http.StatusNotFound {
		t.Errorf("an unknown ticket: %d to %q", a.status, a.header.Get("Location"))
	}
}

// flat returns a picture in one color.
func flat(t *testing.T, format string, w, h, frames int) []byte {
	t.Helper()
	img := image.NewPaletted(image.Rect(0, 0, w, h), color.Palette{color.RGBA{200, 30, 30, 255}, color.Black})
	var b bytes.Buffer
	var err error
	switch format {
	case "jpeg":
		err = jpeg.Encode(&b, img, nil)
	case "png":
		err = png.Encode(&b, img)
	case "gif":
		g := &gif.GIF{}
		for i := range frames {
			frame := image.NewPaletted(img.Rect, img.Palette)
			frame.SetColorIndex(i%w, 0, 1) // else two frames are the same
			g.Image, g.Delay = append(g.Image, frame), append(g.Delay, 10)
		}
		err = gif.EncodeAll(&b, g)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// withComments returns a JPEG with comments that make it n bytes long.
func withComments(t *testing.T, picture []byte, n int) []byte {
	t.Helper()
	rest := n - len(picture)
	if rest < 4 {
		t.Fatalf("a JPEG of %d bytes cannot have %d", len(picture), n)
	}
	out := append([]byte{}, picture[:2]...)
	for rest > 0 {
		segment := min(rest, 60_000)
		if left := rest - segment; left > 0 && left < 4 {
			segment -= 4
		}
		out = append(out, 0xff, 0xfe)
		out = bigendian.BigEndian.AppendUint16(out, uint16(segment-2))
		out = append(out, bytes.Repeat([]byte{' '}, segment-4)...)
		rest -= segment
	}
	return append(out, picture[2:]...)
}

// oriented returns a JPEG with an EXIF orientation.
func oriented(picture []byte, orientation byte) []byte {
	exif := append([]byte("Exif\x00\x00MM\x00\x2a\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00"),
		orientation, 0, 0, 0, 0, 0, 0)
	out := append([]byte{}, picture[:2]...)
	out = append(out, 0xff, 0xe1)
	out = bigendian.BigEndian.AppendUint16(out, uint16(len(exif)+2))
	return append(append(out, exif...), picture[2:]...)
}

// turnedBy returns a JPEG that is stored with a width and a height, and shown with these exchanged.
func turnedBy(t *testing.T, w, h int) []byte { return oriented(flat(t, "jpeg", w, h, 1), 6) }
