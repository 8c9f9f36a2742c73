package api

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"calotype/internal/images"
	"calotype/internal/render"
)

// A variant is the Variant object, with its keys in the recorded order.
type variant struct {
	ID                     string         `json:"id"`
	Options                variantOptions `json:"options"`
	NeverRequireSignedURLs bool           `json:"neverRequireSignedURLs"`
}

// variantOptions are what a variant does to a picture; what is not set is absent.
type variantOptions struct {
	Fit        render.Fit      `json:"fit"`
	Width      int             `json:"width,omitempty"`
	Height     int             `json:"height,omitempty"`
	Metadata   render.Metadata `json:"metadata"`
	BrowserTTL int64           `json:"browser_ttl,omitempty"` // seconds
	Background string          `json:"background,omitempty"`
	Quality    int             `json:"quality,omitempty"`
	Anim       *bool           `json:"anim,omitempty"` // only ever false
}

func newVariant(v images.Variant) variant {
	o := v.Options
	shown := variant{ID: v.ID, NeverRequireSignedURLs: v.NeverRequireSignedURLs,
		Options: variantOptions{
			Fit: o.Fit, Width: o.Width, Height: o.Height, Metadata: o.Metadata,
			BrowserTTL: int64(v.BrowserTTL / time.Second),
			Background: o.Background, Quality: o.Quality,
		}}
	if o.Still {
		shown.Options.Anim = new(bool)
	}
	return shown
}

// oneVariant is the answer about one variant. Its id is also beside it: Terraform reads it
// there, and without it would create the variant again at every run.
type oneVariant struct {
	ID      string  `json:"id"`
	Variant variant `json:"variant"`
}

func newOneVariant(v images.Variant) oneVariant { return oneVariant{v.ID, newVariant(v)} }

// createVariant makes a variant.
func (a *api) createVariant(c *call) (any, error) {
	f, err := c.body.form()
	if err != nil {
		return nil, err
	}
	id, err := f.text("id")
	if err != nil {
		return nil, err
	}
	if id == nil {
		return nil, invalid("missing field `id`: the name of the variant.")
	}
	change, err := readVariant(f)
	if err != nil {
		return nil, err
	}
	v := images.Variant{ID: *id, Options: change.Options, BrowserTTL: change.BrowserTTL}
	if never := change.NeverRequireSignedURLs; never != nil {
		v.NeverRequireSignedURLs = *never
	}
	if err := a.Core.CreateVariant(c.Context(), c.account, v); err != nil {
		return nil, err
	}
	return newOneVariant(v), nil
}

// changeVariant gives a variant another recipe.
func (a *api) changeVariant(c *call) (any, error) {
	f, err := c.body.form()
	if err != nil {
		return nil, err
	}
	change, err := readVariant(f)
	if err != nil {
		return nil, err
	}
	v, err := a.Core.ChangeVariant(c.Context(), c.account, c.name, change)
	if err != nil {
		return nil, err
	}
	return newOneVariant(v), nil
}

// listVariants answers with a map from names to variants.
func (a *api) listVariants(c *call) (any, error) {
	all, err := a.Core.Variants(c.Context(), c.account)
	if err != nil {
		return nil, err
	}
	shown := make(map[string]variant, len(all))
	for _, v := range all {
		shown[v.ID] = newVariant(v)
	}
	return map[string]map[string]variant{"variants": shown}, nil
}

// showVariant answers with one variant.
func (a *api) showVariant(c *call) (any, error) {
	v, err := a.Core.Variant(c.Context(), c.account, c.name)
	if err != nil {
		return nil, err
	}
	return newOneVariant(v), nil
}

// deleteVariant deletes a variant.
func (a *api) deleteVariant(c *call) (any, error) {
	if err := a.Core.DeleteVariant(c.Context(), c.account, c.name); err != nil {
		return nil, err
	}
	return struct{}{}, nil
}

// readVariant reads the fields of a variant but its id. Of options nothing is ignored: a picture
// that is not what was asked for would be seen by others first.
func readVariant(f form) (c images.VariantChange, err error) {
	whole, err := f.object("options")
	if err != nil {
		return c, err
	}
	if whole == nil {
		return c, invalid("missing field `options`: an object such as " +
			`{"fit":"scale-down","width":1366,"height":768,"metadata":"none"}.`)
	}
	var options map[string]json.RawMessage
	if err := json.Unmarshal(whole, &options); err != nil {
		return c, invalid("options must be a JSON object.")
	}
	c.Options = render.Options{Fit: render.DefaultFit, Metadata: render.DefaultMetadata}
	for _, name := range slices.Sorted(maps.Keys(options)) {
		text, err := optionText(name, options[name])
		switch {
		case err != nil:
			return c, err
		case text == "":
			continue
		case name == "browser_ttl":
			c.BrowserTTL, err = browserTTL(text)
		default:
			err = c.Options.Set(name, text)
		}
		if err != nil {
			return c, invalid("options.%.80s: %v.", name, err)
		}
	}
	c.NeverRequireSignedURLs, err = f.flagIfGiven("neverRequireSignedURLs")
	return c, err
}

// optionText returns an option's value as a URL would spell it, "" when it was not given. Forms can
// send text only, so that 100 and "100" are the same, and 100.0 is a whole number in JSON.
func optionText(name string, value json.RawMessage) (string, error) {
	var text string
	switch {
	case value[0] == '"':
		if err := json.Unmarshal(value, &text); err != nil {
			return "", invalid("options.%.80s is not valid JSON.", name)
		}
		return strings.TrimSpace(text), nil
	case value[0] == '{' || value[0] == '[':
		return "", invalid("options.%.80s must be a single value.", name)
	case bytes.Equal(value, []byte("null")):
		return "", nil
	}
	return wholeNumber(string(value)), nil
}

// wholeNumber writes a number like 1e2 or 100.0 as 100, and leaves all else as it is.
func wholeNumber(text string) string {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || n != float64(int64(n)) || n < -1e15 || n > 1e15 {
		return text
	}
	return strconv.FormatInt(int64(n), 10)
}
