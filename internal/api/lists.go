package api

import (
	"errors"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"calotype/internal/cfapi"
	"calotype/internal/images"
	"calotype/internal/listing"
	"calotype/internal/text"
)

// imageList is the answer to the v2 list; the token is null on the last page.
type imageList struct {
	Images            cfapi.ItemsHere `json:"images"`
	ContinuationToken *string         `json:"continuation_token"`
}

// listImages answers with a page of images.
func (a *api) listImages(c *call) (any, error) {
	query, err := listQuery(c.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	p, err := a.openImages(c, query.Limit, a.bounds.token)
	if err != nil {
		return nil, err
	}
	defer p.close()
	query.Fits = p.fits
	found, err := a.Lists.Images(c.Context(), c.account, query)
	if err != nil || p.err != nil {
		return nil, errors.Join(err, p.err)
	}
	list := imageList{}
	if found.Next != "" {
		list.ContinuationToken = &found.Next
	}
	return p.answer(list, p.item), nil
}

// pageInfo is the result_info of the v1 list.
type pageInfo struct {
	Page       int `json:"page"`
	PerPage    int `json:"per_page"`
	Count      int `json:"count"`
	TotalCount int `json:"total_count"`
}

// listPage answers with a numbered page of images: the old list. SDKs expect an array here and
// do not find it; their users read images.
func (a *api) listPage(c *call) (any, error) {
	values, err := listParameters(c.URL.RawQuery, "page", "per_page", "creator")
	if err != nil {
		return nil, err
	}
	query := listing.PageQuery{Page: 1}
	if query.Limit, err = values.limit(); err != nil {
		return nil, err
	}
	if text := values.Get("page"); text != "" {
		if query.Page, err = strconv.Atoi(text); err != nil || query.Page < 1 {
			return nil, invalid("page must be a number from 1.")
		}
	}
	query.Creator = values.creator()
	p, err := a.openImages(c, query.Limit, a.bounds.numbered)
	if err != nil {
		return nil, err
	}
	defer p.close()
	query.Fits = p.fits
	found, err := a.Lists.Numbered(c.Context(), c.account, query)
	switch {
	case err != nil || p.err != nil:
		return nil, errors.Join(err, p.err)
	case p.full:
		return nil, p.tooMuch(", or use the list images/v2")
	}
	return p.answer(cfapi.WithInfo{
		Result: map[string]cfapi.ItemsHere{"images": {}},
		Info:   pageInfo{query.Page, query.Limit, len(p.rows), found.Total},
	}, p.item), nil
}

// tooMuch refuses a numbered page that is too large: it cannot end early, because the next one begins
// at a multiple of per_page.
func (p *page[T]) tooMuch(otherwise string) error {
	return invalid("per_page: this page would have more than %d KiB of JSON. Ask for at most %d per "+
		"page%s.", p.most>>10, len(p.rows), otherwise)
}

const (
	// maxImageRow is an upper bound of an image's memory: its text has 7 KiB at most.
	maxImageRow = 8 << 10
	// imageRow is the memory of an image without its text.
	imageRow = 1 << 10
)

// An imagePage is a page of images.
type imagePage struct {
	*page[images.Image]
	urls  cfapi.URLs
	parts images.URLParts

	namesBytes int // of the names of all variants
}

// openImages opens a page of at most perPage images and at most most bytes of JSON.
func (a *api) openImages(c *call, perPage int, most int64) (*imagePage, error) {
	parts, err := a.Core.URLParts(c.Context(), c.account)
	if err != nil {
		return nil, err
	}
	p, err := openPage[images.Image](c.Context(), a, c.account, most, int64(perPage),
		maxImageRow, imageRow)
	return &imagePage{page: p, urls: a.URLs, parts: parts,
		namesBytes: len(strings.Join(parts.Variants, ""))}, err
}

// fits adds an image, if it fits.
func (p *imagePage) fits(img images.Image) bool {
	variants := p.urls.VariantsSize(p.parts.Hash, img.ID, len(p.parts.Variants), p.namesBytes)
	return p.add(img, cfapi.OwnerImage(img, nil), variants, heldBy(img))
}

func (p *imagePage) item(img images.Image) (any, error) {
	return cfapi.OwnerImage(img, p.urls.Variants(p.parts.Hash, img.ID, p.parts.Variants)), nil
}

// heldBy estimates the memory of an image, in bytes.
func heldBy(img images.Image) int64 {
	n := imageRow + len(img.ID) + len(img.Meta)
	for _, text := range []*string{img.Creator, img.Filename} {
		if text != nil {
			n += len(*text)
		}
	}
	return int64(n)
}

// perPage is the default number of images on a page of a list.
const perPage = 1000

// parameters are the query parameters of a list.
type parameters struct {
	url.Values
	filters []listing.Filter
}

// metaParameters is a placeholder for the names of filters in parameters.
const metaParameters = "meta.*"

// listParameters parses the query of a list, which accepts the named parameters, each once. Others are
// refused, also misspelt filters such as metadata.a[eq]: a client that requests some images must not
// get all.
func listParameters(raw string, names ...string) (parameters, error) {
	values, err := parseQuery(raw)
	if err != nil {
		return parameters{}, err
	}
	p := parameters{Values: values}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		all := values[name]
		if strings.HasPrefix(strings.ToLower(name), "meta") && slices.Contains(names, metaParameters) {
			filters, err := metaFilters(name, all)
			if err != nil {
				return parameters{}, err
			}
			p.filters = append(p.filters, filters...)
			continue
		}
		if err := checkParameter(name, names); err != nil {
			return parameters{}, err
		}
		if len(all) > 1 {
			return parameters{}, invalid("%s is given twice: send it once.", name)
		}
		if !text.IsPlain(all[0]) {
			return parameters{}, invalid("%s must be UTF-8 without control characters.", name)
		}
	}
	return p, nil
}

// parseQuery parses a query strictly: it ignores no part of it.
func parseQuery(raw string) (url.Values, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, invalid("The query is not valid: a percent sign must be written %%25, " +
			"a semicolon %%3B.")
	}
	return values, nil
}

// checkParameter refuses a parameter that is not one of the names.
func checkParameter(name string, names []string) error {
	switch {
	case slices.Contains(names, name):
		return nil
	case len(names) == 0:
		return invalid("%.50q is no parameter of this request: it takes none.", name)
	}
	return invalid("%.50q is no parameter of this request: it takes %s.", name,
		strings.Join(names, ", "))
}

// takes returns a handler that refuses queries with other than the named parameters.
func takes(handle func(*call) (any, error), names ...string) func(*call) (any, error) {
	return func(c *call) (any, error) {
		values, err := parseQuery(c.URL.RawQuery)
		if err != nil {
			return nil, err
		}
		for _, name := range slices.Sorted(maps.Keys(values)) {
			if err := checkParameter(name, names); err != nil {
				return nil, err
			}
		}
		return handle(c)
	}
}

// metaFilters reads the filters of one parameter, whose name is meta.<path>[<operator>]. Each of
// its values is a filter; filters that contradict each other are not an error.
func metaFilters(name string, values []string) ([]listing.Filter, error) {
	path, dotted := strings.CutPrefix(name, "meta.")
	path, operator, opened := strings.Cut(path, "[")
	operator, closed := strings.CutSuffix(operator, "]")
	if !dotted || !opened || !closed {
		return nil, invalid("The filter %.80q is not valid: filters on metadata are like "+
			"meta.status[eq]=active or meta.region.size[gte:number]=5.", name)
	}
	var filters []listing.Filter
	for _, value := range values {
		filter, err := listing.NewFilter(path, operator, value)
		if err != nil {
			return nil, err
		}
		filters = append(filters, filter)
	}
	return filters, nil
}

// limit returns the number of images on a page.
func (p parameters) limit() (int, error) {
	text := p.Get("per_page")
	if text == "" {
		return perPage, nil
	}
	limit, err := strconv.Atoi(text)
	if err != nil || limit < 1 || limit > listing.MaxLimit {
		return 0, invalid("per_page must be a number from 1 to %d.", listing.MaxLimit)
	}
	return limit, nil
}

// creator returns the creator of the query; an empty one selects images without a creator.
func (p parameters) creator() *string {
	if !p.Has("creator") {
		return nil
	}
	return new(p.Get("creator"))
}

// listQuery reads the parameters of the v2 list.
func listQuery(raw string) (q listing.Query, err error) {
	values, err := listParameters(raw, "per_page", "sort_order", "continuation_token", "creator",
		"draft", "prefix", "filename", "sha256", "near", "distance", metaParameters)
	if err != nil {
		return q, err
	}
	if q.Limit, err = values.limit(); err != nil {
		return q, err
	}
	q.Token, q.Creator = values.Get("continuation_token"), values.creator()
	q.Meta, q.Prefix, q.Filename = values.filters, values.Get("prefix"), values.Get("filename")
	if err := looks(values, &q); err != nil {
		return q, err
	}
	switch values.Get("draft") {
	case "", "false":
	case "true":
		q.Drafts = true
	default:
		return q, invalid("draft must be true, which lists drafts, or false.")
	}
	switch values.Get("sort_order") {
	case "", "desc":
	case "asc":
		q.Ascending = true
	default:
		return q, invalid("sort_order must be asc or desc.")
	}
	return q, nil
}

// looks reads the parameters that find equal images and look-alikes.
func looks(values parameters, q *listing.Query) (err error) {
	if q.SHA256 = values.Get("sha256"); q.SHA256 == "" && values.Has("sha256") {
		return invalid("sha256 is empty: it is the SHA-256 of a file, 64 hexadecimal digits.")
	}
	switch {
	case values.Has("near"):
		q.Near, err = listing.NewNear(values.Get("near"), values.Get("distance"))
	case values.Has("distance"):
		err = invalid("distance is of near: send near=<phash> too.")
	}
	return err
}
