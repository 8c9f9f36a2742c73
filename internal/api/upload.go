package api

import (
	"io"
	"time"

	"calotype/internal/images"
	"calotype/internal/v4"
)

// What a body that carries a picture may take.
const (
	pictureIdle = 30 * time.Second
	pictureTime = time.Hour
)

// counted counts what becomes of the uploads of a handler.
func (a *api) counted(handler func(*call) (any, error)) func(*call) (any, error) {
	return func(c *call) (any, error) {
		result, err := handler(c)
		a.Core.CountUpload(err)
		return result, err
	}
}

// createImage makes an image out of the picture in the form's field file.
func (a *api) createImage(c *call) (result any, err error) {
	if err := v4.CheckFileForm(c.Request); err != nil {
		return nil, err
	}
	body := v4.NewBody(c.writer, c.Request, v4.BodyLimits{
		Idle: pictureIdle, Time: pictureTime, Bytes: a.Core.MaxUploadBytes + v4.FormOverhead,
	})
	defer func() {
		if err != nil {
			body.Drain()
		}
	}()
	upload, err := a.Core.BeginImage(c.account, c.ContentLength)
	if err != nil {
		return nil, err
	}
	defer upload.Close()
	var fields form
	filename, err := v4.ReadFileForm(c.Request, body, upload, fields.add)
	if err != nil {
		return nil, refuseURL(fields, err)
	}
	if err := refuseURL(fields, nil); err != nil {
		return nil, err
	}
	wanted, err := newImage(fields)
	if err != nil {
		return nil, err
	}
	img, err := upload.Create(c.Context(), filename, wanted)
	if err != nil {
		return nil, err
	}
	shown, err := a.ownerImages(c, img)
	if err != nil {
		return nil, err
	}
	return v4.WithInfo{Result: shown[0]}, nil
}

// refuseURL refuses the field url, in place of other, for it says why there is no file.
func refuseURL(fields form, other error) error {
	url, err := fields.text("url")
	if err != nil {
		return err
	}
	if url != nil {
		return invalid("url is not supported by this version: send the picture in the field file.")
	}
	return other
}

// add reads a field of a form beside its file.
func (f *form) add(name string, value io.Reader) error {
	if len(*f) == maxFields {
		return tooManyFields()
	}
	text, err := io.ReadAll(io.LimitReader(value, maxBody+1))
	if err != nil {
		return err
	}
	if len(text) > maxBody {
		return images.Errorf(images.TooLarge, "The field %.50q is larger than the %d bytes allowed.",
			name, maxBody)
	}
	*f = append(*f, field{name: name, text: string(text)})
	return nil
}
