package images

import (
	"cmp"
	"context"
	"strings"

	"calotype/internal/receipts"
)

// signer returns a function that signs the receipt of an image. It is called before the commit with the draft of the
// upload; the function is called after the commit, and cannot fail. For a repeat, draft may also be the image that the
// draft has become: the receipt is the same. Errors: those of receipts.Service.Signer.
func (s *Service) signer(ctx context.Context, accountHash string, draft Image) (func(Image) string, error) {
	policy, err := draft.UploadPolicy()
	if err != nil {
		return nil, err
	}
	by, err := s.Receipts.Signer(ctx, accountHash)
	if err != nil {
		return nil, err
	}
	return func(img Image) string {
		o := img.Original
		return by.Sign(receipts.Claims{
			Image: img.ID, Draft: draft.idOfDraft(), Audience: policy.Audience,
			MetadataSHA256: draft.metaSHA256, SHA256: o.SHA256, Bytes: o.Size, Format: string(o.Header.Format),
			Width: o.Width, Height: o.Height,
		}, img.Uploaded)
	}, nil
}

// idOfDraft returns the id that a draft, or the draft of an image, has got at its creation. The draft of an image of a
// link is the link.
func (img Image) idOfDraft() string {
	id := cmp.Or(img.draftID, img.ID)
	if end := strings.LastIndexByte(id, '/'); img.Link != "" && end >= 0 {
		id = id[:end]
	}
	return id
}
