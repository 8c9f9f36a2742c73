// Package httprange answers requests with a Range header, on top of net/http.
package httprange

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Serve answers a request with content, or with the ranges that the request asks for. The
// caller has set Content-Type, and ETag if there is one. If net/http refuses the request, because of
// a precondition or of a range outside of content, Serve sends nothing and returns the status of the
// refusal; otherwise it returns 0.
func Serve(w http.ResponseWriter, r *http.Request, content io.ReadSeeker) (refused int) {
	answer := &withoutRefusal{ResponseWriter: w}
	http.ServeContent(answer, r, "", time.Time{}, content)
	return answer.refused
}

// withoutRefusal passes an answer on, unless it is an error: then it stores the status and
// discards the text.
type withoutRefusal struct {
	http.ResponseWriter
	refused int
}

func (w *withoutRefusal) WriteHeader(status int) {
	if status >= http.StatusBadRequest {
		w.refused = status
		return
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *withoutRefusal) Write(p []byte) (int, error) {
	if w.refused != 0 {
		return len(p), nil
	}
	return w.ResponseWriter.Write(p)
}

// ReadFrom makes sendfile possible, by which the kernel copies a file to a connection.
func (w *withoutRefusal) ReadFrom(src io.Reader) (int64, error) {
	if from, ok := w.ResponseWriter.(io.ReaderFrom); ok && w.refused == 0 {
		return from.ReadFrom(src)
	}
	return io.Copy(struct{ io.Writer }{w}, src)
}

// Unwrap is for http.ResponseController.
func (w *withoutRefusal) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Clean deletes the Range header of a request unless it is a valid range in bytes. A range in another
// unit, an invalid one, and more ranges than most are answered with the whole content, as the standard
// says: a client that can use a part can use the whole, but not a refusal. For more than one range
// net/http reads the content in a goroutine, which may outlive Serve.
func Clean(h http.Header, most int) {
	asked, ok := h["Range"]
	if !ok {
		return
	}
	unit, ranges, _ := strings.Cut(asked[0], "=")
	if !strings.EqualFold(strings.TrimSpace(unit), "bytes") || len(asked) > 1 {
		delete(h, "Range")
		return
	}
	var plain []string
	for spec := range strings.SplitSeq(ranges, ",") {
		spec = strings.Trim(spec, " \t")
		if spec == "" {
			continue
		}
		first, last, ok := strings.Cut(spec, "-")
		from, fromOK := position(first)
		to, toOK := position(last)
		if !ok || !fromOK || !toOK || first == "" && last == "" ||
			first != "" && last != "" && from > to {
			delete(h, "Range")
			return
		}
		plain = append(plain, plainPosition(first, from)+"-"+plainPosition(last, to))
	}
	if plain == nil || len(plain) > most {
		delete(h, "Range")
		return
	}
	h["Range"] = []string{"bytes=" + strings.Join(plain, ",")}
}

// farPosition replaces every larger position. It is larger than any picture.
const farPosition = 1 << 60

// position reads digits; none are 0.
func position(digits string) (n int64, ok bool) {
	if strings.Trim(digits, "0123456789") != "" {
		return 0, false
	}
	if digits == "" {
		return 0, true
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n > farPosition {
		n = farPosition
	}
	return n, true
}

func plainPosition(digits string, n int64) string {
	if digits == "" {
		return ""
	}
	return strconv.FormatInt(n, 10)
}
