package intake

import (
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"calotype/internal/cfapi"
	"calotype/internal/errs"
	"calotype/internal/images"
)

// This file speaks tus 1.0 with the extensions creation, creation-with-upload, termination and expiration. The URL
// of creation is the one-time URL.

const (
	tusVersionHeader = "Tus-Resumable"
	tusVersion       = "1.0.0"
	tusExtensions    = "creation,creation-with-upload,termination,expiration"
	tusBody          = "application/offset+octet-stream"
)

var tus = &protocol{
	prefix:  Prefix + "tus/",
	prepare: func(c *call) { c.w.Header().Set(tusVersionHeader, tusVersion) },
	refuse:  refuseTus,
}

// refuseTus replaces statuses that clients of tus misread: they repeat after 409 and 423, and give up after 408.
func refuseTus(c *call, refusal *cfapi.Error, err error) *cfapi.Problem {
	h := c.w.Header()
	switch errs.AsError(err).Kind {
	case errs.TicketUsed:
		refusal.Status = http.StatusGone
	case errs.TooSlow:
		refusal.Status, refusal.RetryAfter = http.StatusServiceUnavailable, time.Second
	case errs.TooLarge:
		setTusSupport(h, c.maxBytes(c.line.image))
	}
	if of := new(images.OffsetError); errors.As(err, &of) {
		setOffset(h, of.Offset)
	}
	return nil
}

// setTusSupport sets the headers by which a client finds out what is supported.
func setTusSupport(h http.Header, maxBytes int64) {
	h.Set(tusVersionHeader, tusVersion)
	h.Set("Tus-Version", tusVersion)
	h.Set("Tus-Extension", tusExtensions)
	h.Set("Tus-Max-Size", strconv.FormatInt(maxBytes, 10))
}

// checkTusVersion refuses another version of the protocol, and a request that names none.
func (c *call) checkTusVersion() error {
	version := c.r.Header.Get(tusVersionHeader)
	if version == tusVersion {
		return nil
	}
	c.w.Header().Set("Tus-Version", tusVersion)
	return invalid(http.StatusPreconditionFailed, "the header Tus-Resumable must be "+tusVersion)
}

// createTus creates an upload resource, and appends the body if there is one.
func (c *call) createTus() error {
	if err := c.checkTusVersion(); err != nil {
		return err
	}
	h := c.r.Header
	length, err := tusLength(h, c.Core.MaxUploadBytes())
	if err != nil {
		return err
	}
	name, err := tusFilename(h.Get("Upload-Metadata"))
	if err != nil {
		return err
	}
	hasBody := c.r.ContentLength != 0
	switch {
	case hasBody && mediaType(h.Get("Content-Type")) != tusBody:
		return errTusBody
	case c.r.ContentLength > length:
		return invalid(http.StatusBadRequest, "the body has more bytes than Upload-Length")
	}
	n := c.newPartial(length, name)
	n.Metadata = h.Get("Upload-Metadata")
	p, secret, err := c.Core.CreatePartial(c.r.Context(), n)
	if err != nil {
		return err
	}
	c.line.image = p.Draft
	c.w.Header().Set("Location", c.location(secret))
	if hasBody {
		p, err = c.appendBody(secret, images.AppendRequest{Length: -1}, nil)
		if err != nil && mayResume(err) {
			// The upload exists: the client continues at its offset, which a refusal would hide.
			c.line.reason = cfapi.Refusal(err).Message
			c.body.Drain()
			p, err = c.partial(secret)
		}
		if err != nil {
			return err
		}
	}
	return c.answerTus(p, http.StatusCreated, http.StatusCreated)
}

// mayResume reports whether an upload may be continued after the refusal of an append.
func mayResume(err error) bool {
	status := cfapi.Refusal(err).Status
	return status >= http.StatusInternalServerError || status == http.StatusRequestTimeout
}

var errTusBody error = errs.Errorf(errs.NotForm, "The Content-Type of a part must be %s over tus", tusBody)

// tusLength returns the length that a creation declares.
func tusLength(h http.Header, most int64) (int64, error) {
	declared := h.Get("Upload-Length")
	switch {
	case h.Get("Upload-Concat") != "":
		return 0, invalid(http.StatusBadRequest, "Upload-Concat is not supported: send the picture in one upload")
	case h.Get("Upload-Defer-Length") != "":
		return 0, invalid(http.StatusBadRequest, "Upload-Defer-Length is not supported: Upload-Length must be the "+
			"number of bytes of the picture")
	}
	length, ok := digits(declared)
	if !ok {
		return 0, invalid(http.StatusBadRequest, "Upload-Length must be the number of bytes of the picture")
	}
	if length > most {
		return 0, images.FileTooLarge(most)
	}
	return length, nil
}

// digits parses a non-negative decimal number without sign; one that is too large for it is the largest.
func digits(s string) (n int64, ok bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, _ = strconv.ParseInt(s, 10, 64) // out of range: the largest
	return n, true
}

// maxTusMetadata is the limit of Upload-Metadata, in bytes. The row of an upload has it.
const maxTusMetadata = 4096

// tusFilename returns the file name in an Upload-Metadata, "" for none. All other keys are stored for the client only.
func tusFilename(metadata string) (string, error) {
	notASCII := func(r rune) bool { return r > unicode.MaxASCII }
	if len(metadata) > maxTusMetadata || strings.ContainsFunc(metadata, notASCII) {
		return "", invalid(http.StatusBadRequest, "Upload-Metadata must be ASCII, and at most "+
			strconv.Itoa(maxTusMetadata)+" bytes")
	}
	for pair := range strings.SplitSeq(metadata, ",") {
		key, value, _ := strings.Cut(strings.TrimSpace(pair), " ")
		if key != "filename" {
			continue
		}
		value = strings.TrimRight(strings.TrimSpace(value), "=")
		name, err := base64.RawStdEncoding.DecodeString(value)
		if err != nil {
			return "", invalid(http.StatusBadRequest, "the filename in Upload-Metadata must be in base64")
		}
		return string(name), nil
	}
	return "", nil
}

// tusResource answers a request on an upload resource.
func (c *call) tusResource(secret string) error {
	switch c.r.Method {
	case http.MethodOptions:
		return c.options()
	case http.MethodGet:
		return c.outcome(secret)
	case http.MethodHead, http.MethodPatch, http.MethodDelete:
	default:
		return c.notAllowed(resourceMethods, "PATCH appends to an upload over tus, HEAD returns its offset")
	}
	if err := c.checkTusVersion(); err != nil {
		return err
	}
	switch c.r.Method {
	case http.MethodPatch:
		return c.patchTus(secret)
	case http.MethodDelete:
		return c.discard(secret)
	}
	p, err := c.partial(secret)
	if err != nil {
		return err
	}
	if p.Length < 0 {
		c.w.Header().Set("Upload-Defer-Length", "1")
	} else {
		c.w.Header().Set("Upload-Length", strconv.FormatInt(p.Length, 10))
	}
	if p.Metadata != "" {
		c.w.Header().Set("Upload-Metadata", p.Metadata)
	}
	setTusOffset(c.w.Header(), p)
	c.w.WriteHeader(http.StatusOK)
	return nil
}

// resourceMethods are the methods of upload resources.
const resourceMethods = "GET, HEAD, PATCH, DELETE, OPTIONS"

// patchTus appends the body of the request.
func (c *call) patchTus(secret string) error {
	c.counts = true
	if mediaType(c.r.Header.Get("Content-Type")) != tusBody {
		return errTusBody
	}
	offset, ok := digits(c.r.Header.Get("Upload-Offset"))
	if !ok {
		return invalid(http.StatusBadRequest, "Upload-Offset must be the number of bytes that the server has")
	}
	p, err := c.appendBody(secret, images.AppendRequest{Offset: offset, Length: -1}, nil)
	if err != nil {
		c.counts = false
		p, err = c.complete(secret, offset, err)
		if err != nil {
			c.counts = true
			return err
		}
	}
	return c.answerTus(p, http.StatusNoContent, http.StatusOK)
}

// answerTus answers with the offset of an upload, and with the image if it is complete.
func (c *call) answerTus(p images.Partial, incomplete, complete int) error {
	setTusOffset(c.w.Header(), p)
	if p.Image != nil {
		return c.accepted(*p.Image, complete)
	}
	c.line.image = p.Draft
	if incomplete == http.StatusCreated {
		c.w.Header().Set("Content-Length", "0")
	}
	c.w.WriteHeader(incomplete)
	return nil
}

func setTusOffset(h http.Header, p images.Partial) {
	setOffset(h, p.Offset)
	if !p.Expires.IsZero() {
		h.Set("Upload-Expires", p.Expires.UTC().Format(http.TimeFormat))
	}
}
