package api

import (
	"errors"
	"io"
	"slices"
	"time"

	"calotype/internal/cfapi"
	"calotype/internal/errs"
	"calotype/internal/images"
)

// The limits of time of a body with a picture.
const (
	pictureIdle = 30 * time.Second
	pictureTime = time.Hour
)

// counted counts the results of a handler's uploads.
func (a *api) counted(handler func(*call) (any, error)) func(*call) (any, error) {
	return func(c *call) (any, error) {
		result, err := handler(c)
		a.Core.CountUpload(c.account, err)
		return result, err
	}
}

// createImage creates an image from the picture in the form's field file, or at the URL in its field url.
func (a *api) createImage(c *call) (any, error) {
	create := a.fetchImage
	if _, isForm := cfapi.FormBoundary(c.Request.Header.Get("Content-Type")); isForm {
		create = a.uploadImage
	}
	img, err := create(c)
	if err != nil {
		return nil, err
	}
	return cfapi.WithInfo{
		Result: cfapi.OwnerImage(img.Image, a.URLs.Variants(img.Hash, img.ID, img.Variants)),
	}, nil
}

// uploadImage reads a form that may have a file.
func (a *api) uploadImage(c *call) (img images.UploadedImage, err error) {
	if err := cfapi.CheckFileForm(c.Request); err != nil {
		return img, err
	}
	body := cfapi.NewBody(c.writer, c.Request, cfapi.BodyLimits{
		Idle: pictureIdle, Time: pictureTime, Bytes: a.Core.MaxUploadBytes() + cfapi.FormOverhead,
	})
	defer func() {
		if err != nil {
			body.Drain()
		}
	}()
	upload, err := a.Core.BeginImage(c.account, c.ContentLength)
	if err != nil {
		return img, err
	}
	defer upload.Close()
	if err := cfapi.CheckDeclaredSize(c.Request, upload); err != nil {
		return img, err
	}
	var fields form
	filename, err := cfapi.ReadFileForm(c.Request, body, upload, fields.add)
	if err != nil && !errors.Is(err, cfapi.ErrNoFile) && !errors.Is(err, cfapi.ErrNothingChosen) {
		return img, err
	}
	from, wrong := fields.text("url")
	switch {
	case wrong != nil:
		return img, wrong
	case from == nil && err != nil:
		return img, err
	case from != nil && upload.Size() == 0: // a browser sends an empty file for an input without a chosen one
		upload.Close()
		return a.fetch(c, *from, fields)
	case from != nil:
		return img, invalid("The fields file and url are both given: send one of the two.")
	}
	wanted, err := newUpload(fields)
	if err != nil {
		return img, err
	}
	return upload.Create(c.Context(), filename, wanted)
}

// fetchImage reads a body that has no file.
func (a *api) fetchImage(c *call) (images.UploadedImage, error) {
	notForm := cfapi.CheckFileForm(c.Request)
	fields, err := c.body.form()
	if errors.Is(err, errTooLarge) || errs.AsError(err).Kind == errs.NotForm {
		err = notForm // too large is a picture, under the type that curl gives it
	}
	var from *string
	set(&from, fields.text, "url", &err)
	if err == nil && from == nil {
		err = notForm
	}
	if err != nil {
		return images.UploadedImage{}, err
	}
	return a.fetch(c, *from, fields)
}

// fetch has the core fetch the picture. The fetch ends if the client disconnects: the body was read to its end, so
// that net/http detects that.
func (a *api) fetch(c *call, from string, fields form) (images.UploadedImage, error) {
	wanted, err := newUpload(fields)
	if err != nil {
		return images.UploadedImage{}, err
	}
	return a.Core.FetchImage(c.Context(), c.account, from, wanted)
}

// imageFields are the fields of newUpload, and url.
var imageFields = []string{"id", "metadata", "creator", "requireSignedURLs", "policy", "url"}

// add reads a field of a form beside its file.
func (f *form) add(name string, value io.Reader) error {
	if len(*f) == maxFields {
		return tooManyFields()
	}
	text, err := io.ReadAll(io.LimitReader(value, maxBody+1))
	if err != nil {
		return err
	}
	if len(text) > maxBody && !slices.Contains(imageFields, name) && !isPart("metadata", name) {
		return invalid("The field %.50q is no field of an upload, and too large to be passed over: "+
			"the picture goes into the field file.", name)
	}
	if len(text) > maxBody {
		return errs.Errorf(errs.TooLarge, "The field %.50q is larger than the %d bytes allowed.",
			name, maxBody)
	}
	*f = append(*f, field{name: name, text: string(text)})
	return nil
}
