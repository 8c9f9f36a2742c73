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
	if len(values.filters) > 0 {
		return nil, invalid("Filters on metadata (meta.*) are for the list images/v2.")
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
type parameters struct {
	url.Values
	filters []images.MetaFilter
}

// listParameters reads the query of a list. Unknown parameters are ignored, except filters and what
// was meant as one, such as metadata.a[eq]: who asks for some images must not get all. The named
// ones may be given once.
func listParameters(raw string, names ...string) (parameters, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return parameters{}, invalid("The query is not valid: a percent sign must be written " +
			"%%25, a semicolon %%3B.")
	}
	p := parameters{Values: values}
	for name, all := range values {
		if strings.HasPrefix(strings.ToLower(name), "meta") {
			filters, err := metaFilters(name, all)
			if err != nil {
				return parameters{}, err
			}
			p.filters = append(p.filters, filters...)
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
	return p, nil
}

// metaFilters reads the filters of one parameter, whose name is meta.<path>[<operator>]. Each of
// its values is a filter; that they contradict each other is no error.
func metaFilters(name string, values []string) ([]images.MetaFilter, error) {
	path, dotted := strings.CutPrefix(name, "meta.")
	path, operator, opened := strings.Cut(path, "[")
	operator, closed := strings.CutSuffix(operator, "]")
	if !dotted || !opened || !closed {
		return nil, invalid("The filter %.80q is not valid: filters on metadata are like "+
			"meta.status[eq]=active or meta.region.size[gte:number]=5.", name)
	}
	var filters []images.MetaFilter
	for _, value := range values {
		filter, err := images.NewMetaFilter(path, operator, value)
		if err != nil {
			return nil, err
		}
		filters = append(filters, filter)
	}
	return filters, nil
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
	q.Meta = values.filters
	switch values.Get("sort_order") {
	case "", "desc":
	case "asc":
		q.Ascending = true
	default:
		return q, invalid("sort_order must be asc or desc.")
	}
	return q, nil
}
