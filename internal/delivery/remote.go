package delivery

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/net/publicsuffix"

	"calotype/internal/errs"
	"calotype/internal/httpframe"
	"calotype/internal/images"
	"calotype/internal/outbound"
)

// remote answers with a picture of another server in options. The core requests it, if the operator permits its host.
// redirect: after a failure, the answer is a redirect to the source if that is at the same site.
func (d *delivery) remote(
	w *httpframe.Response, r *request, options string, from source, redirect bool,
) error {
	address := from.url()
	if !d.Renditions.PermitsSource(address) {
		return &refusal{status: http.StatusForbidden, code: errorTable[errs.AccountUnknown].code,
			sentence: fmt.Sprintf("The source is at another server (%.100s), which -remote-sources does not list: "+
				"its operator can add the host. A picture of this server is transformed as /cdn-cgi/image/<options>/"+
				"<account hash>/<image id>/<variant>. See docs/moving.md", from.host)}
	}
	if _, err := parseTransform(options, false); err != nil {
		return badOptions(err)
	}
	err := sourceRefusal(d.sendRemote(w, r, options, address))
	made := new(refusal)
	if err == nil || !redirect || !d.sameSite(from) || errors.As(err, &made) && made.code == codeRequest {
		return err
	}
	h := w.Header()
	for _, name := range append([]string{"Content-Type"}, pictureHeaders...) {
		h.Del(name)
	}
	h.Set("Cache-Control", "no-store")
	h.Set("Location", address)
	w.WriteHeader(http.StatusFound)
	return nil
}

// sendRemote is remote for a permitted source. An error has sent nothing.
func (d *delivery) sendRemote(w *httpframe.Response, r *request, options, address string) error {
	resolved, ttl, err := d.Renditions.ResolveSource(r.Context(), address)
	if err != nil {
		return err
	}
	wanted, err := transformOf(options, resolved)
	if err != nil {
		return err
	}
	resolved.Variant = images.Variant{Options: wanted.options}
	return d.answer(w, r, resolved, remoteCaching(ttl))
}

// url returns the URL of a source at another server.
func (s source) url() string {
	address := s.scheme + "://" + s.host + s.path
	if s.query != "" {
		address += "?" + s.query
	}
	return address
}

// remoteCaching returns the Cache-Control of a rendition of a source that may be cached for ttl.
func remoteCaching(ttl time.Duration) string {
	switch seconds := int64(ttl / time.Second); {
	case ttl < 0:
		return "private, no-store"
	case seconds == 0:
		return "public, max-age=0, must-revalidate"
	default:
		return fmt.Sprintf("public, max-age=%d", seconds)
	}
}

// sameSite reports whether a source is at the site of this server: the part of the host that one owner registers is
// the same.
func (d *delivery) sameSite(from source) bool {
	own, err := url.Parse(d.URL)
	if err != nil {
		return false
	}
	there, err := url.Parse(from.url())
	if err != nil {
		return false
	}
	if own.Hostname() == there.Hostname() {
		return own.Hostname() != ""
	}
	a, err := publicsuffix.EffectiveTLDPlusOne(own.Hostname())
	if err != nil {
		return false
	}
	b, err := publicsuffix.EffectiveTLDPlusOne(there.Hostname())
	return err == nil && a == b
}

// sourceErrors are the wire forms of requests for a source that had no picture as an answer, by cause.
var sourceErrors = map[outbound.Cause]errorRow{
	outbound.CauseConnection: {http.StatusBadGateway, 9505, ""},
	outbound.CauseURL:        {http.StatusForbidden, codeInvalidSource, ""},
	outbound.CauseAddress:    {http.StatusBadGateway, 9518, ""},
	outbound.CausePort:       {http.StatusForbidden, codeInvalidSource, ""},
	outbound.CauseName:       {523, 9510, ""},
	outbound.CauseTime:       {524, 9504, ""},
	outbound.CauseRedirect:   {http.StatusBadRequest, 9420, ""},
	outbound.CauseRedirects:  {http.StatusBadRequest, 9421, ""},
}

// statusRow returns the wire form of a source whose host answered with a status.
func statusRow(status int) errorRow {
	switch {
	case status == http.StatusNotFound, status == http.StatusGone:
		return errorRow{http.StatusNotFound, 9404, ""}
	case status == http.StatusBadRequest:
		return errorRow{http.StatusBadGateway, 9519, ""}
	case status > http.StatusBadRequest && status < http.StatusInternalServerError:
		return errorRow{http.StatusRequestTimeout, 9408, ""}
	case status >= http.StatusInternalServerError:
		return errorRow{http.StatusBadGateway, 9509, ""}
	}
	return errorRow{http.StatusBadGateway, 9505, ""}
}

// sourceRefusal returns the refusal of an error that has another wire form for a source than for an image.
func sourceRefusal(err error) error {
	if err == nil {
		return nil
	}
	row, known, why := errorRow{}, false, new(outbound.Error)
	e := errs.AsError(err)
	switch {
	case errors.As(err, &why) && why.Cause == outbound.CauseStatus:
		row, known = statusRow(why.Status), true
	case errors.As(err, &why):
		row, known = sourceErrors[why.Cause]
	case e.Kind == errs.TooLarge:
		return &refusal{status: http.StatusRequestEntityTooLarge, code: 9402, sentence: "The source: " + e.Msg}
	case e.Kind == errs.Unsupported:
		return &refusal{status: http.StatusUnsupportedMediaType, code: 9412, sentence: "The source: " + e.Msg}
	}
	if !known {
		return err
	}
	return &refusal{status: row.status, code: row.code, sentence: "The source: " + why.Reason, cause: err}
}
