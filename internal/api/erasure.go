package api

import (
	"net/url"

	"calotype/internal/images"
	"calotype/internal/v4"
)

// eraseCreator takes out all images and drafts of a creator, and answers with a receipt. Unlike
// elsewhere no other parameter is ignored: whoever adds one thinks that it narrows what is deleted.
func (a *api) eraseCreator(c *call) (any, error) {
	query, err := erasureQuery(c.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	receipt, err := a.Core.Erase(c.Context(), c.account, query)
	if err != nil {
		return nil, err
	}
	return v4.NewReceipt(receipt, a.Core.Now()), nil
}

func erasureQuery(raw string) (q images.ErasureQuery, err error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return q, invalid("The query is not valid: a percent sign must be written %%25, " +
			"a semicolon %%3B.")
	}
	for name := range values {
		if name != "creator" {
			return q, invalid("%.50q is no parameter of this request: it deletes all images and drafts "+
				"of a creator, and takes creator only.", name)
		}
	}
	if values.Get("creator") == "" {
		return q, invalid("creator must be given and not be empty: all images and drafts of that " +
			"creator are deleted.")
	}
	if _, err := listParameters(raw, "creator"); err != nil { // once, and plain text
		return q, err
	}
	return images.ErasureQuery{Creator: values.Get("creator")}, nil
}
