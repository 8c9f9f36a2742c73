package e2e

import (
	"bytes"
	"image/jpeg"
	"net/http"
	"strings"
	"testing"
)

// savedAgain decodes a JPEG and encodes it with a low quality.
func savedAgain(t *testing.T, picture []byte) []byte {
	t.Helper()
	decoded, err := jpeg.Decode(bytes.NewReader(picture))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, decoded, &jpeg.Options{Quality: 40}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestBlockedPicture: a picture on the list of the account is refused by each way, its look-alike too, and both are
// accepted by the same URL after the deletion of the entry.
func TestBlockedPicture(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	picture := photo(t, 320, 240, 7)
	alike := savedAgain(t, picture)
	body, contentType := fileForm(t, "a.jpg", picture)
	var stored struct {
		ID       string
		Original struct{ Phash, SHA256 string }
	}
	err := unmarshalResult(s.api("POST", "images/v1", body, "Content-Type", contentType), &stored)
	if err != nil || len(stored.Original.Phash) != 16 {
		t.Fatalf("%+v, %v", stored, err)
	}
	var list struct{ Images []struct{ ID string } }
	for _, query := range []string{"near=" + stored.Original.Phash, "sha256=" + stored.Original.SHA256} {
		err := unmarshalResult(s.api("GET", "images/v2?"+query, nil), &list)
		if err != nil || len(list.Images) != 1 || list.Images[0].ID != stored.ID {
			t.Errorf("%s: %+v, %v", query, list, err)
		}
	}
	entry := "images/v2/blocked/" + stored.Original.Phash
	for _, w := range ways {
		u := s.createUploadURL()
		if a := s.api("PUT", entry, strings.NewReader(`{"note": "case 17"}`)); a.status != http.StatusOK {
			t.Fatalf("%d %s", a.status, a.body)
		}
		for n, content := range [][]byte{picture, alike} {
			a, err := w.send(t.Context(), u.UploadURL, "a.jpg", content)
			if err != nil {
				t.Fatal(err)
			}
			wantRefusal(t, a, http.StatusUnprocessableEntity, 5457)
			if bytes.Contains(a.body, []byte("case 17")) {
				t.Errorf("%s: the uploader reads the note: %s", w.name, a.body)
			}
			var draft struct {
				Draft  bool
				Upload struct {
					Attempts  int
					LastError struct{ Code int }
				}
			}
			if err := unmarshalResult(s.api("GET", "images/v1/"+u.ID, nil), &draft); err != nil || !draft.Draft ||
				draft.Upload.Attempts != n+1 || draft.Upload.LastError.Code != 5457 {
				t.Errorf("%s: the draft is %+v, %v", w.name, draft, err)
			}
		}
		if a := s.api("DELETE", entry, nil); a.status != http.StatusOK {
			t.Fatalf("%d %s", a.status, a.body)
		}
		a, err := w.send(t.Context(), u.UploadURL, "a.jpg", alike)
		if p, ok := s.image(u.ID); err != nil || a.status != http.StatusOK || !ok || p.Draft {
			t.Errorf("%s: %d %s, %v", w.name, a.status, a.body, err)
		}
	}
	// A restart and a backup have the list: they are the database's.
	s.api("PUT", entry, nil)
	s.kill()
	s.start()
	wantRefusal(t, post(t, s.createUploadURL().UploadURL, "a.jpg", picture), http.StatusUnprocessableEntity, 5457)
}
