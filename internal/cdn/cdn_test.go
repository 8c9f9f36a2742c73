package cdn

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"calotype/internal/accounts"
	"calotype/internal/cfapi"
	"calotype/internal/images/imagestest"
	"calotype/internal/purges"
)

func TestMain(m *testing.M) { imagestest.Main(m) }

const secret = "t0ken-of-the-cdn"

// A received is a request that the fake receiver got.
type received struct {
	*http.Request
	body []byte
}

// tagsIn reads what a form purges from a request, and checks the request's shape and its authentication.
var tagsIn = map[string]func(r received) ([]string, error){
	"cloudflare": func(r received) ([]string, error) {
		return jsonTags(r, "tags", 100, "Authorization", "Bearer "+secret)
	},
	"fastly": func(r received) ([]string, error) {
		return jsonTags(r, "surrogate_keys", 256, "Fastly-Key", secret)
	},
	"json": func(r received) ([]string, error) {
		return jsonTags(r, "tags", 500, "Authorization", "Bearer "+secret)
	},
	"bunny": func(r received) ([]string, error) {
		var body map[string]string
		if err := json.Unmarshal(r.body, &body); err != nil || len(body) != 1 || r.Header.Get("AccessKey") != secret {
			return nil, fmt.Errorf("%s, %v", r.body, r.Header)
		}
		return []string{body["CacheTag"]}, nil
	},
	"varnish": func(r received) ([]string, error) {
		tags := strings.Fields(r.Header.Get("Surrogate-Key"))
		if r.Method != "PURGE" || len(r.body) > 0 || r.Header.Get("Authorization") != "Bearer "+secret ||
			len(r.Header.Get("Surrogate-Key")) > 4000 {
			return nil, fmt.Errorf("%s, %v", r.Method, r.Header)
		}
		return tags, nil
	},
}

func jsonTags(r received, field string, most int, header, value string) (tags []string, err error) {
	var body map[string][]string
	err = json.Unmarshal(r.body, &body)
	tags = body[field]
	if err != nil || r.Method != http.MethodPost || len(tags) > most || r.Header.Get(header) != value ||
		r.Header.Get("Content-Type") != "application/json" {
		return nil, fmt.Errorf("%v: %s, %v", err, r.body, r.Header)
	}
	return tags, nil
}

// A fake is a receiver that refuses its first requests.
type fake struct {
	*httptest.Server
	mu   sync.Mutex
	got  []received
	seen chan struct{}
}

// newFake returns a receiver that answers its first requests with these statuses, and then with ok.
func newFake(t *testing.T, answer string, statuses ...int) *fake {
	f := &fake{seen: make(chan struct{}, 1000)}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		f.mu.Lock()
		f.got = append(f.got, received{r.Clone(context.Background()), body})
		n := len(f.got)
		f.mu.Unlock()
		if n <= len(statuses) {
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(statuses[n-1])
		}
		io.WriteString(w, answer)
		f.seen <- struct{}{}
	}))
	t.Cleanup(f.Close)
	return f
}

// await returns the first n requests.
func (f *fake) await(t *testing.T, n int) []received {
	t.Helper()
	for range n {
		select {
		case <-f.seen:
		case <-time.After(time.Minute):
			t.Fatal("there is no request")
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.got)
}

// newSender returns a core whose changes are recorded, and a Sender to a fake.
func newSender(t *testing.T, core *imagestest.Core, form string, log io.Writer, addresses ...string) *Sender {
	t.Helper()
	token := secret
	if form == "cloudfront" {
		token = ""
	}
	receiver, err := newReceiver(t.Context(), form, strings.Join(addresses, ","), token)
	if err == nil {
		err = core.Purges.SetReceiver(t.Context(), true, receiver.form.paths)
	}
	if err != nil {
		t.Fatal(err)
	}
	return New(Config{Purges: core.Purges, Receiver: receiver, URLs: cfapi.URLs{Delivery: "https://i.example"},
		Log: slog.New(slog.NewTextHandler(log, nil))})
}

// change makes the deliveries of n images stale, and returns their tags.
func change(t *testing.T, core *imagestest.Core, n int, id string) (tags []string) {
	t.Helper()
	var stale []accounts.Stale
	for i := range n {
		key := fmt.Sprint(id, "key", i)
		stale = append(stale, accounts.Stale{Account: imagestest.AccountID, Key: key, ID: id})
		tags = append(tags, purges.Tags("", key, "", false)[0])
	}
	err := core.Accounts.Change(t.Context(), func(tx *accounts.Change) error {
		tx.Invalidate(stale)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(tags)
	return tags
}

// TestForms has each form purge more than one request takes, of a receiver that first answers 429 and then 503.
func TestForms(t *testing.T) {
	t.Parallel()
	for name, read := range tagsIn {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			core := imagestest.New(t)
			clock := imagestest.NewClock()
			core.SetNow(clock.Now)
			f := newFake(t, `{"success":true}`, http.StatusTooManyRequests, http.StatusServiceUnavailable)
			var log bytes.Buffer
			s := newSender(t, core, name, &log, f.URL+"/purge/path?x=y")
			want := change(t, core, s.Receiver.form.most+2, "id")
			for range 2 {
				if wait, more := s.round(t.Context()); more || wait < firstRetry {
					t.Fatalf("after a refusal it waits for %v, %v", wait, more)
				}
			}
			for more := true; more; {
				_, more = s.round(t.Context())
			}
			got := gotTags(t, f, read, 2)
			if !slices.Equal(got, want) {
				t.Errorf("purged %d tags, want %d", len(got), len(want))
			}
			clock.Forward(purges.RepeatAfter)
			for more := true; more; {
				_, more = s.round(t.Context())
			}
			if twice := gotTags(t, f, read, 2); len(twice) != 2*len(want) {
				t.Errorf("purged %d tags, want each twice", len(twice))
			}
			if n, err := core.Purges.Pending(t.Context()); n != 0 || err != nil {
				t.Errorf("%d purges are left, %v", n, err)
			}
			if text := log.String(); strings.Contains(text, secret) || strings.Contains(text, "/purge/path") ||
				strings.Count(text, "did not accept") != 2 {
				t.Error(text)
			}
		})
	}
}

// gotTags returns the tags of all requests after the first ones, sorted.
func gotTags(t *testing.T, f *fake, read func(received) ([]string, error), from int) (tags []string) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.got[from:] {
		some, err := read(r)
		if err != nil || r.URL.RequestURI() != "/purge/path?x=y" {
			t.Fatalf("%s: %v", r.URL, err)
		}
		tags = append(tags, some...)
	}
	slices.Sort(tags)
	return tags
}

// TestRun: a change wakes a running Sender, which sends to both addresses, and repeats the purge.
func TestRun(t *testing.T) {
	t.Parallel()
	core := imagestest.New(t)
	one, two := newFake(t, ""), newFake(t, "")
	s := newSender(t, core, "varnish", io.Discard, one.URL, two.URL)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx) }()
	want := change(t, core, 3, "id")
	for _, f := range []*fake{one, two} {
		var got []string
		for n := 1; len(got) < len(want); n++ {
			for _, r := range f.await(t, 1)[n-1:] {
				got = append(got, strings.Fields(r.Header.Get("Surrogate-Key"))...)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestNoAnswer: a receiver that is away, or says no in its envelope, gets the purge later.
func TestNoAnswer(t *testing.T) {
	t.Parallel()
	core := imagestest.New(t)
	f := newFake(t, `{"success":false}`)
	var outcomes []string
	for _, address := range []string{f.URL, "http://127.0.0.1:1/"} {
		s := newSender(t, core, "cloudflare", io.Discard, address)
		s.Observe = func(outcome string) { outcomes = append(outcomes, outcome) }
		change(t, core, 1, "id")
		last := time.Duration(0)
		for range 3 {
			wait, more := s.round(t.Context())
			if more || wait <= last {
				t.Errorf("it waits for %v after %v, %v", wait, last, more)
			}
			last = wait
		}
	}
	if want := []string{Rejected, Rejected, Rejected, NoAnswer, NoAnswer, NoAnswer}; !slices.Equal(outcomes, want) {
		t.Errorf("%q", outcomes)
	}
	if n, err := core.Purges.Pending(t.Context()); n != 1 || err != nil {
		t.Errorf("%d purges, %v", n, err)
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][2]time.Duration{
		"": {time.Second, 2 * time.Second}, "7": {7 * time.Second, 7 * time.Second},
		"99999": {longestRetry, longestRetry}, "soon": {time.Second, 2 * time.Second},
		"99999999999999999999": {time.Second, 2 * time.Second},
	} {
		got := (&Sender{}).retryDelay(http.Header{"Retry-After": {text}})
		if got < want[0] || got > want[1] {
			t.Errorf("%q: %v", text, got)
		}
	}
	if got := (&Sender{failed: 1 << 40}).retryDelay(nil); got != longestRetry {
		t.Errorf("after many failures: %v", got)
	}
}

// TestCloudFront: its request names paths, once each, and has the signature of its credentials.
func TestCloudFront(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDTEST")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "the secret key")
	t.Setenv("AWS_SESSION_TOKEN", "")
	core := imagestest.New(t)
	clock := imagestest.NewClock()
	core.SetNow(clock.Now)
	f := newFake(t, "", http.StatusBadRequest)
	s := newSender(t, core, "cloudfront", io.Discard, f.URL+"/2020-05-31/distribution/E1/invalidation")
	account, err := core.Accounts.ByID(t.Context(), imagestest.AccountID)
	if err != nil {
		t.Fatal(err)
	}
	change(t, core, 2, "user/7/a")
	if wait, more := s.round(t.Context()); more || len(f.got) > 0 {
		t.Fatalf("it is sent before nodes agree: %v", wait)
	}
	clock.Forward(purges.RepeatAfter)
	for range 2 {
		s.round(t.Context())
	}
	all := f.await(t, 2)
	hash := "/" + account.Hash
	want := []string{"/cdn-cgi/image/*", hash + "/user%2F7%2Fa/*", hash + "/user/7/a/*"}
	want = append(want, secondPrefix+want[1], secondPrefix+want[2])
	slices.Sort(want)
	references := map[string]bool{}
	for _, r := range all {
		var body invalidationBatch
		if err := xml.Unmarshal(r.body, &body); err != nil || body.Paths.Quantity != len(want) ||
			!slices.Equal(body.Paths.Items.Path, want) {
			t.Errorf("%v: %s", err, r.body)
		}
		references[body.CallerReference] = true
		wantSigned(t, r)
	}
	if len(references) != 2 {
		t.Error("a repeated reference would repeat no invalidation")
	}
	if n, err := core.Purges.Pending(t.Context()); n != 0 || err != nil {
		t.Errorf("%d purges are left, %v", n, err)
	}
}

// wantSigned signs a request as its receiver would, and compares.
func wantSigned(t *testing.T, r received) {
	t.Helper()
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil {
		t.Fatal(err)
	}
	again, err := http.NewRequestWithContext(t.Context(), r.Method, "http://"+r.Host+r.URL.RequestURI(),
		bytes.NewReader(r.body))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Content-Type", "User-Agent"} {
		again.Header.Set(name, r.Header.Get(name))
	}
	credentials := aws.Credentials{AccessKeyID: "AKIDTEST", SecretAccessKey: "the secret key"}
	if err := v4.NewSigner().SignHTTP(t.Context(), credentials, again, sha256Of(r.body), "cloudfront", "us-east-1",
		at); err != nil {
		t.Fatal(err)
	}
	if got, want := r.Header.Get("Authorization"), again.Header.Get("Authorization"); got != want || want == "" {
		t.Errorf("%q, want %q", got, want)
	}
}

func sha256Of(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

func TestPaths(t *testing.T) {
	t.Parallel()
	of := func(paths ...string) (batch []purges.Purge) {
		for _, path := range paths {
			batch = append(batch, purges.Purge{Tag: "t", Path: path})
		}
		return batch
	}
	const second = secondPrefix
	for name, c := range map[string]struct {
		batch []purges.Purge
		most  int
		want  []string
	}{
		"an image":      {of("h/a"), 15, []string{transforms, second + "/h/a/*", "/h/a/*"}},
		"an account":    {of("h"), 15, []string{transforms, second + "/h/*", "/h/*"}},
		"odd spellings": {of("h/a b"), 15, []string{transforms, second + "/h/*", "/h/*"}},
		"at the limit": {of("h/a", "h/b"), 5,
			[]string{transforms, second + "/h/a/*", second + "/h/b/*", "/h/a/*", "/h/b/*"}},
		"over the limit":  {of("h/a", "h/b"), 4, []string{transforms, second + "/h/*", "/h/*"}},
		"many accounts":   {of("h", "i"), 4, []string{everything}},
		"without a path":  {of("h/a", ""), 15, []string{everything}},
		"percent escapes": {of("h/a%2Fb"), 15, []string{transforms, second + "/h/*", "/h/*"}},
	} {
		if got := pathsOf(c.batch, c.most); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestJSONNamesURLs(t *testing.T) {
	t.Parallel()
	s := &Sender{Config: Config{Receiver: &Receiver{}, URLs: cfapi.URLs{Delivery: "https://i.example"}}}
	m, err := jsonMessage(s, []purges.Purge{{Tag: "t", Path: "h/a"}, {Tag: "t", Path: "h/b"}})
	const base = `"https://i.example`
	want := `{"tags":["t"],"urls":[` + base + `/cdn-cgi/image/*",` + base + `/cdn-cgi/imagedelivery/h/a/*",` +
		base + `/cdn-cgi/imagedelivery/h/b/*",` + base + `/h/a/*",` + base + `/h/b/*"]}`
	if err != nil || string(m.Body) != want || m.Header.Get("Authorization") != "" {
		t.Errorf("%s, %v, %v", m.Body, m.Header, err)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		form, list, token string
		fine              bool
	}{
		{"json", "https://a.example/x", "", true}, {"varnish", "http://10.0.0.1:6081,http://10.0.0.2:6081", "", true},
		{"cloudflare", "https://a.example/x", "abc", true}, {"cloudfront", "https://a.example/x", "", true},
		{"cloudflare", "https://a.example/x", "", false}, {"fastly", "https://a.example/x", "", false},
		{"bunny", "https://a.example/x", "", false}, {"json", "https://a.example/x", "a b", false},
		{"json", "https://a.example/x", "a\n", false}, {"akamai", "https://a.example/x", "", false},
		{"json", "", "", false}, {"json", "a.example", "", false}, {"json", "ftp://a.example", "", false},
		{"json", "https://a.example,", "", false}, {"cloudfront", "https://a.example,https://b.example", "", false},
	} {
		if err := check(c.form, c.list, c.token); (err == nil) != c.fine {
			t.Errorf("%+v: %v", c, err)
		}
	}
	for address, want := range map[string]string{
		"https://cloudfront.amazonaws.com/2020-05-31/": "us-east-1", "http://127.0.0.1:1/": "us-east-1",
		"https://cloudfront.cn-northwest-1.amazonaws.com.cn/": "cn-northwest-1",
	} {
		if got := regionOf(address); got != want {
			t.Errorf("%s: %s", address, got)
		}
	}
}
