package delivery

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/render"
	"calotype/internal/renditions"
)

const (
	codeOptions = 9401       // Cloudflare's code for options that are missing or invalid
	maxFlexible = 512        // bytes
	maxEnlarged = 12_000_000 // pixels that are made of a smaller picture
)

// A transform is a parsed flexible variant.
type transform struct {
	options render.Options
	// leftOut are the options that a lenient parser has left out, because they are not available here.
	leftOut []string
}

// resolveFlexible resolves a target with options instead of a variant. The result has no Variant, so that it is
// private if the image is. Private images refuse options unless the account permits them: then the signature must
// cover the options, so that a client that may see a thumbnail cannot request the whole picture.
func (d *delivery) resolveFlexible(ctx context.Context, t target) (renditions.Resolved, error) {
	r, err := d.Renditions.ResolveImage(ctx, t.hash, t.id)
	switch {
	case err != nil:
		return r, err
	case r.Image.RequireSignedURLs && !r.Account.Settings.PrivateOptions:
		return r, errs.Errorf(errs.SignatureRefused, "A private image is delivered in named variants only")
	case !r.Account.Settings.FlexibleVariants:
		return r, errs.Errorf(errs.Forbidden, "Flexible variants are not enabled for this account")
	}
	return r, d.checkSource(ctx, t)
}

// transformOf parses the options of a URL for the image of r, by the settings of its account. Error: a refusal.
func transformOf(options string, r renditions.Resolved) (wanted transform, err error) {
	if wanted, err = parseTransform(options, r.Account.Settings.LenientOptions); err == nil && !r.Vector() {
		err = checkEnlarged(wanted.options, r.Image.Original)
	}
	if err != nil {
		return transform{}, badOptions(err)
	}
	return wanted, nil
}

// checkTrim refuses options that cut off the whole picture.
func checkTrim(r renditions.Resolved) error {
	if w, h := r.Image.Original.Header.Shown(); !r.Vector() && r.Variant.Options.TrimsAll(w, h) {
		return badOptions(fmt.Errorf("trim leaves nothing of a picture of %d x %d pixels", w, h))
	}
	return nil
}

// badOptions returns the refusal of options.
func badOptions(why error) error {
	return &refusal{status: http.StatusBadRequest, code: codeOptions, sentence: "Invalid options: " + why.Error()}
}

// checkEnlarged refuses options that enlarge a picture beyond the limit for URLs.
func checkEnlarged(o render.Options, from *images.Original) error {
	w, h := from.Header.Shown()
	o, _ = withHints(o, nil) // the same refusal for all clients
	// Of the whole picture. What a trim of a border leaves is enlarged to render.MaxTrimmedPixels at most.
	o.Trim.Border = false
	plan := o.Plan(w, h)
	// A border adds pixels that cost little.
	width, height := plan.CanvasW-plan.Edges.Left-plan.Edges.Right, plan.CanvasH-plan.Edges.Top-plan.Edges.Bottom
	if most := max(maxEnlarged, int64(w)*int64(h)); int64(width)*int64(height) > most {
		return fmt.Errorf("the picture has %d x %d pixels and would be enlarged to %d x %d; at most %d "+
			"pixels are made of it", w, h, width, height, most)
	}
	return nil
}

// aliases are the short names of options.
var aliases = func() map[string]string {
	all := map[string]string{}
	for _, o := range render.AllOptions() {
		if o.Alias != "" {
			all[o.Alias] = o.Name
		}
	}
	return all
}()

// parseTransform parses the decoded options of a URL, such as "w=400,fit=cover". The text of an error names the
// valid values, and quotes only the names of options. lenient leaves out the options that are not available here;
// otherwise one is a *render.UnavailableOptionError.
func parseTransform(text string, lenient bool) (r transform, err error) {
	p := render.NewParser()
	p.Lenient = lenient
	if len(text) > maxFlexible {
		return transform{}, fmt.Errorf("they are longer than %d bytes", maxFlexible)
	}
	for pair := range render.SplitOptions(text) {
		if pair == "" { // as in "w=100,"
			continue
		}
		key, value, ok := strings.Cut(pair, "=")
		if !ok {
			return transform{}, errors.New("an option must have the form name=value")
		}
		if long := aliases[key]; long != "" {
			key = long
		}
		if err := p.Set(key, value); err != nil {
			return transform{}, err
		}
	}
	if r.options, err = p.Options(); err != nil {
		return transform{}, err
	}
	r.leftOut, r.options = p.LeftOut(), r.options.Scaled()
	return r, r.options.Validate()
}
