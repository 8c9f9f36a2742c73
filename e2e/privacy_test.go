package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"calotype/internal/imagefile"
	"calotype/internal/imagefile/imagefiletest"
	"calotype/internal/sqldb/sqldbtest"
)

// keptCanaries are the strings of the corpus in fields that each setting keeps, and the beginning of their block.
var keptCanaries = map[imagefile.Privacy][]string{
	imagefile.PrivacyGPS: {"CANARY-S-ARTIST", "CANARY-S-COPYRIGHT", "CANARY-S-USERCOMMENT", "Exif\x00\x00"},
	imagefile.PrivacyAll: {"CANARY-S-ARTIST", "CANARY-S-COPYRIGHT", "Exif\x00\x00"},
}

// wantNoCanary checks that content has no other metadata than the setting keeps.
func wantNoCanary(t *testing.T, name string, content []byte, p imagefile.Privacy) {
	t.Helper()
	for _, kept := range keptCanaries[p] {
		content = bytes.ReplaceAll(content, []byte(kept), nil)
	}
	if found := canariesIn(content); len(found) > 0 {
		t.Errorf("%s, %s: %v", name, p, found)
	}
}

// locatedPictures are the pictures of the corpus with a position and canaries in each block of metadata.
func locatedPictures(t *testing.T) (names []string, contents [][]byte) {
	paths, err := filepath.Glob(filepath.Join(imagefiletest.Corpus(t), "metadata-canary", "*"))
	if err != nil || len(paths) < 6 {
		t.Fatalf("%d pictures with canaries, %v", len(paths), err)
	}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		names, contents = append(names, filepath.Base(path)), append(contents, content)
	}
	return names, contents
}

// TestPrivacyAtRest uploads pictures with positions in each format by each way, kills the server in between, and
// searches each stored and each delivered byte.
func TestPrivacyAtRest(t *testing.T) {
	t.Parallel()
	for _, p := range []imagefile.Privacy{imagefile.PrivacyGPS, imagefile.PrivacyAll} {
		t.Run("sqlite/"+string(p), func(t *testing.T) {
			t.Parallel()
			privacyAtRest(t, newServer(t), p)
		})
		t.Run("postgres/"+string(p), func(t *testing.T) {
			t.Parallel()
			privacyAtRest(t, newServer(t, "-db", sqldbtest.Postgres(t)), p)
		})
	}
}

func privacyAtRest(t *testing.T, s *server, p imagefile.Privacy) {
	s.configured("PATCH", "images/v1/config", fmt.Sprintf(`{"strip_originals":%q}`, p))
	names, contents := locatedPictures(t)
	for i, content := range contents {
		way := ways[i%len(ways)]
		u := s.createUploadURL()
		a, err := way.send(t.Context(), u.UploadURL, names[i], content)
		if err != nil || a.status > 299 {
			t.Fatalf("%s by %s: status %d, %v\n%s", names[i], way.name, a.status, err, a.body)
		}
		body, kind := fileForm(t, names[i], content)
		if a := s.api("POST", "images/v1", body, "Content-Type", kind); a.status != http.StatusOK {
			t.Fatalf("%s by the API: status %d\n%s", names[i], a.status, a.body)
		}
	}
	for round := range 4 {
		s.killedInUploads(names, contents, time.Duration(round)*40*time.Millisecond)
	}
	s.wantPrivate(p, len(contents))
}

// killedInUploads kills the server after a time of uploads, and completes them with a new one.
func (s *server) killedInUploads(names []string, contents [][]byte, after time.Duration) {
	s.t.Helper()
	var urls []oneTimeURL
	for range contents {
		urls = append(urls, s.createUploadURL())
	}
	var all sync.WaitGroup
	for i, content := range contents {
		all.Go(func() {
			_, _ = ways[i%len(ways)].send(context.Background(), urls[i].UploadURL, names[i], content) // it may be killed
		})
	}
	time.Sleep(after) // a moment of the kill, not a condition: each one must be safe
	s.killWithWorkers()
	all.Wait()
	s.start()
	for i, content := range contents {
		a := post(s.t, s.here(urls[i].UploadURL), names[i], content)
		if a.status != http.StatusOK && a.status != http.StatusConflict {
			s.t.Errorf("%s after the kill: status %d\n%s", names[i], a.status, a.body)
		}
	}
}

// wantPrivate searches the data folder, the originals and deliveries of all images.
func (s *server) wantPrivate(p imagefile.Privacy, least int) {
	s.t.Helper()
	images := s.list()
	if len(images) < 3*least {
		s.t.Errorf("%d images are listed only", len(images))
	}
	for _, img := range images {
		original := s.stored(img.ID)
		wantNoCanary(s.t, "the original "+*img.Filename, original, p)
		sum := sha256.Sum256(original)
		if img.Original.SHA256 != hex.EncodeToString(sum[:]) || !slices.Contains(img.Original.Stripped, "gps") &&
			img.Original.Format != "gif" {
			s.t.Errorf("%s: sha256 %s, stripped %v", *img.Filename, img.Original.SHA256, img.Original.Stripped)
		}
		h, err := imagefile.ReadHeader(bytes.NewReader(original), int64(len(original)))
		if err != nil {
			s.t.Fatal(err)
		}
		var rest bytes.Buffer
		left, err := imagefile.StripOriginal(&rest, bytes.NewReader(original), int64(len(original)), h, p)
		if err != nil || len(left) > 0 || !bytes.Equal(rest.Bytes(), original) {
			s.t.Errorf("%s: %v is left, %v", *img.Filename, left, err)
		}
		if a := do(s.t, "GET", s.public(img.ID), nil); a.status != http.StatusOK || len(canariesIn(a.body)) > 0 {
			s.t.Errorf("%s is delivered with status %d and %v", *img.Filename, a.status, canariesIn(a.body))
		}
	}
	err := filepath.WalkDir(s.data, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		wantNoCanary(s.t, path, content, p)
		return err
	})
	if err != nil {
		s.t.Error(err)
	}
}
