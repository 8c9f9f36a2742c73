package api

import (
	"calotype/internal/cfapi"
	"calotype/internal/images"
)

// showImage answers with an image or draft; with wait, as soon as it is no longer a draft.
func (a *api) showImage(c *call) (any, error) {
	wait, err := waitOf(c.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	var img images.Image
	if wait == 0 {
		img, err = a.Core.Image(c.Context(), c.account, c.image)
	} else {
		img, err = a.Core.WaitImage(c.Context(), c.account, c.image, wait)
	}
	if err != nil {
		return nil, err
	}
	shown, err := a.ownerImages(c, img)
	if err != nil {
		return nil, err
	}
	return shown[0], nil
}

// deleteImage deletes an image, or cancels a draft.
func (a *api) deleteImage(c *call) (any, error) {
	if err := a.Core.DeleteImage(c.Context(), c.account, c.image); err != nil {
		return nil, err
	}
	return struct{}{}, nil
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

// ownerImages returns Image objects for clients with a token; never nil.
func (a *api) ownerImages(c *call, all ...images.Image) ([]cfapi.Image, error) {
	parts, err := a.Core.URLParts(c.Context(), c.account)
	if err != nil {
		return nil, err
	}
	shown := make([]cfapi.Image, 0, len(all))
	for _, img := range all {
		shown = append(shown, cfapi.OwnerImage(img, a.URLs.Variants(parts.Hash, img.ID, parts.Variants)))
	}
	return shown, nil
}
