package delivery

import (
	"context"
	"net/url"
	"strings"

	"calotype/internal/errs"
	"calotype/internal/renditions"
)

// Check resolves the path of a delivery URL as a delivery with a valid signature does, and renders nothing. base is
// the base URL of delivery, "" if it is not known. Errors: the refusals of a delivery.
func Check(ctx context.Context, made *renditions.Service, base string, u *url.URL) (renditions.Resolved, error) {
	d := &delivery{Config: Config{Renditions: made, URL: base}}
	t, err := d.checkedTarget(receivedPath(u))
	if err != nil {
		return renditions.Resolved{}, err
	}
	if !t.flexible() {
		r, err := made.Resolve(ctx, t.hash, t.id, t.variant)
		if err == nil {
			err = checkTrim(r)
		}
		return r, err
	}
	r, err := d.resolveFlexible(ctx, t)
	if err == nil {
		_, err = transformOf(t.variant, r)
	}
	return r, err
}

// checkedTarget returns the target of a path, which may be that of a transformation of a picture of this server.
func (d *delivery) checkedTarget(path string) (target, error) {
	if !strings.HasPrefix(path, transformPrefix) {
		return splitPath(path)
	}
	options, from, _, err := splitTransform(path, "")
	if err != nil {
		return target{}, err
	}
	if !d.isOwn(from) {
		return target{}, errs.Errorf(errs.Invalid,
			"The source is a picture of another server, which needs no signature")
	}
	return transformTarget(path, options, from)
}
