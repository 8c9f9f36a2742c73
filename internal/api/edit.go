package api

import (
	"encoding/json"
	"net/url"
	"strconv"
	"time"

	"calotype/internal/images"
)

// editImage changes an image or draft and answers with the result, which may have a new id.
func (a *api) editImage(c *call) (any, error) {
	edit, err := readForm(c, newEdit)
	if err != nil {
		return nil, err
	}
	img, err := a.Core.EditImage(c.Context(), c.account, c.image, edit)
	if err != nil {
		return nil, err
	}
	return a.ownerImage(c, img)
}

// newEdit reads the fields of an edit. An absent field is unchanged; a null or empty one is removed, except
// requireSignedURLs, which always has a value and is unchanged then too. Terraform sends all fields of the
// creation, also id and url, which are ignored.
func newEdit(f form) (e images.Edit, err error) {
	err = f.refusePolicy()
	if f.names("metadata") {
		e.Meta = new(json.RawMessage)
		set(e.Meta, f.object, "metadata", &err)
	}
	if f.names("creator") {
		e.Creator = new(*string)
		set(e.Creator, f.text, "creator", &err)
	}
	set(&e.RequireSignedURLs, f.flagIfGiven, "requireSignedURLs", &err)
	return e, err
}

// names reports whether there is a field of that name, whole or in parts, also null or empty.
func (f form) names(name string) bool {
	for _, v := range f {
		if v.name == name || isPart(name, v.name) {
			return true
		}
	}
	return false
}

// waitOf returns the wait for a draft's upload; with AtMost 0 there is no wait.
func waitOf(raw string) (w images.Wait, err error) {
	// Errors of url.ParseQuery are ignored, because earlier releases ignored any query.
	query := (&url.URL{RawQuery: raw}).Query()
	given := query["wait"]
	if len(given) == 0 {
		return w, nil
	}
	most := int(images.MaxWait / time.Second)
	seconds, err := strconv.Atoi(given[0])
	if err != nil || len(given) > 1 || seconds < 1 || seconds > most {
		return w, invalid("wait must be a number of seconds from 1 to %d, given once.", most)
	}
	w.AtMost = time.Duration(seconds) * time.Second
	if known := query["used"]; len(known) > 0 {
		used, err := strconv.Atoi(known[0])
		if err != nil || len(known) > 1 || used < 0 {
			return w, invalid("used must be the number of uses that you know, as in upload.uses.used, given once.")
		}
		w.Used = &used
	}
	return w, nil
}
