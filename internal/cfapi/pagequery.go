package cfapi

// The form of the upload page has the query parameter PageQuery, which asks for a redirect to the page as the answer.
// The redirect has the result as its value: PageDone, or the code of the refusal.
const (
	PageQuery = "page"
	PageForm  = "form"
	PageDone  = "done"
)
