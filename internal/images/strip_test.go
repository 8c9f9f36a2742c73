package images_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/errs"
	"calotype/internal/imagefile"
	"calotype/internal/imagefile/imagefiletest"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/uploadpolicy"
)

const secretPlace = "CANARY-60.1699N-24.9384E"

// located returns a JPEG with secretPlace in its GPS fields, in a comment and behind the picture, and "Ann Example" as
// its artist, and a camera model.
func located(t testing.TB, seed int) []byte {
	gps := imagefiletest.Join([]byte("II\x2a\x00\x08\x00\x00\x00\x03\x00"),
		[]byte("\x10\x01\x02\x00\x0c\x00\x00\x00\x46\x00\x00\x00"), // Model at 70
		[]byte("\x3b\x01\x02\x00\x0c\x00\x00\x00\x3a\x00\x00\x00"), // Artist at 58
		[]byte("\x25\x88\x04\x00\x01\x00\x00\x00\x52\x00\x00\x00"), // GPS directory at 82
		make([]byte, 12), []byte("Ann Example\x00"), []byte("Camera 9000\x00"),
		[]byte("\x01\x00\x1b\x00\x02\x00\x18\x00\x00\x00\x64\x00\x00\x00\x00\x00\x00\x00"), []byte(secretPlace))
	picture := imagestest.JPEG(t, seed)
	return imagefiletest.Join(picture[:2], imagefiletest.JPEGSegment(0xe1, append([]byte("Exif\x00\x00"), gps...)),
		imagefiletest.JPEGSegment(0xfe, []byte(secretPlace)), picture[2:], []byte(secretPlace))
}

// setPrivacy sets what is removed from the originals of the account.
func setPrivacy(t *testing.T, core *imagestest.Core, p imagefile.Privacy) {
	t.Helper()
	_, err := core.Accounts.Configure(t.Context(), imagestest.AccountID, accounts.SettingsChange{StripOriginals: &p})
	if err != nil {
		t.Fatal(err)
	}
}

// wantStripped checks the stored bytes and the Original of an image whose uploaded bytes are sent.
func wantStripped(t *testing.T, core *imagestest.Core, img images.Image, sent []byte, p imagefile.Privacy) {
	t.Helper()
	stored, o := imagestest.Stored(t, core, img.ID), img.Original
	sum, came := sha256.Sum256(stored), sha256.Sum256(sent)
	if o.SHA256 != hex.EncodeToString(sum[:]) || o.Size != int64(len(stored)) ||
		o.ReceivedSHA256() != hex.EncodeToString(came[:]) {
		t.Errorf("%s: the hashes or the size are those of other bytes: %+v", p, o)
	}
	contains := func(s string) bool { return bytes.Contains(stored, []byte(s)) }
	var want []string
	switch p {
	case imagefile.PrivacyNone:
		if !bytes.Equal(stored, sent) {
			t.Errorf("%s: the stored bytes are not those that came", p)
		}
	case imagefile.PrivacyGPS:
		want = []string{imagefile.RemovedGPS, imagefile.RemovedText, imagefile.RemovedTrailing}
	default:
		want = []string{imagefile.RemovedExif, imagefile.RemovedGPS, imagefile.RemovedText, imagefile.RemovedTrailing}
	}
	if !slices.Equal(o.Stripped, want) || (o.Stripped == nil) != (p == imagefile.PrivacyNone) {
		t.Errorf("%s: stripped is %v, want %v", p, o.Stripped, want)
	}
	if contains(secretPlace) != (p == imagefile.PrivacyNone) || contains("Camera 9000") != (p != imagefile.PrivacyAll) ||
		!contains("Ann Example") {
		t.Errorf("%s: the stored bytes have the wrong metadata", p)
	}
}

// TestStripOriginals: the setting of the account, or that of the ticket, decides for each way of upload.
func TestStripOriginals(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		ctx := t.Context()
		sent := located(t, 1)
		for _, of := range imagefile.Privacies {
			setPrivacy(t, core, of)
			img, err := imagestest.Create(t, core, imagestest.AccountID, images.NewDraft{}, sent)
			if err != nil {
				t.Fatal(err)
			}
			wantStripped(t, core, img, sent, of)
			body, err := core.BeginImage(imagestest.AccountID, -1)
			if err != nil {
				t.Fatal(err)
			}
			defer body.Close()
			body.Write(sent)
			imported, err := body.Import(ctx, images.ImportedImage{ID: "imported/" + string(of),
				Uploaded: time.Now(), SHA256: img.Original.ReceivedSHA256()}, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			wantStripped(t, core, imported, sent, of)
			for _, own := range append([]imagefile.Privacy{""}, imagefile.Privacies...) {
				want := own
				if own == "" {
					want = of
				}
				for _, uses := range []int{1, 2} {
					policy := uploadpolicy.Policy{StripOriginal: own, Uses: uses}
					d := images.NewDraft{Policy: json.RawMessage(policy.Text())}
					wantStripped(t, core, imagestest.Upload(t, core, d, sent), sent, want)
				}
				policy := uploadpolicy.Policy{StripOriginal: own, Uses: 1}
				d := images.NewDraft{Policy: json.RawMessage(policy.Text())}
				_, ticket := imagestest.Draft(t, core, d)
				_, secret := newPartial(t, core, images.NewPartial{Ticket: ticket, Length: -1})
				request := at(0)
				request.Complete = true
				p, err := send(ctx, core, secret, request, sent)
				if err != nil {
					t.Fatal(err)
				}
				wantStripped(t, core, p.Image.Image, sent, want)
				// Clients compare the offset with what they have sent.
				for _, p := range []images.Partial{p, state(t, core, secret)} {
					if p.Offset != int64(len(sent)) || p.Length != p.Offset {
						t.Errorf("%s: the offset is %d and the length %d of %d", want, p.Offset, p.Length, len(sent))
					}
				}
			}
		}
		imagestest.CheckUsage(t, core)
	})
}

// TestRepeatOfAStrippedUpload: a repeat is recognized by the bytes that came.
func TestRepeatOfAStrippedUpload(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		setPrivacy(t, core, imagefile.PrivacyAll)
		for _, uses := range []int{1, 3} {
			policy := uploadpolicy.Policy{Uses: uses}
			d := images.NewDraft{Policy: json.RawMessage(policy.Text())}
			_, ticket := imagestest.Draft(t, core, d)
			r := images.UploadRequest{Ticket: ticket, IdempotencyKey: "key"}
			first, err := imagestest.Post(t.Context(), core, r, located(t, 1))
			if err != nil {
				t.Fatal(err)
			}
			again, err := imagestest.Post(t.Context(), core, r, located(t, 1))
			if err != nil || again.Key != first.Key {
				t.Errorf("%d uses: the repeat answers %s, %v; want %s", uses, again.Key, err, first.Key)
			}
			_, err = imagestest.Post(t.Context(), core, r, located(t, 2))
			imagestest.WantKind(t, err, errs.TicketUsed)
			// The stored bytes are another file.
			_, err = imagestest.Post(t.Context(), core, r, imagestest.Stored(t, core, first.ID))
			imagestest.WantKind(t, err, errs.TicketUsed)
		}
	})
}

// TestPartsAreEncrypted: no byte of a resumable upload can be read in the store or in the spool before its end.
func TestPartsAreEncrypted(t *testing.T) {
	t.Parallel()
	core := imagestest.New(t)
	sent := bytes.Repeat([]byte(secretPlace), 3<<20/len(secretPlace))
	sent = append(located(t, 1), sent...)
	_, secret := newPartial(t, core, images.NewPartial{Length: int64(len(sent))})
	a := beginAppend(t, core, secret, at(0))
	defer a.Close()
	if _, err := a.Write(sent[:len(sent)-1000]); err != nil {
		t.Fatal(err)
	}
	stored := 0
	for _, path := range imagestest.Files(t, core.Dir) {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, []byte(secretPlace[:12])) || bytes.Contains(b, []byte(secret)) {
			t.Errorf("%s is not encrypted", path)
		}
		if len(b) > 1<<19 && !strings.Contains(path, "calotype.db") {
			stored++
		}
	}
	if stored < 3 {
		t.Errorf("%d files of parts were found only", stored)
	}
	if err := a.Interrupt(t.Context()); err != nil {
		t.Fatal(err)
	}
	offset := state(t, core, secret).Offset
	p, err := send(t.Context(), core, secret, at(int(offset)), sent[offset:])
	if err != nil || p.Image == nil {
		t.Fatalf("the rest: %+v, %v", p, err)
	}
	if got := imagestest.Stored(t, core, p.Image.ID); !bytes.Equal(got, sent) {
		t.Errorf("the original has %d bytes that differ from the %d sent", len(got), len(sent))
	}
	wantNothingLeft(t, core, 1)
}

// TestStrippingTheLargestUpload: the copy of an upload of the largest size fits into the smallest spool.
func TestStrippingTheLargestUpload(t *testing.T) {
	t.Parallel()
	const most = 1 << 20
	core := imagestest.Open(t, images.Config{MaxUploadBytes: most, SpoolBytes: images.LeastSpool(most)},
		filepath.Join(t.TempDir(), "calotype.db"))
	setPrivacy(t, core, imagefile.PrivacyAll)
	sent := append(located(t, 1), make([]byte, most)...)[:most]
	img := imagestest.Upload(t, core, images.NewDraft{}, sent)
	wantStripped(t, core, img, sent, imagefile.PrivacyAll)
	_, secret := newPartial(t, core, images.NewPartial{Length: most})
	p, err := send(t.Context(), core, secret, at(0), sent)
	if err != nil || p.Image == nil {
		t.Errorf("a resumable upload of the largest size: %v", err)
	}
}

// TestRefusalsOfStrippedUploads: bodies that differ only in what is removed count as refusals each, and a repeat of one
// counts once.
func TestRefusalsOfStrippedUploads(t *testing.T) {
	t.Parallel()
	core := imagestest.New(t)
	setPrivacy(t, core, imagefile.PrivacyAll)
	_, ticket := imagestest.Draft(t, core, images.NewDraft{})
	damaged := located(t, 1)
	damaged = append(damaged[:len(damaged)-len(secretPlace)-400:len(damaged)-len(secretPlace)-400], 0xff, 0xd9)
	for i := range 10 {
		body := append(bytes.Clone(damaged), fmt.Sprint("behind ", i)...)
		for range 2 {
			_, err := imagestest.Post(t.Context(), core, images.UploadRequest{Ticket: ticket}, body)
			if i == 9 && errs.AsError(err).Kind == errs.TicketInvalid {
				continue
			}
			imagestest.WantKind(t, err, errs.Undecodable)
		}
		img, err := core.DraftOfTicket(t.Context(), ticket)
		if err != nil || img.Ticket.Refusals != i+1 {
			t.Fatalf("%d bodies: %d refusals, %v", i+1, img.Ticket.Refusals, err)
		}
	}
}

// TestStrippingAnSVG: it is stored in its sanitised form.
func TestStrippingAnSVG(t *testing.T) {
	t.Parallel()
	core := imagestest.New(t)
	setPrivacy(t, core, imagefile.PrivacyGPS)
	svg := []byte(`<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><!-- ` + secretPlace + ` --><metadata>` +
		secretPlace + `</metadata><rect width="9" height="9" fill="red"/></svg>`)
	img := imagestest.Upload(t, core, images.NewDraft{}, svg)
	_, r, err := core.OpenOriginal(t.Context(), imagestest.AccountID, img.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got, err := io.ReadAll(r)
	if err != nil || bytes.Contains(got, []byte(secretPlace)) || !bytes.Contains(got, []byte("red")) {
		t.Errorf("stored %s, %v", got, err)
	}
	if !slices.Equal(img.Original.Stripped, []string{imagefile.RemovedOther}) {
		t.Errorf("stripped is %v", img.Original.Stripped)
	}
}
