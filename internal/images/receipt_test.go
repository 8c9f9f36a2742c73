package images_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/receipts"
)

// uploaded uploads a body to a ticket and returns the complete result.
func uploaded(t *testing.T, core *imagestest.Core, r images.UploadRequest, body []byte) images.UploadedImage {
	t.Helper()
	r.Size = int64(len(body))
	u, err := core.BeginUpload(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	if _, err := u.Write(body); err != nil {
		t.Fatal(err)
	}
	img, err := u.Finish(t.Context(), "a.jpg")
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// claims verifies a receipt with the published keys and returns its claims.
func claims(t *testing.T, core *imagestest.Core, receipt string) (c receipts.Claims) {
	t.Helper()
	var keys jose.JSONWebKeySet
	if err := json.Unmarshal(core.Receipts.Published(), &keys); err != nil {
		t.Fatal(err)
	}
	signed, err := jose.ParseSignedCompact(receipt, []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil {
		t.Fatalf("%q: %v", receipt, err)
	}
	payload, err := signed.Verify(&keys)
	if err == nil {
		err = json.Unmarshal(payload, &c)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestReceiptsStateTheUpload(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		ctx := t.Context()
		clock := imagestest.NewClock()
		core.SetNow(clock.Now)
		hash, err := core.URLParts(ctx, account)
		if err != nil {
			t.Fatal(err)
		}
		given := json.RawMessage(`{"order": 17, "who": "Zo\u00eb"}`)
		draft, ticket := imagestest.Draft(t, core, images.NewDraft{Meta: given,
			Policy: json.RawMessage(`{"audience":"shop"}`)})
		changed := json.RawMessage(`{"order":18}`)
		if _, err := core.EditImage(ctx, account, draft.ID, images.Edit{Meta: &changed}); err != nil {
			t.Fatal(err)
		}
		clock.Forward(time.Minute)
		body := imagestest.JPEG(t, 1)
		request := images.UploadRequest{Ticket: ticket, IdempotencyKey: "key"}
		img := uploaded(t, core, request, body)
		want := receipts.Claims{
			Audience: "shop", IssuedAt: clock.Now().Unix(), Expires: clock.Now().Add(time.Hour).Unix(),
			Image: draft.ID, Draft: draft.ID, Account: hash.Hash, SHA256: img.Original.SHA256, Bytes: int64(len(body)),
			Format: "jpeg", Width: 64, Height: 48,
			MetadataSHA256: "f81fe1838abe1e0fe376792a3f3f517b22f98eeec4fea1309676e8d35ebbdcc9",
		}
		if got := claims(t, core, img.Receipt); got != want {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}

		clock.Forward(time.Hour - time.Second)
		if again := uploaded(t, core, request, body); again.Receipt != img.Receipt {
			t.Errorf("a repeat has the receipt %+v", claims(t, core, again.Receipt))
		}
		// A change of the id is the only one that a repeat may see.
		for _, private := range []bool{true, false} {
			now, err := core.ImageByKey(ctx, img.Key)
			if err != nil {
				t.Fatal(err)
			}
			edited, err := core.EditImage(ctx, account, now.ID, images.Edit{RequireSignedURLs: &private})
			if err != nil || edited.ID == now.ID {
				t.Fatalf("%+v, %v", edited, err)
			}
			want.Image = edited.ID
			if got := claims(t, core, uploaded(t, core, request, body).Receipt); got != want {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		}
	})
}

func TestReceiptOfADraftWithoutMetadata(t *testing.T) {
	t.Parallel()
	core := imagestest.New(t)
	id := "folder/Ünï \"code\" <1>"
	_, ticket := imagestest.Draft(t, core, images.NewDraft{ID: &id})
	// Metadata that an edit adds is not that of the creation.
	later := json.RawMessage(`{"a":1}`)
	if _, err := core.EditImage(t.Context(), account, id, images.Edit{Meta: &later}); err != nil {
		t.Fatal(err)
	}
	img := uploaded(t, core, images.UploadRequest{Ticket: ticket}, imagestest.JPEG(t, 1))
	got := claims(t, core, img.Receipt)
	if got.Draft != id || got.Image != id || got.MetadataSHA256 != "" || got.Audience != "" {
		t.Errorf("%+v", got)
	}
	payload, err := jose.ParseSignedCompact(img.Receipt, []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil || bytes.Contains(payload.UnsafePayloadWithoutVerification(), []byte("aud")) ||
		bytes.Contains(payload.UnsafePayloadWithoutVerification(), []byte("metadata")) {
		t.Errorf("%s, %v", payload.UnsafePayloadWithoutVerification(), err)
	}
	plain, err := imagestest.Create(t, core, account, images.NewDraft{Meta: later}, imagestest.JPEG(t, 2))
	if err != nil || plain.Key == "" {
		t.Fatal(err)
	}
}
