package api

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"calotype/internal/images"
	"calotype/internal/v4"
)

// showImage answers with an image or draft; with wait, as soon as it is a draft no more.
func (a *api) showImage(c *call) (any, error) {
	wait, err := waitOf(c.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	var img images.Image
	if wait == 0 {
		img, err = a.Core.Image(c.Context(), c.account, c.image)
	} else {
		img, err = a.Core.WaitImage(c.Context(), c.account, c.image, wait)
	}
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

// pageInfo is the result_info of the v1 list.
type pageInfo struct {
	Page       int `json:"page"`
	PerPage    int `json:"per_page"`
	Count      int `json:"count"`
	TotalCount int `json:"total_count"`
}

// listPage answers with a numbered page of images: the old list. SDKs look for an array here and
// find none; their users read images.
func (a *api) listPage(c *call) (any, error) {
	values, err := listParameters(c.URL.RawQuery, "page", "per_page", "creator")
	if err != nil {
		return nil, err
	}
	query := images.PageQuery{Page: 1}
	if query.Limit, err = values.limit(); err != nil {
		return nil, err
	}
	if text := values.Get("page"); text != "" {
		if query.Page, err = strconv.Atoi(text); err != nil || query.Page < 1 {
			return nil, invalid("page must be a number from 1.")
		}
	}
	query.Creator = values.creator()
	page, err := a.Core.ListPage(c.Context(), c.account, query)
	if err != nil {
		return nil, err
	}
	shown, err := a.ownerImages(c, page.Images...)
	if err != nil {
		return nil, err
	}
	return v4.WithInfo{
		Result: map[string][]v4.Image{"images": shown},
		Info:   pageInfo{query.Page, query.Limit, len(shown), page.Total},
	}, nil
}

// perPage is how many images a page of a list holds unless asked otherwise.
const perPage = 1000

// parameters are those of a list.
type parameters struct{ url.Values }

// listParameters reads the query of a list. Unknown parameters are ignored, except filters: who
// asks for some images must not get all. The named ones may be given once.
func listParameters(raw string, names ...string) (parameters, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return parameters{}, invalid("The query is not valid: a percent sign must be written " +
			"%%25, a semicolon %%3B.")
	}
	for name, all := range values {
		if name == "meta" || isPart("meta", name) {
			return parameters{}, invalid("Filters on metadata (meta.*) are not supported by this " +
				"version: list without them.")
		}
		if !slices.Contains(names, name) {
			continue
		}
		if len(all) > 1 {
			return parameters{}, invalid("%s is given twice: send it once.", name)
		}
		if !utf8.ValidString(all[0]) || strings.ContainsFunc(all[0], unicode.IsControl) {
			return parameters{}, invalid("%s must be UTF-8 without control characters.", name)
		}
	}
	return parameters{values}, nil
}

// limit is how many images a page is to hold.
func (p parameters) limit() (int, error) {
	text := p.Get("per_page")
	if text == "" {
		return perPage, nil
	}
	limit, err := strconv.Atoi(text)
	if err != nil || limit < 1 || limit > images.MaxListLimit {
		return 0, invalid("per_page must be a number from 1 to %d.", images.MaxListLimit)
	}
	return limit, nil
}

// creator is whose images are asked for: present but empty asks for those without one.
func (p parameters) creator() *string {
	if !p.Has("creator") {
		return nil
	}
	creator := p.Get("creator")
	return &creator
}

// listQuery reads the parameters of the v2 list.
func listQuery(raw string) (q images.ListQuery, err error) {
	values, err := listParameters(raw, "per_page", "sort_order", "continuation_token", "creator")
	if err != nil {
		return q, err
	}
	if q.Limit, err = values.limit(); err != nil {
		return q, err
	}
	q.Token, q.Creator = values.Get("continuation_token"), values.creator()
	switch values.Get("sort_order") {
	case "", "desc":
	case "asc":
		q.Ascending = true
	default:
		return q, invalid("sort_order must be asc or desc.")
	}
	return q, nil
}
