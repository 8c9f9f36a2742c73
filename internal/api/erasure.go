package api

import (
	"calotype/internal/cfapi"
	"calotype/internal/images"
)

// eraseCreator erases all images and drafts of a creator, and answers with a receipt.
func (a *api) eraseCreator(c *call) (any, error) {
	query, err := erasureQuery(c.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	receipt, err := a.Core.Erase(c.Context(), c.account, query)
	if err != nil {
		return nil, err
	}
	return cfapi.NewReceipt(receipt, a.Core.Now()), nil
}

func erasureQuery(raw string) (q images.ErasureQuery, err error) {
	values, err := listParameters(raw, "creator")
	if err != nil {
		return q, err
	}
	if values.Get("creator") == "" {
		return q, invalid("creator must be given and not be empty: all images and drafts of that " +
			"creator are deleted.")
	}
	return images.ErasureQuery{Creator: values.Get("creator")}, nil
}
