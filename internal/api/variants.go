package api

import (
	"bytes"
	"encoding/json"
	"fmt"
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

// variantOptions are the options of a variant; an option without a value is absent.
type variantOptions struct {
	render.Options
	browserTTL time.Duration
}

// MarshalJSON writes the options in the recorded order, in which browser_ttl follows metadata.
func (o variantOptions) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for name, value := range o.Fields() {
		text, err := json.Marshal(value)
		if err != nil {
			return nil, err
		}
		b = fmt.Appendf(b, "%q:%s,", name, text)
		if name == "metadata" && o.browserTTL != 0 {
			b = fmt.Appendf(b, `"browser_ttl":%d,`, int64(o.browserTTL/time.Second))
		}
	}
	return append(bytes.TrimSuffix(b, []byte(",")), '}'), nil
}

func newVariant(v images.Variant) variant {
	return variant{v.ID, variantOptions{v.Options, v.BrowserTTL}, v.NeverRequireSignedURLs}
}

// oneVariant is the answer about one variant. Terraform reads the id beside the variant, and without it would create
// the variant again at every run.
type oneVariant struct {
	ID      string  `json:"id"`
	Variant variant `json:"variant"`
}

func newOneVariant(v images.Variant) oneVariant { return oneVariant{v.ID, newVariant(v)} }

// createVariant creates a variant.
func (a *api) createVariant(c *call) (any, error) {
	v, err := readForm(c, newVariantOf)
	if err != nil {
		return nil, err
	}
	return newOneVariant(v), a.Core.CreateVariant(c.Context(), c.account, v)
}

// newVariantOf reads the fields of a new variant.
func newVariantOf(f form) (v images.Variant, err error) {
	id, err := f.text("id")
	if err != nil {
		return v, err
	}
	if id == nil {
		return v, missing("id", "the name of the variant")
	}
	change, err := readVariant(f)
	return images.Variant{ID: *id, Options: change.Options, BrowserTTL: change.BrowserTTL,
		NeverRequireSignedURLs: deref(change.NeverRequireSignedURLs)}, err
}

// changeVariant replaces the options of a variant.
func (a *api) changeVariant(c *call) (any, error) {
	change, err := readForm(c, readVariant)
	if err != nil {
		return nil, err
	}
	v, err := a.Core.ChangeVariant(c.Context(), c.account, c.name, change)
	return newOneVariant(v), err
}

// listVariants answers with a map from names to variants.
func (a *api) listVariants(c *call) (any, error) {
	all, err := a.Core.Variants(c.Context(), c.account)
	shown := make(map[string]variant, len(all))
	for _, v := range all {
		shown[v.ID] = newVariant(v)
	}
	return map[string]map[string]variant{"variants": shown}, err
}

// showVariant answers with one variant.
func (a *api) showVariant(c *call) (any, error) {
	v, err := a.Core.Variant(c.Context(), c.account, c.name)
	return newOneVariant(v), err
}

// deleteVariant deletes a variant.
func (a *api) deleteVariant(c *call) (any, error) {
	return struct{}{}, a.Core.DeleteVariant(c.Context(), c.account, c.name)
}

// readVariant reads the fields of a variant except its id. It ignores no option: other people would see the wrong
// picture first.
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
	ttl, err := render.TextOfJSON(options["browser_ttl"])
	if err != nil {
		return c, invalid("options.browser_ttl %v.", err)
	}
	delete(options, "browser_ttl")
	if c.Options, err = render.OptionsOfJSON(options); err != nil {
		return c, invalid("options.%v.", err)
	}
	if ttl != "" {
		if c.BrowserTTL, err = browserTTL(ttl); err != nil {
			return c, invalid("options.browser_ttl: %v.", err)
		}
	}
	c.NeverRequireSignedURLs, err = f.flagIfGiven("neverRequireSignedURLs")
	return c, err
}
