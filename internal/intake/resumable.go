package intake

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"calotype/internal/cfapi"
	"calotype/internal/errs"
	"calotype/internal/images"
)

// This file speaks the resumable uploads of the IETF, draft-ietf-httpbis-resumable-upload, as its interop versions
// 6 to 10 have it.

const (
	ietfBody        = "application/partial-upload"
	interopHeader   = "Upload-Draft-Interop-Version"
	statusResumable = 104 // Upload Resumption Supported
	problems        = "https://iana.org/assignments/http-problem-types#"
)

// An interop is a version of the draft, with what differs between the versions for a server. Version 6 is that of
// the drafts -04 and -05, version 7 of -06 to -08, version 8 of -09 to -11, version 9 of -12, version 10 of -13.
type interop struct {
	version  int64
	age      string // the key of Upload-Limit for the seconds that an upload still exists
	location bool   // each interim answer of a creation has the Location
}

// interops are the supported versions, the newest last.
var interops = []interop{{6, "expires", false}, {7, "max-age", false}, {8, "max-age", true}, {9, "max-age", true},
	{10, "max-age", true}}

// interopVersion returns the version of a client, nil if it names none that is supported. Such a client gets no
// interim answers, as the draft demands.
func interopVersion(h http.Header) *interop {
	n, ok := intHeader(h, interopHeader)
	for i := range interops {
		if ok && interops[i].version == n {
			return &interops[i]
		}
	}
	return nil
}

var ietf = &protocol{
	prefix:  Prefix + "resumable/",
	prepare: func(*call) {},
	refuse:  refuseResumable,
}

// errPartOfForm refuses the first part of a form: the parts of an upload are parts of the picture.
var errPartOfForm error = errs.Errorf(errs.NotForm, "A form cannot be sent in parts: send the picture "+
	"itself, with its media type as the Content-Type")

// errInconsistent refuses lengths of one upload that differ.
var errInconsistent error = errs.Errorf(errs.Invalid, "Bad request: the length of the upload, by Upload-Length or by "+
	"Content-Length, differs from the one that was known before")

// errCompleted refuses an append to an upload that is complete.
var errCompleted error = errs.Errorf(errs.Invalid, "Bad request: the upload is already complete; GET returns its "+
	"answer")

// refuseResumable adds what the draft demands of refusals.
func refuseResumable(c *call, refusal *cfapi.Error, err error) *cfapi.Problem {
	h := c.w.Header()
	switch errs.AsError(err).Kind {
	case errs.TooLarge, errs.PolicyRefused:
		h.Set("Upload-Limit", dictionary(member{"max-size", c.maxBytes(c.line.image)}))
	case errs.Unsupported, errs.Undecodable, errs.OverLimits, errs.Blocked:
		c.transmitted = true
	}
	h.Set("Upload-Complete", "?0") // the refusal is not the result of an upload
	if c.transmitted && refusal.Status < http.StatusInternalServerError {
		// The upload is complete, and refused: nothing is left to resume.
		h.Set("Upload-Complete", "?1")
	}
	at := new(images.OffsetError)
	switch {
	case errors.As(err, &at):
		setOffset(h, at.Offset)
		p := &cfapi.Problem{Type: problems + "mismatching-upload-offset", Expected: &at.Offset,
			Title: "offset from request does not match offset of resource"}
		if provided, ok := intHeader(c.r.Header, "Upload-Offset"); ok {
			p.Provided = &provided
		}
		return p
	case errors.Is(err, errInconsistent):
		return &cfapi.Problem{Type: problems + "inconsistent-upload-length",
			Title: "inconsistent length values for upload"}
	case errors.Is(err, errCompleted):
		return &cfapi.Problem{Type: problems + "completed-upload", Title: "upload is already completed"}
	}
	return nil
}

// setResumableSupport sets the headers by which a client finds out that a URL accepts resumable uploads.
func setResumableSupport(h http.Header, maxBytes int64) {
	h.Set("Accept-Patch", ietfBody)
	h.Set("Upload-Limit", dictionary(member{"max-size", maxBytes}))
}

// limitHeader returns the Upload-Limit of an upload for a client of a version; nil means the newest version.
func (c *call) limitHeader(p images.Partial, version *interop) string {
	if version == nil {
		version = &interops[len(interops)-1]
	}
	limits := []member{{"max-size", c.maxBytes(p.Draft)}}
	if p.MinAppend > 0 {
		limits = append(limits, member{"min-append-size", p.MinAppend})
	}
	if !p.Expires.IsZero() {
		limits = append(limits, member{version.age, int64(max(0, p.Expires.Sub(c.Core.Now())) / time.Second)})
	}
	return dictionary(limits...)
}

// createResumable creates an upload resource and appends the body to it. complete says that the body is the whole
// picture.
func (c *call) createResumable(complete bool, version *interop) error {
	length, err := c.declaredLength(0, complete)
	if err != nil {
		return err
	}
	p, secret, err := c.Core.CreatePartial(c.r.Context(), c.newPartial(length, declaredName(c.r)))
	switch kind := errs.AsError(err).Kind; {
	case err == nil:
	case complete && (kind == errs.TicketUsed || kind == errs.TicketBusy || kind == errs.Busy):
		// Perhaps a repeat with the Idempotency-Key, or one that waits for the others, or needs no space for parts.
		return c.whole(rawBody)
	default:
		return err
	}
	c.line.image = p.Draft
	location, limits := c.location(secret), c.limitHeader(p, version)
	if version != nil {
		if err := c.interim(version, "Location", location, "Upload-Limit", limits); err != nil {
			return err
		}
	}
	if !complete {
		c.w.Header().Set("Location", location)
	}
	if complete || c.r.ContentLength != 0 {
		p, err = c.appendBody(secret, images.AppendRequest{Length: length, Complete: complete},
			c.progress(version, location))
		if err != nil {
			return err
		}
	}
	return c.answerResumable(p, http.StatusCreated, version)
}

// declaredLength returns the length of the upload that a request at an offset declares, -1 for none.
func (c *call) declaredLength(offset int64, complete bool) (int64, error) {
	length, size := int64(-1), c.r.ContentLength
	if n, ok := intHeader(c.r.Header, "Upload-Length"); ok {
		length = n
	}
	if length >= 0 && size >= 0 && (offset+size > length || complete && offset+size != length) {
		return 0, errInconsistent
	}
	if complete && size >= 0 {
		length = offset + size
	}
	if most := c.Core.MaxUploadBytes(); length > most {
		return 0, images.FileTooLarge(most)
	}
	return length, nil
}

// interim sends an interim answer to a client of a version.
func (c *call) interim(version *interop, headers ...string) error {
	h := http.Header{interopHeader: {strconv.FormatInt(version.version, 10)}}
	for i := 0; i+1 < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	return c.w.Interim(c.r, statusResumable, h)
}

// progress returns the function that sends each stored offset to a client of a version; nil for a client of none.
// location is that of the created upload, "" of an append.
func (c *call) progress(version *interop, location string) func(offset int64) {
	if version == nil {
		return nil
	}
	return func(offset int64) {
		headers := []string{"Upload-Offset", strconv.FormatInt(offset, 10)}
		if location != "" && version.location {
			headers = append(headers, "Location", location)
		}
		// A client that reads nothing loses its connection with the answer at the latest.
		_ = c.interim(version, headers...)
	}
}

// resumableResource answers a request on an upload resource.
func (c *call) resumableResource(secret string) error {
	switch c.r.Method {
	case http.MethodOptions:
		return c.options()
	case http.MethodPatch:
		return c.patchResumable(secret)
	case http.MethodDelete:
		return c.discard(secret)
	case http.MethodHead, http.MethodGet:
		return c.stateOfResumable(secret)
	}
	return c.notAllowed(resourceMethods, "PATCH appends to a resumable upload, HEAD returns its offset")
}

// stateOfResumable answers with the offset of an upload. GET of an accepted one has its image too.
func (c *call) stateOfResumable(secret string) error {
	p, err := c.partial(secret)
	if err != nil {
		return err
	}
	if p.Length >= 0 {
		c.w.Header().Set("Upload-Length", strconv.FormatInt(p.Length, 10))
	}
	c.setResumableState(p, interopVersion(c.r.Header))
	if c.r.Method == http.MethodGet && p.Image != nil {
		return c.accepted(*p.Image, http.StatusOK)
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// patchResumable appends the body of the request.
func (c *call) patchResumable(secret string) error {
	c.counts = true
	h := c.r.Header
	if mediaType(h.Get("Content-Type")) != ietfBody {
		c.w.Header().Set("Accept-Patch", ietfBody)
		return errs.Errorf(errs.NotForm, "The Content-Type of a part must be %s", ietfBody)
	}
	offset, ok := intHeader(h, "Upload-Offset")
	if !ok {
		return invalid(http.StatusBadRequest, "Upload-Offset must be the number of bytes that the server has")
	}
	complete, ok := boolHeader(h, "Upload-Complete")
	if !ok {
		return invalid(http.StatusBadRequest, "Upload-Complete must be ?1 for the last part, ?0 for any other")
	}
	length, err := c.declaredLength(offset, complete)
	if err != nil {
		return err
	}
	version := interopVersion(h)
	p, err := c.appendBody(secret, images.AppendRequest{Offset: offset, Length: length, Complete: complete},
		c.progress(version, ""))
	if err != nil {
		return c.whyComplete(secret, offset, err)
	}
	return c.answerResumable(p, http.StatusNoContent, version)
}

// whyComplete returns the refusal of an append, which is a special one if the upload is complete.
func (c *call) whyComplete(secret string, offset int64, why error) error {
	_, err := c.complete(secret, offset, why)
	switch {
	case err != nil:
		return err
	case c.r.ContentLength != 0:
		return errInconsistent
	}
	return errCompleted
}

// answerResumable answers with the image if the upload is complete, else the status incomplete with its state.
func (c *call) answerResumable(p images.Partial, incomplete int, version *interop) error {
	c.setResumableState(p, version)
	if p.Image != nil {
		return c.accepted(*p.Image, http.StatusOK)
	}
	c.line.image = p.Draft
	if incomplete == http.StatusCreated {
		c.w.Header().Set("Content-Length", "0")
	}
	c.w.WriteHeader(incomplete)
	return nil
}

// setResumableState sets the headers with the state of an upload.
func (c *call) setResumableState(p images.Partial, version *interop) {
	h := c.w.Header()
	setOffset(h, p.Offset)
	h.Set("Upload-Limit", c.limitHeader(p, version))
	h.Set("Upload-Complete", "?0")
	if p.Image != nil {
		h.Set("Upload-Complete", "?1")
	}
}
