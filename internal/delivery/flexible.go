package delivery

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"

	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/render"
)

const (
	codeOptions     = 9401 // Cloudflare's code for options that are missing or invalid
	maxFlexible     = 512  // bytes
	maxPixelDensity = 2
	maxEnlarged     = 12_000_000 // pixels that are made of a smaller picture
)

// A transform is a parsed flexible variant.
type transform struct{ options render.Options }

// resolveFlexible resolves options instead of a variant. Private images refuse options, so that a client that may
// see a thumbnail cannot request the whole picture.
func (d *delivery) resolveFlexible(ctx context.Context, t target) (images.Resolved, error) {
	r, err := d.Core.ResolveImage(ctx, t.hash, t.id)
	switch {
	case err != nil:
		return r, err
	case r.Image.RequireSignedURLs:
		return r, errs.Errorf(errs.SignatureRefused,
			"A private image is delivered in named variants only")
	case !r.Account.Settings.FlexibleVariants:
		return r, errs.Errorf(errs.Forbidden,
			"Flexible variants are not enabled for this account")
	}
	wanted, err := parseTransform(t.variant)
	if err == nil {
		err = checkEnlarged(wanted.options, r.Image.Original)
	}
	if err != nil {
		return r, &refusal{status: http.StatusBadRequest, code: codeOptions,
			sentence: "Invalid options: " + err.Error()}
	}
	r.Variant = images.Variant{Options: wanted.options}
	return r, nil
}

// checkEnlarged refuses options that enlarge a picture beyond the limit for URLs.
func checkEnlarged(o render.Options, from *images.Original) error {
	w, h := from.Header.Shown()
	o, _ = withHints(o, nil) // the same refusal for all clients
	plan := o.Plan(w, h)
	made, most := int64(plan.CanvasW)*int64(plan.CanvasH), max(maxEnlarged, int64(w)*int64(h))
	if made > most {
		return fmt.Errorf("the picture has %d x %d pixels and would be enlarged to %d x %d; at most %d "+
			"pixels are made of it", w, h, plan.CanvasW, plan.CanvasH, most)
	}
	return nil
}

// aliases are the short names of options.
var aliases = func() map[string]string {
	all := map[string]string{"g": "gravity"}
	for _, o := range render.AllOptions() {
		if o.Alias != "" {
			all[o.Alias] = o.Name
		}
	}
	return all
}()

// optionNames has the names of all options of a flexible variant, for error messages.
var optionNames = render.OptionNames("dpr", "gravity")

// parseTransform parses the decoded options of a URL, such as "w=400,fit=cover". The text of an error names the
// valid values, and quotes only the names of options.
func parseTransform(text string) (transform, error) {
	if len(text) > maxFlexible {
		return transform{}, fmt.Errorf("they are longer than %d bytes", maxFlexible)
	}
	r := transform{options: render.DefaultOptions()}
	density := 1.0
	seen := map[string]bool{}
	for pair := range strings.SplitSeq(text, ",") {
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
		var err error
		switch key {
		case "dpr":
			density, err = parseDensity(value)
		case "gravity":
			if value != "center" && value != "0.5x0.5" {
				err = errors.New("gravity can only be center here")
			}
		default:
			err = r.options.Set(key, value)
			if errors.Is(err, render.ErrNoOption) {
				err = fmt.Errorf("there is no option %.40q; the options are %s", key, optionNames)
			}
		}
		if err != nil {
			return transform{}, err
		}
		if seen[key] {
			return transform{}, fmt.Errorf("%s is given twice", key)
		}
		seen[key] = true
	}
	r.options.Width = scaleSide(r.options.Width, density)
	r.options.Height = scaleSide(r.options.Height, density)
	return r, r.options.Validate()
}

// parseDensity parses the number of pixels of the picture for one pixel of the page.
func parseDensity(value string) (float64, error) {
	density, err := strconv.ParseFloat(value, 64)
	if err != nil || strings.Trim(value, ".0123456789") != "" || density <= 0 ||
		density > maxPixelDensity {
		return 0, fmt.Errorf("dpr must be a number above 0, at most %d", maxPixelDensity)
	}
	return density, nil
}

// scaleSide returns the side in pixels of the picture; 0 if the side is absent. render.AutoWidth stays: the client's
// density is in it.
func scaleSide(side int, density float64) int {
	if side <= 0 {
		return side
	}
	return min(max(int(math.Round(float64(side)*density)), 1), render.MaxOptionSide)
}
