package intake

import (
	"net/http"
	"strings"

	"calotype/internal/cfapi"
	"calotype/internal/errs"
)

// A bodyKind says how a body has the picture.
type bodyKind int

const (
	formBody bodyKind = iota + 1 // in the field file of a form
	rawBody                      // the body is the picture
)

// classify returns the kind of a body by its declared type. Its bytes decide which picture it is. Error: NotForm,
// for a type that cannot be a picture.
func classify(r *http.Request) (bodyKind, error) {
	if err := cfapi.CheckPlain(r); err != nil {
		return 0, err
	}
	declared := r.Header.Get("Content-Type")
	if _, isForm := cfapi.FormBoundary(declared); isForm {
		return formBody, cfapi.CheckBoundary(r)
	}
	switch media := mediaType(declared); {
	case media == "", media == "application/octet-stream", strings.HasPrefix(media, "image/"):
		return rawBody, nil
	default:
		return 0, errs.Errorf(errs.NotForm, "Content-Type %.60q cannot be a picture: send a multipart/form-data "+
			"form with the picture in the field file, or the picture itself as image/* or "+
			"application/octet-stream", media)
	}
}

// mediaType returns a Content-Type without its parameters, in lower case.
func mediaType(contentType string) string {
	media, _, _ := strings.Cut(contentType, ";")
	return strings.ToLower(strings.TrimSpace(media))
}

// declaredName returns the file name that a request with a bare picture declares, with its folders; "" for none.
func declaredName(r *http.Request) string {
	return cfapi.DispositionFilename(r.Header.Get("Content-Disposition"))
}
