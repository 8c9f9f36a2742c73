package cfapi

import (
	"bytes"
	"strings"
	"testing"

	"calotype/internal/errs"
	"calotype/internal/images"
)

// jpeg is a stand-in for a picture: it is not text, and has a line break and dashes in it.
const jpeg = "\xff\xd8\xff\xe0\x00\r\n--\x00\x10JFIF"

// A recorded is a form as a client sends it. Its lines stand without their ends; PICTURE is jpeg.
type recorded struct {
	client      string
	contentType string
	lines       []string
	filename    string    // that is wanted
	refused     errs.Kind // the expected refusal; Internal for success
	says        string    // in the message of a refusal
}

const quotes = `15" screen.jpg`

// recordings are forms of real clients, reduced to their special features.
var recordings = []recorded{
	{"Guzzle 7.4", "multipart/form-data; boundary=5ce8e6c5a1e0e2ca5c27b1fbb3a8e1d2a4f6c901", []string{
		"--5ce8e6c5a1e0e2ca5c27b1fbb3a8e1d2a4f6c901",
		`Content-Disposition: form-data; name="file"; filename="15" screen.jpg"`,
		"Content-Length: 20", "Content-Type: image/jpeg", "", "PICTURE",
		"--5ce8e6c5a1e0e2ca5c27b1fbb3a8e1d2a4f6c901--", ""}, quotes, 0, ""},
	{"Faraday 1.1", "multipart/form-data; boundary=-----------RubyMultipartPost-7be1c4", []string{
		"-------------RubyMultipartPost-7be1c4",
		`Content-Disposition: form-data; name="file"; filename="15" screen.jpg"`,
		"Content-Length: 20", "Content-Type: image/jpeg", "Content-Transfer-Encoding: binary", "",
		"PICTURE", "-------------RubyMultipartPost-7be1c4--", "", ""}, quotes, 0, ""},
	{"form-data 3.0.1", "multipart/form-data; boundary=--------------------------350817266309", []string{
		"----------------------------350817266309",
		`Content-Disposition: form-data; name="file"; filename="15" screen.jpg"`,
		"Content-Type: image/jpeg", "", "PICTURE", "----------------------------350817266309--", ""},
		quotes, 0, ""},
	{"form-data 4.0.6", "multipart/form-data; boundary=--------------------------350817266309", []string{
		"----------------------------350817266309",
		`Content-Disposition: form-data; name="file"; filename="15%22 screen.jpg"`,
		"Content-Type: image/jpeg", "", "PICTURE", "----------------------------350817266309--", ""},
		quotes, 0, ""},
	{"requests 2.32", "multipart/form-data; boundary=0f3b9d7c5e1a4826", []string{
		"--0f3b9d7c5e1a4826",
		`Content-Disposition: form-data; name="file"; filename="15%22 screen.jpg"`, "", "PICTURE",
		"--0f3b9d7c5e1a4826--", ""}, quotes, 0, ""},
	{"requests 2.18, a name beyond ASCII", "multipart/form-data; boundary=0f3b", []string{
		"--0f3b", `Content-Disposition: form-data; name="file"; filename*=utf-8''%C3%9Cbung.jpg`, "",
		"PICTURE", "--0f3b--", ""}, "Übung.jpg", 0, ""},
	{"httpx 0.27", "multipart/form-data; boundary=9c1e", []string{
		"--9c1e", `Content-Disposition: form-data; name="file"; filename="15%22 screen.jpg"`,
		"Content-Type: image/jpeg", "", "PICTURE", "--9c1e--", ""}, quotes, 0, ""},
	{"got 16", "multipart/form-data; boundary=form-data-boundary-a1b2c3d4e5f6a7b8", []string{
		"--form-data-boundary-a1b2c3d4e5f6a7b8",
		`Content-Disposition: form-data; name="file"; filename="a.jpg"`, "Content-Type: image/jpeg",
		"Content-Length: 20", "", "PICTURE", "--form-data-boundary-a1b2c3d4e5f6a7b8--", "", ""},
		"a.jpg", 0, ""},
	{"undici, as of fetch in Node.js", "multipart/form-data; boundary=----formdata-undici-012345678901",
		[]string{"------formdata-undici-012345678901",
			`Content-Disposition: form-data; name="file"; filename="15%22 screen.jpg"`,
			"Content-Type: image/jpeg", "", "PICTURE", "------formdata-undici-012345678901--", ""},
		quotes, 0, ""},
	{"OkHttp 4", "multipart/form-data; boundary=6b0f0b4e-2d0c-4a53-9e86-0e0d3d0a5f6d", []string{
		"--6b0f0b4e-2d0c-4a53-9e86-0e0d3d0a5f6d",
		`Content-Disposition: form-data; name="file"; filename="Übung.jpg"`,
		"Content-Type: image/jpeg", "Content-Length: 20", "", "PICTURE",
		"--6b0f0b4e-2d0c-4a53-9e86-0e0d3d0a5f6d--", ""}, "Übung.jpg", 0, ""},
	{"iOS, put together by hand", "multipart/form-data; boundary=Boundary-7E3C", []string{
		"--Boundary-7E3C", `Content-Disposition:form-data; name="file"; filename="image.jpg"`,
		"Content-Type:image/jpeg", "", "PICTURE", "--Boundary-7E3C--"}, "image.jpg", 0, ""},
	{"Alamofire 5", "multipart/form-data; boundary=alamofire.boundary.1f2e3d4c5b6a7988", []string{
		"--alamofire.boundary.1f2e3d4c5b6a7988",
		`Content-Disposition: form-data; name="file"; filename="IMG_0001.HEIC"`,
		"Content-Type: image/heic", "", "PICTURE", "--alamofire.boundary.1f2e3d4c5b6a7988--", ""},
		"IMG_0001.HEIC", 0, ""},
	{"HttpMime 4.5", "multipart/form-data; boundary=uBY-MmZ1Xk_2; charset=ISO-8859-1", []string{
		"--uBY-MmZ1Xk_2", "Content-Disposition: form-data; name=\"file\"; filename=\"caf\xe9.jpg\"",
		"Content-Type: image/jpeg", "Content-Transfer-Encoding: binary", "", "PICTURE",
		"--uBY-MmZ1Xk_2--", ""}, "café.jpg", 0, ""},
	{"JavaMail's boundary, without quotes", "multipart/form-data; boundary=----=_Part_1_2.3", []string{
		"------=_Part_1_2.3", `Content-Disposition: form-data; name="file"; filename="a.jpg"`, "",
		"PICTURE", "------=_Part_1_2.3--", ""}, "a.jpg", 0, ""},
	{"a boundary of marks", "Multipart/Form-Data;charset=utf-8; Boundary=a:b/c?d(e)'f=g ;x=y", []string{
		"--a:b/c?d(e)'f=g", `Content-Disposition: form-data; name="file"; filename="a.jpg"`, "",
		"PICTURE", "--a:b/c?d(e)'f=g--", ""}, "a.jpg", 0, ""},
	{"dio 5", "multipart/form-data; boundary=--dio-boundary-3788751615", []string{
		"----dio-boundary-3788751615", `content-disposition: form-data; name="file"; filename="a.jpg"`,
		"content-type: image/jpeg", "", "PICTURE", "----dio-boundary-3788751615--", ""}, "a.jpg", 0, ""},
	{"ASP.NET", `multipart/form-data; boundary="3f2504e0-4f89-11d3-9a0c-0305e82c3301"`, []string{
		"--3f2504e0-4f89-11d3-9a0c-0305e82c3301", "Content-Type: image/jpeg",
		`Content-Disposition: form-data; name=file; filename="=?utf-8?B?w5xidW5nLmpwZw==?="; ` +
			`filename*=utf-8''%C3%9Cbung.jpg`, "", "PICTURE",
		"--3f2504e0-4f89-11d3-9a0c-0305e82c3301--", ""}, "Übung.jpg", 0, ""},
	{"ASP.NET, a plain name", `multipart/form-data; boundary="b"`, []string{"--b",
		"Content-Disposition: form-data; name=file; filename=my photo.jpg", "", "PICTURE", "--b--", ""},
		"my photo.jpg", 0, ""},
	{"curl 8", "multipart/form-data; boundary=------------------------QyVvLC", []string{
		"--------------------------QyVvLC",
		`Content-Disposition: form-data; name="file"; filename="15\" screen.jpg"`,
		"Content-Type: image/jpeg", "", "PICTURE", "--------------------------QyVvLC--", ""},
		quotes, 0, ""},
	{"Internet Explorer", "multipart/form-data; boundary=b", []string{"--b",
		`Content-Disposition: form-data; name="file"; filename="C:\photos\a.jpg"`, "", "PICTURE",
		"--b--", ""}, `C:\photos\a.jpg`, 0, ""},
	{"WordPress, a name with folders", "multipart/form-data; boundary=b", []string{"--b",
		`Content-Disposition: form-data; name="file"; filename="site.example/2024/05/a.jpg"`, "",
		"PICTURE", "--b--", ""}, "site.example/2024/05/a.jpg", 0, ""},
	{"two file names", "multipart/form-data; boundary=b", []string{"--b",
		`Content-Disposition: form-data; name="file"; filename="a.jpg"; filename="b.jpg"`, "",
		"PICTURE", "--b--", ""}, "a.jpg", 0, ""},
	{"quotes before a semicolon", "multipart/form-data; boundary=b", []string{"--b",
		`Content-Disposition: form-data; filename="my "best"; photo.jpg"; name="file"`, "", "PICTURE",
		"--b--", ""}, `my "best"; photo.jpg`, 0, ""},
	{"Latin-1, encoded", "multipart/form-data; boundary=b", []string{"--b",
		`Content-Disposition: form-data; name="file"; filename*=ISO-8859-1''caf%E9.jpg`, "", "PICTURE",
		"--b--", ""}, "café.jpg", 0, ""},

	// More than one part file, and parts without a file name.
	{"FilePond 4", "multipart/form-data; boundary=b", []string{"--b",
		`Content-Disposition: form-data; name="file"`, "", "{}", "--b",
		`Content-Disposition: form-data; name="file"; filename="a.jpg"`, "Content-Type: image/jpeg", "",
		"PICTURE", "--b--", ""}, "a.jpg", 0, ""},
	{"text behind the picture", "multipart/form-data; boundary=b", []string{"--b",
		`Content-Disposition: form-data; name="file"; filename="a.jpg"`, "", "PICTURE", "--b",
		`Content-Disposition: form-data; name="file"`, "", "{}", "--b--", ""}, "a.jpg", 0, ""},
	{"a browser, the first of two inputs empty", "multipart/form-data; boundary=b", []string{"--b",
		`Content-Disposition: form-data; name="file"; filename=""`,
		"Content-Type: application/octet-stream", "", "", "--b",
		`Content-Disposition: form-data; name="file"; filename="a.jpg"`, "", "PICTURE", "--b--", ""},
		"a.jpg", 0, ""},
	{"a browser, the second of two inputs empty", "multipart/form-data; boundary=b", []string{"--b",
		`Content-Disposition: form-data; name="file"; filename="a.jpg"`, "", "PICTURE", "--b",
		`Content-Disposition: form-data; name="file"; filename=""`, "", "", "--b--", ""}, "a.jpg", 0, ""},
	{"Payload's adapter, no file name", "multipart/form-data; boundary=b", []string{"--b",
		`Content-Disposition: form-data; name="file"`, "", "PICTURE", "--b--", ""}, "", 0, ""},
	{"no file name, between texts", "multipart/form-data; boundary=b", []string{"--b",
		`Content-Disposition: form-data; name="file"`, "", "", "--b",
		`Content-Disposition: form-data; name="file"`, "", "PICTURE", "--b",
		`Content-Disposition: form-data; name="other"`, "", "x", "--b--", ""}, "", 0, ""},
	{"plupload in one chunk", "multipart/form-data; boundary=b", []string{"--b",
		`Content-Disposition: form-data; name="chunks"`, "", "1", "--b",
		`Content-Disposition: form-data; name="file"; filename="a.jpg"`, "", "PICTURE", "--b--", ""},
		"a.jpg", 0, ""},

	// Refused, with the reason.
	{"two pictures", "multipart/form-data; boundary=b", []string{"--b",
		`Content-Disposition: form-data; name="file"; filename="a.jpg"`, "", "PICTURE", "--b",
		`Content-Disposition: form-data; name="file"; filename="b.jpg"`, "", "PICTURE", "--b--", ""}, "",
		errs.Invalid, "two fields file"},
	{"two pictures without file names", "multipart/form-data; boundary=b", []string{"--b",
		`Content-Disposition: form-data; name="file"`, "", "PICTURE", "--b",
		`Content-Disposition: form-data; name="file"`, "", "PICTURE", "--b--", ""}, "",
		errs.Invalid, "two fields file"},
	{"a browser, nothing chosen", "multipart/form-data; boundary=b", []string{"--b",
		`Content-Disposition: form-data; name="file"; filename=""`,
		"Content-Type: application/octet-stream", "", "", "--b--", ""}, "",
		errs.Invalid, "no picture was chosen"},
	{"[object Object]", "multipart/form-data; boundary=b", []string{"--b",
		`Content-Disposition: form-data; name="file"`, "", "[object Object]", "--b--", ""}, "",
		errs.Invalid, "holds text, not a file"},
	{"a data: URL", "multipart/form-data; boundary=b", []string{"--b",
		`Content-Disposition: form-data; name="file"`, "",
		"data:image/jpeg;base64," + strings.Repeat("/9j/", 30_000), "--b--", ""}, "",
		errs.Invalid, "holds text, not a file"},
	{"Dropzone 6 with chunking", "multipart/form-data; boundary=b", []string{"--b",
		`Content-Disposition: form-data; name="dzuuid"`, "", "0c5e", "--b",
		`Content-Disposition: form-data; name="dzchunkindex"`, "", "0", "--b",
		`Content-Disposition: form-data; name="dztotalchunkcount"`, "", "3", "--b",
		`Content-Disposition: form-data; name="file"; filename="a.jpg"`, "", "PICTURE", "--b--", ""}, "",
		errs.Invalid, "chunked uploads are not supported"},
	{"fetch with an explicit Content-Type", "multipart/form-data", []string{"--b", "--b--", ""}, "",
		errs.NotForm, "do not set this header yourself"},
}

// TestRecordedForms reads each form as a handler does.
func TestRecordedForms(t *testing.T) {
	t.Parallel()
	for _, c := range recordings {
		text := strings.ReplaceAll(strings.Join(c.lines, "\r\n"), "PICTURE", jpeg)
		r, body := request(c.contentType, text, 1<<20)
		var got bytes.Buffer
		var filename string
		err := CheckFileForm(r)
		if err == nil {
			filename, err = receive(r, body, &got)
		}
		switch {
		case c.refused == errs.Internal && err != nil:
			t.Errorf("%s: refused: %v", c.client, err)
		case c.refused == errs.Internal:
			if got.String() != jpeg || filename != c.filename {
				t.Errorf("%s: got %q as %q, want it as %q", c.client, got.String(), filename, c.filename)
			}
		case err == nil || errs.AsError(err).Kind != c.refused ||
			!strings.Contains(err.Error(), c.says):
			t.Errorf("%s: got %v, want that it says %q", c.client, err, c.says)
		}
	}
}

// TestChunksAreNotForms has the headers of clients that send a picture in pieces.
func TestChunksAreNotForms(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]string{
		"Tus-Resumable": "1.0.0", "Upload-Length": "100000", "Content-Range": "bytes 0-9/100",
	} {
		r, _ := request(formType, "", 10)
		r.Header.Set(name, value)
		err := CheckFileForm(r)
		if errs.AsError(err).Kind != errs.NotForm || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestASizeDeclaredInAdvance: a client that waits for 100 Continue gets the refusal instead.
func TestASizeDeclaredInAdvance(t *testing.T) {
	t.Parallel()
	r, _ := request(formType, "", 10)
	r.ContentLength = 1000 + FormOverhead + 1
	if err := CheckDeclaredSize(r, limitOf(1000)); err != nil {
		t.Errorf("one that does not wait: %v", err)
	}
	r.Header.Set("Expect", "100-continue")
	if err := CheckDeclaredSize(r, limitOf(1000)); errs.AsError(err).Kind != errs.TooLarge {
		t.Errorf("got %v", err)
	}
	if err := CheckDeclaredSize(r, limitOf(1001)); err != nil {
		t.Errorf("one that fits: %v", err)
	}
}

// FuzzDisposition: no header makes the parser panic, or invents a name.
func FuzzDisposition(f *testing.F) {
	for _, c := range recordings {
		for _, line := range c.lines {
			if _, value, ok := strings.Cut(line, "isposition:"); ok {
				f.Add(value)
			}
		}
	}
	f.Fuzz(func(t *testing.T, header string) {
		d := parseDisposition(header)
		if !strings.Contains(strings.ToLower(header), "name") && d != (disposition{}) {
			t.Errorf("%q says %+v", header, d)
		}
		FormBoundary("multipart/form-data;" + header)
	})
}

// limitOf is a SizeLimit in bytes.
type limitOf int64

func (l limitOf) MaxBytes() int64 { return int64(l) }

func (l limitOf) TooLarge() error { return images.FileTooLarge(int64(l)) }
