package api

import (
	"calotype/internal/cfapi"
	"calotype/internal/images"
)

// oneTimeURL is the answer to direct_upload.
type oneTimeURL struct {
	ID        string `json:"id"`
	UploadURL string `json:"uploadURL"`
}

// createDraft makes a draft and answers with its one-time URL. For clients v1 and v2 are
// the same, because the URL is opaque.
func (a *api) createDraft(c *call) (any, error) {
	f, err := c.body.form()
	if err != nil {
		return nil, err
	}
	wanted, err := newDraft(f)
	if err != nil {
		return nil, err
	}
	img, ticket, err := a.Core.CreateDraft(c.Context(), c.account, wanted)
	if err != nil {
		return nil, err
	}
	return cfapi.WithInfo{Result: oneTimeURL{
		ID: img.ID, UploadURL: a.URLs.UploadURL(c.token.AccountHash, img.ID, ticket),
	}}, nil
}

// newDraft reads the fields of direct_upload.
func newDraft(f form) (d images.NewDraft, err error) {
	if d, err = newImage(f); err != nil {
		return d, err
	}
	d.Expiry, err = f.time("expiry")
	return d, err
}

// newImage reads the fields of a new image. Others are ignored, as Cloudflare does,
// except a policy, which would not be enforced.
func newImage(f form) (d images.NewDraft, err error) {
	if err := f.refuse("policy"); err != nil {
		return d, err
	}
	if d.ID, err = f.text("id"); err != nil {
		return d, err
	}
	if d.Meta, err = f.object("metadata"); err != nil {
		return d, err
	}
	if d.Creator, err = f.text("creator"); err != nil {
		return d, err
	}
	d.RequireSignedURLs, err = f.flag("requireSignedURLs")
	return d, err
}
