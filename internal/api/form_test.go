package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"calotype/internal/errs"
	"calotype/internal/uploadpolicy"
)

const urlencoded = "application/x-www-form-urlencoded"

// multi writes name, value pairs as multipart/form-data, as SDKs do.
func multi(t testing.TB, pairs ...string) (contentType, body string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for i := 0; i < len(pairs); i += 2 {
		if err := w.WriteField(pairs[i], pairs[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return w.FormDataContentType(), b.String()
}

// draft decodes a body as direct_upload does and prints what it asks for, one field a word.
func draft(contentType, body string) (string, error) {
	f, err := decodeForm(contentType, []byte(body))
	if err != nil {
		return "", err
	}
	d, err := newDraft(f)
	if err != nil {
		return "", err
	}
	var all []string
	if d.ID != nil {
		all = append(all, "id="+*d.ID)
	}
	if d.Expiry != nil {
		all = append(all, "expiry="+d.Expiry.UTC().Format(time.RFC3339Nano))
	}
	if d.Meta != nil {
		all = append(all, "meta="+string(d.Meta))
	}
	if d.Creator != nil {
		all = append(all, "creator="+*d.Creator)
	}
	if d.Policy != nil {
		p, err := uploadpolicy.Parse(d.Policy)
		if err != nil {
			return "", errs.Errorf(errs.Invalid, "%v", err)
		}
		all = append(all, "policy="+p.Text())
	}
	if d.RequireSignedURLs {
		all = append(all, "private")
	}
	return strings.Join(all, " "), nil
}

// TestDraftForms takes the forms that clients were seen to send.
func TestDraftForms(t *testing.T) {
	t.Parallel()
	part := func(headers, value string) string {
		return "--b\r\nContent-Disposition: form-data; " + headers + "\r\n\r\n" + value + "\r\n--b--\r\n"
	}
	const b = "multipart/form-data; boundary=b"
	for _, c := range []struct{ name, contentType, body, want string }{
		{"nothing", "", "", ""},
		{"JSON declared, no body", "application/json", "", ""},
		{"form declared, no body", urlencoded, "", ""},
		{"multipart declared, no body", b, "", ""},
		{"multipart without boundary, no body", "multipart/form-data", "", ""},
		{"picture declared, no body", "image/png", "", ""},
		{"spaces", "application/json", " \r\n ", ""},
		{"empty multipart", b, "--b--\r\n", ""},
		{"empty multipart without line end", b, "--b--", ""},
		{"empty multipart after a line end", b, "\r\n--b--\r\n", ""},
		{"empty object", "application/json", "{}", ""},
		{"PHP's empty map", "application/json", "[]", ""},
		{"null", "application/json", "null", ""},
		{"JSON in another charset's words", "application/json; charset=utf-8", `{"id":"a"}`, "id=a"},
		{"malformed parameter", "application/json; charset", `{"id":"a"}`, "id=a"},
		{"vendor JSON", "application/vnd.api+json", `{"id":"a"}`, "id=a"},
		{"the guide's --data", urlencoded, `{"expiry":"2021-01-02T02:20:00Z"}`,
			"expiry=2021-01-02T02:20:00Z"},
		{"the same after spaces", urlencoded, "\n {\"id\":\"a\"}", "id=a"},
		{"JSON without a type", "", `{"id":"a"}`, "id=a"},
		{"fetch with a string", "text/plain;charset=UTF-8", `{"id":"a"}`, "id=a"},
		{"urlencoded without a type", "", "id=a&creator=c", "id=a creator=c"},
		{"urlencoded", urlencoded, "&id=a%2Fb+c&&requireSignedURLs=1", "id=a/b c private"},
		{"JSON values", "application/json",
			`{"id":"a","creator":"c","metadata":{"k": [1, null]},"requireSignedURLs":true}`,
			`id=a meta={"k": [1, null]} creator=c private`},
		{"nulls", "application/json",
			`{"id":null,"creator":null,"metadata":null,"requireSignedURLs":null,"expiry":null}`, ""},
		{"nothing filled in", urlencoded, "id=&creator=&expiry=&metadata=", ""},
		{"nothing filled in, JSON", "application/json", `{"id":"","metadata":""}`, ""},
		{"booleans as text", "application/json", `{"requireSignedURLs":"true"}`, "private"},
		{"booleans as numbers", "application/json", `{"requireSignedURLs":1}`, "private"},
		{"false", urlencoded, "requireSignedURLs=false", ""},
		{"0", "application/json", `{"requireSignedURLs":0}`, ""},
		{"metadata as text", b, part(`name="metadata"`, `{"k":"v"}`), `meta={"k":"v"}`},
		{"metadata as a JSON part", b, part("name=\"metadata\"\r\nContent-Type: application/json",
			`{"k":"v"}`), `meta={"k":"v"}`},
		{"metadata with a line end", b, part(`name="metadata"`, "{\"k\":\"v\"}\n"),
			`meta={"k":"v"}`},
		{"metadata from a file", b, part(`name="metadata"; filename="m.json"`, `{"k":"v"}`),
			`meta={"k":"v"}`},
		{"Terraform's unset metadata", b,
			part("name=\"metadata\"\r\nContent-Type: application/json", ""), ""},
		{"metadata null", urlencoded, "metadata=null", ""},
		{"metadata as JSON text in JSON", "application/json", `{"metadata":"{\"k\":1}"}`,
			`meta={"k":1}`},
		{"UTF-8", b, part(`name="creator"`, "Grüße"), "creator=Grüße"},
		{"unknown fields", urlencoded, "url=http://x&file=%FF&a=1&a=2&id=x&metadatax=1&policies=1",
			"id=x"},
		{"a file", b, part(`name="file"; filename="x.png"`, "\x89PNG"), ""},
		{"policy", "application/json", `{"policy":{"maxBytes": 1, "formats": ["png"], "animated": false}}`,
			`policy={"maxBytes":1,"formats":["png"],"animated":false}`},
		{"policy as text", urlencoded, "policy=%7B%22maxBytes%22%3A1%7D", `policy={"maxBytes":1}`},
		{"policy as text in JSON", "application/json", `{"policy":"{\"maxBytes\":1}"}`, `policy={"maxBytes":1}`},
		{"policy as a part", b, part(`name="policy"`, `{"maxBytes":1}`), `policy={"maxBytes":1}`},
		{"policy with dots", urlencoded, "policy.maxBytes=1&policy.animated=False&policy.formats.0=jpeg&" +
			"policy.formats.1=webp&policy.aspectRatio.min=0.5&policy.aspectRatio.max=16:9&policy.uses=3",
			`policy={"maxBytes":1,"formats":["jpeg","webp"],` +
				`"aspectRatio":{"min":0.5,"max":1.7777777777777777},"animated":false,"uses":3}`},
		{"policy with brackets", urlencoded, "policy%5BmaxBytes%5D=1&policy%5Borigins%5D%5B%5D=https://a.example&" +
			"policy%5Borigins%5D%5B%5D=http://B.example:80&policy%5BaspectRatio%5D%5B%5D=1&" +
			"policy%5BaspectRatio%5D%5B%5D=2", `policy={"maxBytes":1,"aspectRatio":{"min":1,"max":2},` +
			`"origins":["https://a.example","http://b.example"]}`},
		{"policy in flat JSON", "application/json", `{"policy.maxBytes":1,"policy[formats]":"png"}`,
			`policy={"maxBytes":1,"formats":["png"]}`},
		{"policy, nothing filled in", urlencoded, "policy.maxBytes=&policy.formats=&policy.redirect=", "policy="},
		{"no policy", "application/json", `{"policy":null}`, ""},
		{"PHP's empty policy", "application/json", `{"policy":[]}`, "policy="},
		{"expiry of Go", urlencoded, "expiry=2021-01-02T02%3A20%3A00Z",
			"expiry=2021-01-02T02:20:00Z"},
		{"expiry of Go v0", "application/json", `{"expiry":"2021-01-02T02:20:15.05230562Z"}`,
			"expiry=2021-01-02T02:20:15.05230562Z"},
		{"expiry of Python", b, part(`name="expiry"`, "2021-01-02T02:20:00+00:00"),
			"expiry=2021-01-02T02:20:00Z"},
		{"expiry with a zone", b, part(`name="expiry"`, "2021-01-02T03:50:00+01:30"),
			"expiry=2021-01-02T02:20:00Z"},
		{"expiry of naive Python", b, part(`name="expiry"`, "2021-01-02T02:20:00.123456"),
			"expiry=2021-01-02T02:20:00.123456Z"},
		{"expiry of naive Python, whole", b, part(`name="expiry"`, "2021-01-02T02:20:00"),
			"expiry=2021-01-02T02:20:00Z"},
		{"expiry of JavaScript", b, part(`name="expiry"`, "2021-01-02T02:20:00.000Z"),
			"expiry=2021-01-02T02:20:00Z"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := draft(c.contentType, c.body)
			if err != nil {
				t.Fatal(err)
			}
			if got != c.want {
				t.Errorf("got %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestDraftRefusals(t *testing.T) {
	t.Parallel()
	many := strings.Repeat("a=1&", maxFields+1)
	manyParts := make([]string, 2*(maxFields+1))
	for i := range manyParts {
		manyParts[i] = "a"
	}
	manyType, manyBody := multi(t, manyParts...)
	for _, c := range []struct{ name, contentType, body, says string }{
		{"a picture", "image/png", "\x89PNG", "multipart/form-data"},
		{"text", "text/plain", "id=a", "multipart/form-data"},
		{"no boundary", "multipart/form-data", "--b--", "boundary"},
		{"cut short", "multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; " +
			"name=\"id\"\r\n\r\nabc", "incomplete"},
		{"cut between parts", "multipart/form-data; boundary=b", "--b\r\nContent-Disposition: " +
			"form-data; name=\"id\"\r\n\r\nabc\r\n--b", "incomplete"},
		{"wrong boundary", "multipart/form-data; boundary=c", "--b--", "incomplete"},
		{"nameless part", "multipart/form-data; boundary=b",
			"--b\r\nContent-Disposition: form-data\r\n\r\nabc\r\n--b--", "name"},
		{"not JSON", "application/json", "id=a", "not valid JSON"},
		{"half JSON", urlencoded, `{"id":`, "not valid JSON"},
		{"two values", "application/json", `{"id":"a"}{}`, "not valid JSON"},
		{"a list", "application/json", `["a"]`, "must be an object"},
		{"a number", "application/json", `1`, "must be an object"},
		{"bytes in JSON", "application/json", "{\"id\":\"\xff\"}", "UTF-8"},
		{"bytes in a form", urlencoded, "creator=%FF", "UTF-8"},
		{"half an escape", urlencoded, "id=%2", "%25"},
		{"many fields", urlencoded, many, "100"},
		{"many parts", manyType, manyBody, "100"},
		{"twice", urlencoded, "id=a&id=a", "id is given twice"},
		{"twice in JSON", "application/json", `{"creator":"a","creator":"b"}`, "given twice"},
		{"flag", urlencoded, "requireSignedURLs=yes", "requireSignedURLs must be true or false"},
		{"flag as object", "application/json", `{"requireSignedURLs":{}}`, "must be true or false"},
		{"id as number", "application/json", `{"id":1}`, "id must be a string"},
		{"expiry in words", urlencoded, "expiry=tomorrow", "2030-01-31T15:04:05Z"},
		{"expiry in seconds", "application/json", `{"expiry":1700000000}`, "must be a string"},
		{"expiry, plus unescaped", urlencoded, "expiry=2021-01-02T02:20:00+00:00", "%2B"},
		{"expiry with a day only", urlencoded, "expiry=2021-01-02", "RFC 3339"},
		{"metadata twice", urlencoded, "metadata={}&metadata.a=1", "given twice"},
		{"policy twice", urlencoded, "policy={}&policy.maxBytes=1", "given twice"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := draft(c.contentType, c.body)
			if err == nil {
				t.Fatalf("taken as %q", got)
			}
			e := errs.AsError(err)
			if e.Kind != errs.Invalid && e.Kind != errs.NotForm ||
				!strings.Contains(e.Msg, c.says) {
				t.Errorf("%v: %q says nothing of %q", e.Kind, e.Msg, c.says)
			}
		})
	}
}

// checkDraft holds what must be so of every body that is taken.
func checkDraft(t *testing.T, contentType string, body []byte) {
	f, err := decodeForm(contentType, body)
	if err != nil {
		if kind := errs.AsError(err).Kind; kind != errs.Invalid && kind != errs.NotForm {
			t.Errorf("unforeseen: %v", err)
		}
		return
	}
	if len(f) > maxFields {
		t.Errorf("%d fields", len(f))
	}
	d, err := newDraft(f)
	if err != nil {
		if errs.AsError(err).Kind != errs.Invalid {
			t.Errorf("unforeseen: %v", err)
		}
		return
	}
	for _, text := range []*string{d.ID, d.Creator} {
		if text != nil && (*text == "" || !utf8.ValidString(*text)) {
			t.Errorf("text %q", *text)
		}
	}
	for _, v := range f {
		if strings.HasPrefix(v.name, "policy.") && !v.isNull() && d.Policy == nil {
			t.Error("a policy was ignored")
		}
	}
	if _, err := newUpload(f); err == nil && d.Policy != nil {
		t.Error("an upload by the API ignored a policy")
	}
}

func FuzzForm(f *testing.F) {
	f.Add("", []byte(`{"id":"a","metadata":{"k":[1]},"requireSignedURLs":"true"}`))
	f.Add("application/json", []byte(`{"metadata.a":1,"metadata[b][]":null,"policy":1}`))
	f.Add(urlencoded, []byte("metadata.a.0=x&metadata%5Bb%5D%5B%5D=y&expiry=2021-01-02T02:20:00Z"))
	f.Add("multipart/form-data; boundary=b", []byte("--b\r\nContent-Disposition: form-data; "+
		"name=\"metadata\"\r\nContent-Type: application/json\r\n\r\n{}\r\n--b--\r\n"))
	f.Add("multipart/form-data; boundary=b", []byte("--b--"))
	f.Add("multipart/form-data; boundary=\"b c\"; x", []byte("--b c\r\n\r\n"))
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		checkDraft(t, contentType, body)
	})
}

// FuzzEncodings says the same in all encodings and wants the same draft.
func FuzzEncodings(f *testing.F) {
	f.Add("a/b c", "user:1", "2021-01-02T02:20:00+01:00", "key", "value", true)
	f.Add("", "Grüße & co=1", "", "a.b", "<b>", false)
	f.Add("x", "y", "never", "nest[a][]", "1\n2", false)
	f.Fuzz(func(t *testing.T, id, creator, expiry, key, value string, private bool) {
		for _, s := range []string{id, creator, expiry, key, value} {
			if !utf8.ValidString(s) {
				return
			}
		}
		if strings.ContainsAny(key, "\"\\%\r\n\x00") || len(key) > 1000 {
			return // clients differ in how they escape these in the name of a part
		}
		for _, r := range key {
			if r < ' ' || r == 0x7f || r == utf8.RuneError {
				return
			}
		}
		name := "metadata." + key
		pairs := []string{"id", id, "creator", creator, "expiry", expiry, name, value,
			"requireSignedURLs", fmt.Sprint(private)}
		object := map[string]any{"id": id, "creator": creator, "expiry": expiry, name: value,
			"requireSignedURLs": private}
		asJSON, err := json.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		values := url.Values{}
		for i := 0; i < len(pairs); i += 2 {
			values.Set(pairs[i], pairs[i+1])
		}
		want, wantErr := draft("application/json", string(asJSON))
		check := func(encoding, got string, err error) {
			if got != want || (err == nil) != (wantErr == nil) {
				t.Errorf("%s: %q (%v)\nJSON: %q (%v)", encoding, got, err, want, wantErr)
			}
		}
		got, err := draft(urlencoded, values.Encode())
		check("urlencoded", got, err)
		got, err = draft(multi(t, pairs...))
		check("multipart", got, err)
	})
}

// TestTimesOfOtherLanguages: how Python and PHP print a moment.
func TestTimesOfOtherLanguages(t *testing.T) {
	t.Parallel()
	want := time.Date(2026, 11, 29, 0, 42, 6, 0, time.UTC)
	for _, text := range []string{
		"2026-11-29T00:42:06Z", "2026-11-29T01:42:06+01:00", "2026-11-29T00:42:06+0000",
		"2026-11-29 00:42:06+00:00", "2026-11-29 00:42:06+0000", "2026-11-29T00:42:06",
		"2026-11-29 00:42:06", "2026-11-29T00:42:06.000000",
	} {
		f := form{{name: "expiry", text: text}}
		if got, err := f.time("expiry"); err != nil || !got.Equal(want) {
			t.Errorf("%q: got %v, %v", text, got, err)
		}
	}
}

// TestJSONWithAMark: some editors and .NET put a mark of UTF-8 before JSON.
func TestJSONWithAMark(t *testing.T) {
	t.Parallel()
	f, err := decodeForm("application/json", []byte("\xef\xbb\xbf{\"creator\":\"ann\"}"))
	if err != nil || len(f) != 1 || f[0].text != "ann" {
		t.Errorf("got %+v, %v", f, err)
	}
}

// TestFlagsAsTheyAreSent: no way to ask for a private picture is passed over.
func TestFlagsAsTheyAreSent(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		"requireSignedURLs=true": "true", "requireSignedURLs=True": "true", "requireSignedURLs=on": "true",
		"requireSignedUrls=true": "true", "requiresignedurls=1": "true", "RequireSignedURLs=FALSE": "false",
		"requireSignedURLs=off": "false", "requireSignedURLs=": "none", "other=true": "none",
		"requireSignedURLs=true&requireSignedUrls=false": "refused", "requireSignedUrls=yes": "refused",
	} {
		f, err := decodeForm(urlencoded, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		got := "none"
		switch given, err := f.flagIfGiven("requireSignedURLs"); {
		case err != nil:
			got = "refused"
		case given != nil:
			got = strconv.FormatBool(*given)
		}
		if got != want {
			t.Errorf("%s is %s, want %s", body, got, want)
		}
	}
}
