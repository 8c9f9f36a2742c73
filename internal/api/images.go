package api

import (
	"calotype/internal/cfapi"
	"calotype/internal/images"
)

// showImage answers with an image or draft; with wait, as soon as the draft is used, or a link is used once more.
func (a *api) showImage(c *call) (any, error) {
	wait, err := waitOf(c.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	var img images.Image
	if wait.AtMost == 0 {
		img, err = a.Core.Image(c.Context(), c.account, c.image)
	} else {
		img, err = a.Core.WaitImage(c.Context(), c.account, c.image, wait)
	}
	if err != nil {
		return nil, err
	}
	return a.ownerImage(c, img)
}

// deleteImage deletes an image, or cancels a draft.
func (a *api) deleteImage(c *call) (any, error) {
	return struct{}{}, a.Core.DeleteImage(c.Context(), c.account, c.image)
}

// openBlob answers with the unchanged original, or with ranges of it. The Content-Type follows from its
// bytes, its ETag is its SHA-256.
func (a *api) openBlob(c *call) (any, error) {
	img, content, err := a.Core.OpenOriginal(c.Context(), c.account, c.image)
	if err != nil {
		return nil, err
	}
	o := img.Original
	return &stream{
		mime: o.Header.Format.MIME(), etag: `"` + o.SHA256 + `"`, content: content,
	}, nil
}

// ownerImage returns the Image object for clients with a token.
func (a *api) ownerImage(c *call, img images.Image) (cfapi.Image, error) {
	parts, err := a.Core.URLParts(c.Context(), c.account)
	return cfapi.OwnerImage(img, a.URLs.Variants(parts.Hash, img.ID, parts.Variants)), err
}

// eraseCreator erases all images and drafts of a creator, and answers with a receipt.
func (a *api) eraseCreator(c *call) (any, error) {
	query, err := erasureQuery(c.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	receipt, err := a.Core.Erase(c.Context(), c.account, query)
	return cfapi.NewReceipt(receipt, a.Core.Now()), err
}

func erasureQuery(raw string) (q images.ErasureQuery, err error) {
	values, err := listParameters(raw, "creator")
	if err != nil {
		return q, err
	}
	if values.Get("creator") == "" {
		return q, invalid("creator must be given and not be empty: all images and drafts of that " +
			"creator are deleted.")
	}
	return images.ErasureQuery{Creator: values.Get("creator")}, nil
}
