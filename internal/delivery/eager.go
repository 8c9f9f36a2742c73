package delivery

import (
	"net/http"
	"slices"
	"strings"

	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/renditions"
)

// eagerClients are the kinds of clients for which a picture is rendered eagerly, by the value of -eager-formats, with
// their Accept headers. A browser that accepts AVIF accepts WebP too, and gets it for a picture that has no AVIF.
var eagerClients = []struct{ name, accepts string }{
	{"avif", "image/avif,image/webp,*/*"},
	{"webp", "image/webp,*/*"},
	{"fallback", "*/*"},
}

// allVariants is the value of -eager for all named variants.
const allVariants = "all"

// ParseEager reads the values of -eager and -eager-formats, and returns what is rendered right after an upload: nothing
// if on is false. Errors: Invalid, with the valid values.
func ParseEager(variants, formats string) (on bool, accepts []string, e renditions.Eager, err error) {
	names := splitList(variants)
	for _, name := range names {
		if !images.IsVariantName(name) {
			return false, nil, e, errs.Errorf(errs.Invalid,
				"-eager has %q, which is no name of a variant: it should be all, or names like public,thumb", name)
		}
	}
	wanted := splitList(formats)
	for _, client := range eagerClients {
		if slices.Contains(wanted, client.name) {
			accepts = append(accepts, client.accepts)
			wanted = slices.DeleteFunc(wanted, func(name string) bool { return name == client.name })
		}
	}
	if len(wanted) > 0 || len(accepts) == 0 {
		return false, nil, e, errs.Errorf(errs.Invalid,
			"-eager-formats %q is not valid: it should be one or more of avif,webp,fallback", formats)
	}
	e.All = slices.Contains(names, allVariants)
	e.Variants = names
	return len(names) > 0, accepts, e, nil
}

// splitList splits a list with commas; it ignores spaces and empty parts.
func splitList(list string) (parts []string) {
	for part := range strings.SplitSeq(list, ",") {
		if part = strings.TrimSpace(part); part != "" {
			parts = append(parts, part)
		}
	}
	return parts
}

// StartEager has the renditions that -eager and -eager-formats name rendered right after each upload. negotiate is that
// of Config. Errors: those of ParseEager.
func StartEager(made *renditions.Service, negotiate bool, variants, formats string) error {
	on, accepts, e, err := ParseEager(variants, formats)
	if err != nil || !on {
		return err
	}
	d := &delivery{Config: Config{Renditions: made, Negotiate: negotiate}}
	e.Choose = func(r renditions.Resolved) (choices []renditions.Choice) {
		if checkTrim(r) != nil {
			return nil // deliveries refuse it
		}
		for _, accept := range accepts {
			c := d.choose(r, http.Header{"Accept": {accept}})
			if c.format != formatInfo {
				choices = append(choices, renditions.Choice{Resolved: c.Resolved, Format: c.format})
			}
		}
		return choices
	}
	made.StartEager(e)
	return nil
}
