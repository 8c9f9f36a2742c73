package intake

import (
	"net/http"
	"strconv"

	"calotype/internal/cfapi"
)

// redirectToPage answers the form of the upload page with 303 to the page, which says the result, and reports whether
// it did. code is that of the refusal, 0 for an accepted picture. The address is relative: the page is where the form
// is.
func (c *call) redirectToPage(code int) bool {
	query := c.r.URL.Query()
	if c.Page == nil || c.r.Method != http.MethodPost || c.protocol != single ||
		query.Get(cfapi.PageQuery) != cfapi.PageForm {
		return false
	}
	result := cfapi.PageDone
	if code != 0 {
		result = strconv.Itoa(code)
	}
	query.Set(cfapi.PageQuery, result)
	c.w.Header().Set("Location", "?"+query.Encode())
	c.w.WriteHeader(http.StatusSeeOther)
	return true
}
