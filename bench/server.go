package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	accountID = "0000000000000000000000000000bec0"
	apiToken  = "bench-token"
)

// A server is a Calotype on a separate folder.
type server struct {
	*process
	profile string // the file that a profile of it is written to
}

// startServer starts the server under measurement. name is that of its folder; database is a
// postgres:// URL or "". flags are further flags.
func (b *bench) startServer(name, database string, flags ...string) (*server, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	s := &server{profile: filepath.Join(b.scratch, name+".profile")}
	env := []string{
		"CALOTYPE_ACCOUNT_ID=" + accountID,
		"CALOTYPE_API_TOKEN=" + apiToken, "CALOTYPE_DB=" + database,
		"CALOTYPE_DISK_RESERVE=256MiB", "CALOTYPE_OUTBOUND_ALLOW=127.0.0.0/8",
		"CALOTYPE_PROFILE=" + s.profile, "CALOTYPE_MISS_RATE=0",
	}
	data := filepath.Join(b.scratch, name)
	s.process, err = startProcess(address, "/readyz", filepath.Join(b.scratch, name+".log"), env, b.calotype,
		append([]string{"serve", "-listen", address, "-data", data}, flags...)...)
	if err != nil {
		return nil, err
	}
	// A round may have more requests than an account may send in a minute.
	_, err = runCommand(b.calotype, "account", "set", accountID, "--max-edits=none", "--max-kept=none",
		"--data="+data, "--db="+database)
	if err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

func (s *server) draftRequest() request {
	path := "/client/v4/accounts/" + accountID +
		"/images/v2/direct_upload"
	return request{head: "POST " + path + " HTTP/1.1\r\nHost: " + s.address +
		"\r\nAuthorization: Bearer " + apiToken + "\r\nContent-Length: 0\r\n\r\n"}
}

// drafts asks for n one-time URLs and returns their paths with the query.
func (s *server) drafts(n int) ([]string, error) {
	paths := make([]string, n)
	_, _, err := s.send(4, n, http.StatusOK, func(int) request { return s.draftRequest() },
		func(i int, a answer) error {
			var e struct{ Result struct{ UploadURL string } }
			if err := json.Unmarshal(a.body, &e); err != nil {
				return err
			}
			path, ok := strings.CutPrefix(e.Result.UploadURL, s.base())
			if !ok {
				return fmt.Errorf("the upload URL is not on %s", s.base())
			}
			paths[i] = path
			return nil
		})
	return paths, err
}

// A form is a multipart body with one file in it.
type form struct {
	contentType string
	body        []byte
}

func newForm(picture []byte) (form, error) {
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	part, err := w.CreateFormFile("file", "photograph.jpg")
	if err != nil {
		return form{}, err
	}
	if _, err := part.Write(picture); err != nil {
		return form{}, err
	}
	err = w.Close() // writes the end
	return form{w.FormDataContentType(), body.Bytes()}, err
}

func (s *server) uploadRequest(path string, f form) request {
	return request{
		head: fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: %s\r\n"+
			"Content-Length: %d\r\n\r\n", path, s.address, f.contentType, len(f.body)),
		body: f.body,
	}
}

// upload uploads a picture and returns the path of its variant.
func (s *server) upload(picture []byte) (string, error) {
	drafts, err := s.drafts(1)
	if err != nil {
		return "", err
	}
	f, err := newForm(picture)
	if err != nil {
		return "", err
	}
	response, err := http.Post(s.base()+drafts[0], f.contentType, bytes.NewReader(f.body))
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return "", err
	}
	return s.variantOf(body)
}

// variantOf returns the path of the variant in the answer of an upload.
func (s *server) variantOf(body []byte) (string, error) {
	var e struct{ Result struct{ Variants []string } }
	if err := json.Unmarshal(body, &e); err != nil {
		return "", fmt.Errorf("an upload failed: %s: %w", body, err)
	}
	if len(e.Result.Variants) == 0 {
		return "", fmt.Errorf("an upload failed: %s", body)
	}
	return strings.TrimPrefix(e.Result.Variants[0], s.base()), nil
}

// pictureRequest asks for a picture as a browser does.
func pictureRequest(address, path, accept string) request {
	return request{head: "GET " + path + " HTTP/1.1\r\nHost: " + address +
		"\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0" +
		"\r\nAccept: " + accept + "\r\nAccept-Language: en-GB,en;q=0.7\r\n" +
		"Accept-Encoding: gzip, deflate, br, zstd\r\nReferer: https://www.example.com/\r\n" +
		"Connection: keep-alive\r\nSec-Fetch-Dest: image\r\nSec-Fetch-Mode: no-cors\r\n" +
		"Sec-Fetch-Site: cross-site\r\n\r\n"}
}

// What browsers accept, and what those do that know JPEG only.
const (
	acceptAVIF = "image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5"
	acceptWebP = "image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5"
	acceptJPEG = "image/*,*/*;q=0.8"
)

func (s *server) get(path, accept string) ([]byte, error) {
	var body []byte
	_, _, err := s.send(1, 1, http.StatusOK,
		func(int) request { return pictureRequest(s.address, path, accept) },
		func(_ int, a answer) error { body = a.body; return nil })
	return body, err
}

// profiled runs work while the server writes a CPU profile of itself, kept under a name.
func (b *bench) profiled(s *server, name string, work func() error) error {
	if err := s.cmd.Process.Signal(syscall.SIGUSR2); err != nil {
		return err
	}
	if err := awaitFile(s.profile + ".unfinished"); err != nil {
		return err
	}
	if err := errors.Join(work(), s.cmd.Process.Signal(syscall.SIGUSR2)); err != nil {
		return err
	}
	if err := awaitFile(s.profile); err != nil {
		return err
	}
	return os.Rename(s.profile, filepath.Join(b.profiles, name+".pprof"))
}

func awaitFile(path string) error {
	for range 300 {
		if _, err := os.Stat(path); err == nil {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return fmt.Errorf("there is no profile at %s", path)
}
