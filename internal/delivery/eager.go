package delivery

import (
	"net/http"
	"slices"
	"strings"

	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/renditions"
)

// allVariants is the value of -eager for all named variants.
const allVariants = "all"

// ParseEager reads the values of -eager and -eager-formats, and returns what is rendered right after an upload: nothing
// if on is false. Errors: Invalid, with the valid values.
func ParseEager(variants, formats string) (on bool, kinds []string, e renditions.Eager, err error) {
	names := splitList(variants)
	for _, name := range names {
		if !images.IsVariantName(name) {
			return false, nil, e, errs.Errorf(errs.Invalid,
				"-eager has %q, which is no name of a variant: it should be all, or names like public,thumb", name)
		}
	}
	wanted := splitList(formats)
	for _, client := range clients {
		if slices.Contains(wanted, client.name) {
			kinds = append(kinds, client.name)
			wanted = slices.DeleteFunc(wanted, func(name string) bool { return name == client.name })
		}
	}
	if len(wanted) > 0 || len(kinds) == 0 {
		return false, nil, e, errs.Errorf(errs.Invalid,
			"-eager-formats %q is not valid: it should be one or more of %s", formats, strings.Join(clientNames, ","))
	}
	e.All = slices.Contains(names, allVariants)
	e.Variants = names
	return len(names) > 0, kinds, e, nil
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

// StartEager has the renditions that -eager and -eager-formats name rendered right after each upload, for
// deliveries with the configuration c. Errors: those of ParseEager.
func StartEager(c Config, variants, formats string) error {
	on, kinds, e, err := ParseEager(variants, formats)
	if err != nil || !on {
		return err
	}
	d := &delivery{Config: c}
	e.Choose = func(r renditions.Resolved) (choices []renditions.Choice) {
		if checkTrim(r) != nil {
			return nil // deliveries refuse it
		}
		for _, kind := range kinds {
			header := http.Header{"Accept": {acceptOf(kind)}}
			if !d.nameFormats(r.Private()) {
				kind = ""
			}
			c := d.chooseBy(r, header, kind, r.Private())
			if c.format != formatInfo {
				choices = append(choices, renditions.Choice{Resolved: c.Resolved, Format: c.format})
			}
		}
		return choices
	}
	c.Renditions.StartEager(e)
	return nil
}
