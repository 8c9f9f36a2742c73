package intake

import (
	"net/http"
	"strings"

	"calotype/internal/accept"
	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/uploadpolicy"
)

// checkOrigin refuses a request of a page whose origin the policy of the one-time URL does not have, whatever its
// method, also on the URL of a resumable upload. An unknown ticket is refused later, with headers that let the page
// read the refusal. Errors: OriginRefused; others if the policy cannot be read, except for a preflight.
func (c *call) checkOrigin() error {
	origin := c.r.Header.Get("Origin")
	switch {
	case origin == "":
		return nil
	case origin == "null" && c.r.Header.Get("Sec-Fetch-Site") == "same-origin":
		// The plain form of the upload page, whose Referrer-Policy hides its origin. Pages cannot set this header.
		origin = uploadpolicy.OriginOf(c.URLs.Upload)
	}
	check, secret := c.Core.CheckOrigin, ticketOf(c.r)
	if p, s := resourceOf(c.r.URL.Path); p != nil {
		check, secret = c.Core.CheckPartialOrigin, s
	}
	err := check(c.r.Context(), secret, origin)
	switch kind := errs.AsError(err).Kind; {
	case kind == errs.TicketUnknown, kind != errs.OriginRefused && c.r.Method == http.MethodOptions:
		return nil
	}
	return err
}

// removeCORS removes the headers by which pages of other origins may read the answer.
func removeCORS(h http.Header) {
	for name := range h {
		if strings.HasPrefix(name, "Access-Control-") {
			h.Del(name)
		}
	}
}

// statusOK is the status of an accepted upload in the query of a redirect. Another status is a code of a refusal.
const statusOK = "ok"

// redirect answers a browser that posts a form with 303 to the address of the policy, and reports whether it did.
// draft is the zero Image if the ticket is unknown; id is that of the image. A page's own requests are not redirected:
// it reads the envelope.
func redirect(w http.ResponseWriter, r *http.Request, draft images.Image, id, status string) bool {
	if r.Method != http.MethodPost || !isNavigation(r.Header) {
		return false
	}
	policy, err := draft.UploadPolicy()
	if err != nil || policy.Redirect == "" {
		return false
	}
	w.Header().Set("Location", policy.RedirectTo(id, status))
	w.WriteHeader(http.StatusSeeOther)
	return true
}

// isNavigation reports whether a browser shows the answer to its user. Browsers send Sec-Fetch-Mode to secure
// addresses only.
func isNavigation(h http.Header) bool {
	if mode := h.Get("Sec-Fetch-Mode"); mode != "" {
		return mode == "navigate"
	}
	for media, weight := range accept.Items(h["Accept"]) {
		switch media = strings.ToLower(media); {
		case weight == 0:
		case media == "text/html":
			return true
		case media == "application/json", strings.HasSuffix(media, "+json"):
			return false
		}
	}
	return false
}
