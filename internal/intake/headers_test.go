package intake

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"calotype/internal/cfapi"
	"calotype/internal/errs"
	"calotype/internal/imagefile"
	"calotype/internal/images"
	"calotype/internal/uploadpolicy"
)

func TestClassify(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		declared, encoding string
		want               bodyKind // 0 for 415
	}{
		{"", "", rawBody}, {"image/jpeg", "", rawBody}, {"IMAGE/PNG", "", rawBody}, {"image/svg+xml; charset=utf-8", "", rawBody},
		{"application/octet-stream", "", rawBody}, {"Application/Octet-Stream;x=y", "", rawBody},
		{"image/jpeg", "identity", rawBody}, {"image/x-unknown", "", rawBody},
		{"multipart/form-data; boundary=x", "", formBody}, {"Multipart/Form-Data; boundary=\"x y\"", "", formBody},
		{"multipart/form-data", "", 0}, {"multipart/mixed; boundary=x", "", 0}, {"application/json", "", 0},
		{"application/x-www-form-urlencoded", "", 0}, {"text/plain", "", 0}, {"text/plain;charset=UTF-8", "", 0},
		{"images/jpeg", "", 0}, {"image", "", 0}, {"application/offset+octet-stream", "", 0},
		{"application/partial-upload", "", 0}, {"image/jpeg", "gzip", 0}, {"multipart/form-data; boundary=x", "br", 0},
	} {
		r := httptest.NewRequest("POST", "/", nil)
		r.Header.Set("Content-Type", c.declared)
		r.Header.Set("Content-Encoding", c.encoding)
		kind, err := classify(r)
		if err != nil {
			kind = 0
			if errs.AsError(err).Kind != errs.NotForm {
				t.Errorf("%q: %v", c.declared, err)
			}
		}
		if kind != c.want {
			t.Errorf("%q %q: %v, want %v", c.declared, c.encoding, kind, c.want)
		}
	}
}

func TestTusLength(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		length string
		more   []string
		want   int64
		code   int // of the refusal
	}{
		{"0", nil, 0, 0}, {"1", nil, 1, 0}, {"1000", nil, 1000, 0}, {"0001000", nil, 1000, 0},
		{"1001", nil, 0, 5413}, {"99999999999999999999999", nil, 0, 5413},
		{"", nil, 0, 5400}, {"-1", nil, 0, 5400}, {"+1", nil, 0, 5400}, {"1.0", nil, 0, 5400}, {"1 ", nil, 0, 5400},
		{"", []string{"Upload-Defer-Length", "1"}, 0, 5400}, {"5", []string{"Upload-Concat", "partial"}, 0, 5400},
	} {
		h := http.Header{}
		h.Set("Upload-Length", c.length)
		for i := 0; i+1 < len(c.more); i += 2 {
			h.Set(c.more[i], c.more[i+1])
		}
		n, err := tusLength(h, 1000)
		code := 0
		if err != nil {
			code = cfapi.Refusal(err).Code
		}
		if n != c.want || code != c.code {
			t.Errorf("%q %v: %d, %v", c.length, c.more, n, err)
		}
	}
}

func TestTusFilename(t *testing.T) {
	t.Parallel()
	name := base64.StdEncoding.EncodeToString([]byte("été 1.jpg"))
	for metadata, want := range map[string]string{
		"": "", "filename " + name: "été 1.jpg", "filetype aW1hZ2U=,filename " + name: "été 1.jpg",
		" filename  " + name + " , x": "été 1.jpg", "filename " + strings.TrimRight(name, "="): "été 1.jpg",
		"filename": "", "filename ": "", "name " + name: "", "other !!!,filename " + name: "été 1.jpg", ",,": "",
		"is_confidential,x": "", "filename !!!": "refused", "filename a b": "refused",
	} {
		got, err := tusFilename(metadata)
		if err != nil {
			got = "refused"
		}
		if got != want {
			t.Errorf("%q: %q, want %q", metadata, got, want)
		}
	}
}

// FuzzTusFilename: a name that was encoded is found among any other metadata, and nothing else fails it.
func FuzzTusFilename(f *testing.F) {
	f.Add("a.jpg", "filetype aW1n")
	f.Add("", "x")
	f.Fuzz(func(t *testing.T, name, other string) {
		for pair := range strings.SplitSeq(other, ",") {
			if key, _, _ := strings.Cut(strings.TrimSpace(pair), " "); key == "filename" {
				if got, err := tusFilename(other); err != nil && got != "" {
					t.Errorf("%q: %q, %v", other, got, err)
				}
				return
			}
		}
		got, err := tusFilename(other + ",filename " + base64.StdEncoding.EncodeToString([]byte(name)))
		if err != nil || got != name {
			t.Errorf("%q, %q: %q, %v", name, other, got, err)
		}
	})
}

func TestDeclaredName(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]string{
		"": "", "inline": "", `attachment; filename="a b.jpg"`: "a b.jpg", "inline; filename=a.jpg": "a.jpg",
		`inline; filename="a.jpg"; filename*=UTF-8''%C3%A9t%C3%A9.jpg`: "été.jpg", `inline; filename="un"quoted.jpg"`: `un"quoted.jpg`,
	} {
		r := httptest.NewRequest("PUT", "/", nil)
		r.Header.Set("Content-Disposition", header)
		if got := declaredName(r); got != want || !utf8.ValidString(got) {
			t.Errorf("%q: %q, want %q", header, got, want)
		}
	}
}

// TestInteropVersions: each version has its own key for the age, a client of another version gets no interim answer.
func TestInteropVersions(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"6": "expires", "7": "max-age", "8": "max-age", "8;x": "max-age", "9": "max-age", "10": "max-age", "5": "", "11": "", "": "",
		"x": "", "-8": "",
	} {
		got := ""
		if v := interopVersion(http.Header{interopHeader: {text}}); v != nil {
			got = v.age
		}
		if got != want {
			t.Errorf("version %q has the key %q, want %q", text, got, want)
		}
	}
}

func TestNewState(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	draft := func(expires time.Duration, refusals int) images.Image {
		return images.Image{ID: "x", Draft: true, Ticket: &images.Ticket{Expires: now.Add(expires), Refusals: refusals,
			LastKind: errs.Unsupported, LastMessage: "no picture", Uses: 1}}
	}
	for _, c := range []struct {
		img    images.Image
		status images.TicketStatus
		left   int // -1 for none
	}{
		{draft(time.Minute, 0), "open", 10}, {draft(0, 9), "open", 1}, {draft(-1, 3), "expired", 7},
		{draft(time.Minute, 10), "dead", 0}, {draft(-1, 12), "dead", 0}, {images.Image{ID: "x"}, "used", -1},
	} {
		s := newState(c.img, uploadpolicy.Policy{}, now, 1000)
		left := -1
		if s.AttemptsLeft != nil {
			left = *s.AttemptsLeft
		}
		open := c.status == "open"
		if s.Status != c.status || left != c.left || open != (s.Limits != nil) || open != (s.Resumable != nil) ||
			(s.Uses.Used == 1) != (c.status == "used") || (s.LastError != nil) != c.img.Draft {
			t.Errorf("%s: %+v", c.status, s)
		}
		if open && (s.Limits.MaxBytes != 1000 || len(s.Limits.Formats) != 7) {
			t.Errorf("the limits are %+v", s.Limits)
		}
	}
}

// TestStateOfALink: it is used after its last use only.
func TestStateOfALink(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	for used, status := range []images.TicketStatus{"open", "open", "open", "used"} {
		link := images.Image{ID: "x", Draft: true, Ticket: &images.Ticket{Expires: now.Add(time.Minute), Uses: 3, Used: used}}
		s := newState(link, uploadpolicy.Policy{Uses: 3}, now, 1000)
		if s.Status != status || s.Uses != (uploadUses{3, used}) || (s.Resumable == nil) != (status == "used") {
			t.Errorf("after %d uses: %+v", used, s)
		}
	}
}

// TestNewLimits: a limit of the policy counts if it is below that of the server.
func TestNewLimits(t *testing.T) {
	t.Parallel()
	still := false
	for _, c := range []struct {
		policy uploadpolicy.Policy
		want   string
	}{
		{uploadpolicy.Policy{}, "1000 [jpeg png webp gif avif heic svg] 12000x12000 100000000 4096"},
		{uploadpolicy.Policy{MaxBytes: 999, Formats: []imagefile.Format{imagefile.PNG}, MaxWidth: 10, MaxHeight: 20,
			MaxPixels: 30, Animated: &still}, "999 [png] 10x20 30 1"},
		{uploadpolicy.Policy{MaxBytes: 1001, MaxWidth: 12_001, MaxPixels: 1e12, Animated: new(bool)},
			"1000 [jpeg png webp gif avif heic svg] 12000x12000 100000000 1"},
	} {
		l := newLimits(c.policy, 1000)
		got := fmt.Sprintf("%d %v %dx%d %d %d", l.MaxBytes, l.Formats, l.MaxWidth, l.MaxHeight, l.MaxPixels, l.MaxFrames)
		if got != c.want {
			t.Errorf("%+v: %s, want %s", c.policy, got, c.want)
		}
	}
}
