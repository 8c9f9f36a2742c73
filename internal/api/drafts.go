package api

import (
	"calotype/internal/cfapi"
	"calotype/internal/images"
)

// createDraft creates a draft and answers with its one-time URL. v1 and v2 are the same for clients, because the URL
// is opaque.
func (a *api) createDraft(c *call) (any, error) {
	wanted, err := readForm(c, newDraft)
	if err != nil {
		return nil, err
	}
	img, ticket, err := a.Core.CreateDraft(c.Context(), c.token.Owner, wanted)
	if err != nil {
		return nil, err
	}
	return cfapi.WithInfo{Result: a.URLs.OneTimeURL(c.token.Owner.Hash(), img.ID, ticket)}, nil
}

// newDraft reads the fields of direct_upload.
func newDraft(f form) (d images.NewDraft, err error) {
	d, err = newImage(f)
	set(&d.Expiry, f.time, "expiry", &err)
	set(&d.Policy, f.object, "policy", &err)
	return d, err
}

// newUpload reads the fields of an image that this request uploads. It refuses a policy, which would not be enforced.
func newUpload(f form) (d images.NewDraft, err error) {
	if err := f.refusePolicy(); err != nil {
		return d, err
	}
	return newImage(f)
}

// newImage reads the fields of a new image. Others are ignored, as Cloudflare does.
func newImage(f form) (d images.NewDraft, err error) {
	set(&d.ID, f.text, "id", &err)
	set(&d.Meta, f.object, "metadata", &err)
	set(&d.Creator, f.text, "creator", &err)
	set(&d.RequireSignedURLs, f.flag, "requireSignedURLs", &err)
	return d, err
}
