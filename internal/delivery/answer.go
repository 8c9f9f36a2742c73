package delivery

import (
	"fmt"
	"io"
	"net/http"
	"strconv"

	"calotype/internal/httpframe"
	"calotype/internal/httprange"
	"calotype/internal/renditions"
)

// serveWhole sends a whole rendition. It returns false for a request of a part, or under a condition, which
// serveContent answers. A small rendition in memory goes out with its header in one write, a file by sendfile.
func serveWhole(w *httpframe.Response, r *http.Request, rendition renditions.Rendition) bool {
	if isPartial(r) {
		return false
	}
	h := w.Header()
	h["Accept-Ranges"] = acceptRanges
	h["Content-Length"] = []string{strconv.FormatInt(rendition.Size, 10)}
	c := connOf(r.Context())
	switch {
	case rendition.Bytes == nil && c != nil:
		c.cork()
		w.Sending(sendFile(w, rendition))
		w.Sending(c.uncork())
	case rendition.Bytes == nil:
		n, err := io.Copy(w, rendition.Content)
		if err == nil && n < rendition.Size {
			w.Sending(io.ErrUnexpectedEOF)
		}
	case c != nil && len(rendition.Bytes) >= 2*bufferSize: // less is one write to net/http too
		c.cork()
		w.Write(rendition.Bytes) // w records the error
		w.Sending(c.uncork())
	default:
		w.Write(rendition.Bytes)
	}
	return true
}

// isPartial reports whether a request is not one for a whole rendition: its method is HEAD, or it is for a part or
// under a condition.
func isPartial(r *http.Request) bool {
	for _, name := range conditions {
		if _, asked := r.Header[name]; asked {
			return true
		}
	}
	return r.Method != http.MethodGet
}

// sendFile sends the whole of a file. The connection buffers the header until the file comes.
func sendFile(w *httpframe.Response, rendition renditions.Rendition) error {
	w.WriteHeader(http.StatusOK)
	// With the header sent, net/http hands the file to the connection as it is.
	if err := http.NewResponseController(w).Flush(); err != nil {
		return err
	}
	n, err := w.ResponseWriter.(io.ReaderFrom).ReadFrom(&filePart{
		file: rendition.File, size: rendition.Size, extend: w.Extend,
	})
	w.Bytes += n
	return err
}

// conditions are the headers of requests for a part, or under a condition other than If-None-Match, which was
// evaluated before.
var conditions = []string{
	"Range", "If-Match", "If-Modified-Since", "If-None-Match", "If-Range", "If-Unmodified-Since",
}

var acceptRanges = []string{"bytes"}

// maxRanges limits the ranges of an answer: each has a separate header.
const maxRanges = 10

// serveContent sends content, or its requested ranges. It returns a refusal by net/http, of a range outside of the
// picture or of a precondition, in the wire form of deliveries.
func serveContent(w *httpframe.Response, r *http.Request, content io.ReadSeeker) error {
	switch refused := httprange.Serve(w, r, content); refused {
	case 0:
		return nil
	case http.StatusRequestedRangeNotSatisfiable:
		return &refusal{status: refused, code: codeRequest,
			sentence: "The range is not within the picture"}
	case http.StatusPreconditionFailed:
		return &refusal{status: refused, code: codeRequest,
			sentence: "The picture is not the one that If-Match names"}
	default:
		return fmt.Errorf("delivery: net/http refused to serve a rendition with status %d", refused)
	}
}
