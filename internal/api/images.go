package api

import (
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"calotype/internal/images"
	"calotype/internal/v4"
)

// showImage answers with an image or draft.
func (a *api) showImage(c *call) (any, error) {
	img, err := a.Core.Image(c.Context(), c.account, c.image)
	if err != nil {
		return nil, err
	}
	shown, err := a.ownerImages(c, img)
	if err != nil {
		return nil, err
	}
	return shown[0], nil
}

// deleteImage deletes an image, or cancels a draft.
func (a *api) deleteImage(c *call) (any, error) {
	if err := a.Core.DeleteImage(c.Context(), c.account, c.image); err != nil {
		return nil, err
	}
	return struct{}{}, nil
}

// openBlob answers with the original as it came, under the type that its bytes say.
func (a *api) openBlob(c *call) (any, error) {
	img, content, err := a.Core.OpenOriginal(c.Context(), c.account, c.image)
	if err != nil {
		return nil, err
	}
	o := img.Original
	return &stream{mime: o.Header.Format.MIME(), size: o.Size, content: content}, nil
}

// imageList is the answer to the v2 list; the token is null on the last page.
type imageList struct {
	Images            []v4.Image `json:"images"`
	ContinuationToken *string    `json:"continuation_token"`
}

// listImages answers with a page of images.
func (a *api) listImages(c *call) (any, error) {
	query, err := listQuery(c.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	page, err := a.Core.ListImages(c.Context(), c.account, query)
	if err != nil {
		return nil, err
	}
	list := imageList{}
	if list.Images, err = a.ownerImages(c, page.Images...); err != nil {
		return nil, err
	}
	if page.Next != "" {
		list.ContinuationToken = &page.Next
	}
	return list, nil
}

// ownerImages returns Image objects for those who hold a token; never nil.
func (a *api) ownerImages(c *call, all ...images.Image) ([]v4.Image, error) {
	account, err := a.Core.Account(c.Context(), c.account)
	if err != nil {
		return nil, err
	}
	names, err := a.Core.VariantNames(c.Context(), c.account)
	if err != nil {
		return nil, err
	}
	shown := make([]v4.Image, 0, len(all))
	for _, img := range all {
		shown = append(shown, v4.OwnerImage(img, a.URLs.Variants(account.Hash, img.ID, names)))
	}
	return shown, nil
}

// perPage is how many images a page of a list holds unless asked otherwise.
const perPage = 1000

// listQuery reads the parameters of the v2 list. Unknown ones are ignored, except filters: who
// asks for some images must not get all.
func listQuery(raw string) (q images.ListQuery, err error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return q, invalid("The query is not valid: a percent sign must be written %%25, " +
			"a semicolon %%3B.")
	}
	for name, all := range values {
		if name == "meta" || isPart("meta", name) {
			return q, invalid("Filters on metadata (meta.*) are not supported by this version: " +
				"list without them.")
		}
		switch name {
		case "per_page", "sort_order", "continuation_token", "creator":
			if len(all) > 1 {
				return q, invalid("%s is given twice: send it once.", name)
			}
			if !utf8.ValidString(all[0]) || strings.ContainsFunc(all[0], unicode.IsControl) {
				return q, invalid("%s must be UTF-8 without control characters.", name)
			}
		}
	}
	q.Token = values.Get("continuation_token")
	q.Limit = perPage
	if text := values.Get("per_page"); text != "" {
		q.Limit, err = strconv.Atoi(text)
		if err != nil || q.Limit < 1 || q.Limit > images.MaxListLimit {
			return q, invalid("per_page must be a number from 1 to %d.", images.MaxListLimit)
		}
	}
	switch values.Get("sort_order") {
	case "", "desc":
	case "asc":
		q.Ascending = true
	default:
		return q, invalid("sort_order must be asc or desc.")
	}
	if values.Has("creator") { // present but empty asks for images without one
		creator := values.Get("creator")
		q.Creator = &creator
	}
	return q, nil
}
