package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"calotype/internal/imagefile/imagefiletest"
)

// A canary is a secret, and where it may be all the same.
type canary struct {
	name, value string
	inDatabase  bool
}

// mayLog reports whether a line of the log may hold the canary: those of uploads and deliveries name the
// creator, so that what one of them met can be found.
func (c canary) mayLog(line string) bool {
	return c.name == "creator" &&
		(strings.Contains(line, `"msg":"upload"`) || strings.Contains(line, `"msg":"delivery"`))
}

// TestRedaction runs a whole life, accidents included, and then looks for its secrets in all that
// the program printed, in its metrics and in every file that it keeps. Some of the secrets are sent
// as the ids of their requests too, which a client may mix up.
func TestRedaction(t *testing.T) {
	t.Parallel()
	address, flag := metricsAddress(t)
	s := newServer(t, flag, "-outbound-allow", "127.0.0.1")
	secrets := redactionLife(t, s)
	metrics := do(t, "GET", "http://"+address+"/metrics", nil).body
	s.stop()
	output := s.log.String()
	if len(output) < 2000 || len(metrics) < 2000 {
		t.Fatalf("too short to have anything in it:\n%s\n%s", output, metrics)
	}
	files := filesIn(t, s.data)
	if len(files) < 4 {
		t.Errorf("only %d files: %v", len(files), files)
	}
	for _, secret := range secrets {
		if len(secret.value) < 8 {
			t.Errorf("the %s is %q, too short to look for", secret.name, secret.value)
			continue
		}
		if bytes.Contains(metrics, []byte(secret.value)) {
			t.Errorf("the metrics hold the %s", secret.name)
		}
		for line := range strings.Lines(output) {
			if strings.Contains(line, secret.value) && !secret.mayLog(line) {
				t.Errorf("the log holds the %s: %s", secret.name, line)
			}
		}
		for _, path := range files {
			inDatabase := strings.HasPrefix(filepath.Base(path), "calotype.db")
			if inDatabase && secret.inDatabase {
				continue
			}
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(content, []byte(secret.value)) || strings.Contains(path, secret.value) {
				t.Errorf("%s holds the %s", path, secret.name)
			}
		}
	}
}

// redactionLife does all that is done with secrets and returns them.
func redactionLife(t *testing.T, s *server) []canary {
	t.Helper()
	secrets := []canary{
		{"token", token, false}, {"wrong token", "wrong-token-canary", false},
		{"X-Auth-Key", "auth-key-canary", false}, {"metadata", "metadata-canary", true},
		{"creator", "creator-canary", true}, {"Idempotency-Key", "idempotency-canary", false},
		{"unknown ticket", "UNKNOWNTICKETCANARY", false}, {"query", "query-canary", false},
		{"userinfo", "userinfo-canary", false}, {"cookie", "cookie-canary", false},
		{"wrong signature", strings.Repeat("5ec4e7", 10), false}, {"referrer", "referrer-canary", false},
	}
	secrets = append(secrets, redactionWebhook(t, s)...)
	secrets = append(secrets, redactionResumable(t, s)...)
	fields := []string{"requireSignedURLs", "true", "metadata", `{"k":"metadata-canary"}`,
		"creator", "creator-canary"}
	good := photo(t, 320, 240, 60)
	accepted, refused, forms := s.createUploadURL(fields...), s.createUploadURL(fields...), s.createUploadURL(fields...)
	for _, u := range []oneTimeURL{accepted, refused, forms} {
		_, ticket, _ := strings.Cut(u.UploadURL, "ticket=")
		secrets = append(secrets, canary{"ticket", ticket, false})
	}
	header := []string{"Cookie", "a=cookie-canary", "Referer", "https://x.example/?k=referrer-canary"}
	for range 11 {
		body, kind := fileForm(t, "a.jpg", []byte("no picture"))
		do(t, "POST", refused.UploadURL, body, append(header, "Content-Type", kind)...)
	}
	body, kind := fileForm(t, "a.jpg", good)
	a := do(t, "POST", accepted.UploadURL+"&x=query-canary", body, append(header,
		"Content-Type", kind, "Idempotency-Key", "idempotency-canary",
		"Authorization", "Bearer "+token)...)
	if a.status != http.StatusOK {
		t.Fatalf("status %d\n%s", a.status, a.body)
	}
	post(t, accepted.UploadURL, "a.jpg", good)
	post(t, withTicket(t, accepted.UploadURL, "UNKNOWNTICKETCANARY"), "a.jpg", good)
	for _, method := range []string{"GET", "PUT", "OPTIONS"} {
		do(t, method, forms.UploadURL, nil)
	}
	redactionIDs(t, s, forms.UploadURL)
	redactionCutOff(t, forms.UploadURL)
	for _, h := range [][2]string{
		{"Authorization", "Bearer wrong-token-canary"}, {"X-Auth-Key", "auth-key-canary"},
		{"Authorization", "Basic userinfo-canary"},
	} {
		s.apiAs(h[0], h[1], "images/v2?x=query-canary")
	}
	for _, path := range []string{
		"images/v2?meta.k=query-canary", "images/v1/query-canary", "nothing",
	} {
		s.api("GET", path, nil)
	}
	return append(secrets, redactionDeliveries(t, s, accepted.ID)...)
}

// redactionWebhook adds a webhook. Its receiver fails, then closes connections, then stops. The API's answers
// about it may hold no secret either.
func redactionWebhook(t *testing.T, s *server) []canary {
	t.Helper()
	var asked atomic.Int32
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		switch asked.Add(1) {
		case 1: // the test event
		case 2:
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprint(w, "answer-canary")
		default:
			panic(http.ErrAbortHandler)
		}
	}))
	var refusals []string
	ask := func(method, path, format string, args ...any) (result struct {
		ID            string
		SigningSecret string `json:"signing_secret"`
	}) {
		t.Helper()
		a := s.api(method, "alerting/v3/"+path, strings.NewReader(fmt.Sprintf(format, args...)))
		if a.status != http.StatusOK && a.status != http.StatusCreated {
			refusals = append(refusals, string(a.body))
			return result
		}
		if err := json.Unmarshal(a.envelope(t).Result, &result); err != nil {
			t.Fatal(err)
		}
		return result
	}
	const hooks = "destinations/webhooks"
	made := ask("POST", hooks, `{"name": "x", "url": "%s/hook-canary?key=hook-parameter-canary",
		"secret": "webhook-secret-canary"}`, receiver.URL)
	hook := hooks + "/" + made.ID
	ask("POST", "policies", `{"name": "x", "enabled": true, "alert_type": "image_notification",
		"mechanisms": {"webhooks": [{"id": "%s"}]}}`, made.ID)
	stream := ask("PUT", "streams/dev", "")
	s.uploaded(photo(t, 320, 240, 62))
	s.awaitLog(`"status":500`)
	ask("POST", hook+"/test", "")
	receiver.Close()
	ask("PUT", hook, `{"url": "%s/other-hook-canary", "secret": "other-secret-canary"}`, receiver.URL)
	ask("POST", hook+"/test", "")
	for _, refused := range []string{"http://user:other-hook-canary@x.example/", "ftp://x/other-hook-canary",
		"http://x.example:port/other-hook-canary", "http://169.254.169.254/other-hook-canary"} {
		ask("POST", hooks, `{"name": "y", "url": "%s", "secret": "other-secret-canary"}`, refused)
	}
	rotated := ask("POST", hook+"/signing_secret", "")
	if len(refusals) != 7 {
		t.Errorf("%d requests were refused, want 7: %q", len(refusals), refusals)
	}
	secrets := []canary{
		{"webhook's URL", "/hook-canary", true}, {"webhook's query", "hook-parameter-canary", true},
		{"webhook's secret", "webhook-secret-canary", true}, {"answer", "answer-canary", true},
		{"refused URL", "other-hook-canary", false}, {"refused secret", "other-secret-canary", false},
	}
	for name, secret := range map[string]string{"a webhook's": made.SigningSecret,
		"the new": rotated.SigningSecret, "a stream's": stream.SigningSecret} {
		secrets = append(secrets, canary{name + " signing secret",
			strings.TrimPrefix(secret, "whsec_"), true})
	}
	for _, secret := range secrets {
		for _, refusal := range refusals {
			if strings.Contains(refusal, secret.value) {
				t.Errorf("a refusal holds the %s: %s", secret.name, refusal)
			}
		}
	}
	return secrets
}

// redactionResumable uploads over tus and over the IETF's protocol, with accidents: the secrets are in paths.
func redactionResumable(t *testing.T, s *server) (secrets []canary) {
	t.Helper()
	good, ask := photo(t, 640, 480, 62), must(t)
	for _, by := range []string{"tus", "resumable"} {
		for _, content := range [][]byte{good, bytes.Repeat([]byte("no picture "), 5000)} {
			u := s.createUploadURL("creator", "creator-canary")
			_, ticket, _ := strings.Cut(u.UploadURL, "ticket=")
			tus, ietf := tusUpload{}, &ietfUpload{version: "8"}
			if by == "tus" {
				tus, _, _ = newTus(t.Context(), u.UploadURL, "a.jpg", len(content), content[:20_000])
				ietf.url = tus.url
			} else {
				ask(ietf.create(t.Context(), "POST", u.UploadURL, "a.jpg", content[:20_000], false))
				tus.url = ietf.url
			}
			secret := tus.url[strings.LastIndex(tus.url, "/")+1:]
			secrets = append(secrets, canary{"ticket", ticket, false}, canary{by + " secret", secret, false})
			header := []string{"Tus-Resumable", "1.0.0", "X-Request-Id", secret}
			for _, method := range []string{"HEAD", "GET", "OPTIONS", "PATCH", "PROPFIND"} {
				a := do(t, method, tus.url, nil, header...)
				if got := a.header.Get("X-Request-Id"); got == "" || strings.Contains(got, secret) {
					t.Errorf("%s: the request id is %q", method, got)
				}
			}
			do(t, "GET", tus.url+"/blob?sig="+secret, nil)
			do(t, "GET", s.url+"/upload/"+by+"/"+secret+"%00", nil)
			redactionCutOff(t, tus.url)
			conn := dial(t, tus.url)
			fmt.Fprintf(conn, "PATCH /upload/%s/%s HTTP/1.1\r\nHost: h\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 20000\r\n"+
				"Upload-Complete: ?1\r\nContent-Type: application/partial-upload\r\nContent-Length: %d\r\n\r\nx", by, secret,
				len(content)-20_000)
			conn.Close()
			var a answer
			waitFor(t, func() bool { // the server may read the request that was cut off after the HEAD
				h := do(t, "HEAD", tus.url, nil, "Tus-Resumable", "1.0.0")
				offset, err := strconv.Atoi(h.header.Get("Upload-Offset"))
				switch {
				case err != nil:
				case by == "tus":
					a = ask(tus.patch(t.Context(), offset, content[offset:]))
				default:
					a = ask(ietf.patch(t.Context(), offset, content[offset:], true))
				}
				return err == nil && a.status != http.StatusConflict && a.status != http.StatusLocked
			})
			if (a.status == http.StatusOK) != bytes.Equal(content, good) {
				t.Errorf("%s: %d %s", by, a.status, a.body)
			}
			do(t, "DELETE", tus.url, nil, "Tus-Resumable", "1.0.0")
		}
	}
	return secrets
}

// redactionIDs sends secrets as ids of the requests that they belong to. The log, which is looked
// through, has the ids that were given in their place.
func redactionIDs(t *testing.T, s *server, uploadURL string) {
	t.Helper()
	_, ticket, _ := strings.Cut(uploadURL, "ticket=")
	wrong := strings.Repeat("5ec4e7", 10)
	list := s.url + "/client/v4/accounts/" + accountID + "/images/v2"
	picture := s.url + "/" + accountHashOf(accountID) + "/x/public?sig=" + wrong
	for _, c := range [][]string{
		{"POST", uploadURL, ticket}, {"OPTIONS", uploadURL, ticket}, {"GET", picture, wrong},
		{"POST", uploadURL, "idempotency-canary", "Idempotency-Key", "idempotency-canary"},
		{"GET", list, token, "Authorization", "Bearer " + token},
		{"GET", list, "wrong-token-canary", "X-Auth-Key", "wrong-token-canary"},
		{"GET", strings.Replace(list, "://", "://userinfo-canary:x@", 1), "userinfo-canary"},
		{"GET", s.url + "/nothing", "cookie-canary", "Cookie", "a=cookie-canary"},
		{"GET", s.url + "/readyz?query-canary", "query-canary"},
	} {
		a := do(t, c[0], c[1], nil, append([]string{"X-Request-Id", c[2]}, c[3:]...)...)
		if got := a.header.Get("X-Request-Id"); got == "" || strings.Contains(got, c[2]) {
			t.Errorf("%s: the request id is %q", c[0], got)
		}
	}
}

// apiAs calls the API with another header than the token's.
func (s *server) apiAs(name, value, path string) {
	do(s.t, "GET", s.url+"/client/v4/accounts/"+accountID+"/"+path, nil, name, value)
}

// redactionCutOff ends a connection in the middle of a body, and sends what is no HTTP.
func redactionCutOff(t *testing.T, uploadURL string) {
	t.Helper()
	before, _ := formFrame()
	conn := dial(t, uploadURL)
	sendHead(t, conn, uploadURL, 1<<20)
	fmt.Fprint(conn, before)
	conn.Close()
	conn = dial(t, uploadURL)
	fmt.Fprintf(conn, "GET %s\r\nno: http\r\n\r\n", uploadURL)
	conn.Close()
}

// redactionDeliveries asks for a private image with good and bad signatures, then takes its
// original away, so that the server fails.
func redactionDeliveries(t *testing.T, s *server, id string) []canary {
	t.Helper()
	key, err := s.signingKey()
	if err != nil {
		t.Fatal(err)
	}
	path := "/" + accountHashOf(accountID) + "/" + id + "/public"
	exp := fmt.Sprintf("exp=%d", time.Now().Add(time.Hour).Unix())
	other := s.uploaded(photo(t, 320, 240, 61), "requireSignedURLs", "true")
	targets := []string{signed(key, path, exp), signed(key, path, "exp=1000000000"),
		signed(key, path, ""), signed(key, strings.Replace(path, id, other, 1), exp)}
	for i, want := range []int{200, 403, 200, 200} {
		if a := do(t, "GET", s.url+targets[i], nil); a.status != want {
			t.Errorf("status %d, want %d: %s", a.status, want, a.body)
		}
	}
	do(t, "GET", s.url+path+"?sig="+strings.Repeat("5ec4e7", 10), nil)
	do(t, "GET", "http://userinfo-canary:x@"+strings.TrimPrefix(s.url, "http://")+path, nil)
	damage := func(do func(path string) error) {
		t.Helper()
		for _, path := range filesIn(t, filepath.Join(s.data, "blobs")) {
			if filepath.Base(path) == "calotype-installation" {
				continue
			}
			if err := do(path); err != nil {
				t.Fatal(err)
			}
		}
	}
	damage(func(path string) error { return os.Truncate(path, 10) })
	a := do(t, "GET", s.url+targets[0], nil, "Accept", "image/webp")
	wantDeliveryRefusal(t, a, http.StatusUnprocessableEntity, 9516)
	damage(os.Remove)
	a = do(t, "GET", s.url+targets[3], nil, "Accept", "image/webp")
	wantDeliveryRefusal(t, a, http.StatusInternalServerError, 9523)
	s.awaitLog(`"level":"ERROR"`) // a lost original is an error
	secrets := []canary{{"signing key", key, true}}
	for _, target := range targets {
		_, sig, _ := strings.Cut(target, "sig=")
		secrets = append(secrets, canary{"signature", sig, false})
	}
	return secrets
}

// TestNoMetadataDelivered uploads the pictures of the corpus that hold strings in every block of
// metadata, or a payload beside the picture, and looks for them in what is delivered.
func TestNoMetadataDelivered(t *testing.T) {
	t.Parallel()
	dir := imagefiletest.Corpus(t)
	shared := newServer(t)
	var files []string
	for _, pattern := range []string{"metadata-canary/*", "polyglot/gif-js*", "polyglot/jpeg-*"} {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		files = append(files, found...)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			s := shared.in(t)
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Contains(content, []byte("CANARY-")) {
				t.Fatal("the file holds no canary")
			}
			id := s.uploaded(content)
			for _, accept := range []string{"*/*", "image/webp", "image/avif,image/webp,*/*"} {
				a := do(t, "GET", s.public(id), nil, "Accept", accept)
				kind := a.header.Get("Content-Type")
				if a.status != http.StatusOK || !strings.HasPrefix(kind, "image/") ||
					a.header.Get("X-Content-Type-Options") != "nosniff" {
					t.Errorf("%s: status %d, %v", accept, a.status, a.header)
				}
				for _, trace := range []string{"CANARY-S-", "CANARY-POLYGLOT", "<script", "<?php", "GPSL"} {
					if bytes.Contains(a.body, []byte(trace)) {
						t.Errorf("%s as %s holds %s", filepath.Base(file), kind, trace)
					}
				}
			}
		})
	}
}
