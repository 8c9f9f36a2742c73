package pages

import (
	"io/fs"
	"log/slog"
	"net/http"
	"regexp"
	"strings"

	"calotype/internal/httpframe"
	"calotype/internal/requestid"
)

// uploaderPath is the path of the uploader, a script for the pages of other sites. web/uploader has its source.
const uploaderPath = "/uploader.js"

// versionedUploader is the path of the uploader with the hash of its content.
var versionedUploader = regexp.MustCompile(`^/uploader-([0-9a-f]{12})\.js$`)

// ServesScripts reports whether a path is /uploader.js, the same with a hash, or below UploadFiles.
func ServesScripts(path string) bool {
	return path == uploaderPath || versionedUploader.MatchString(path) || strings.HasPrefix(path, UploadFiles)
}

// NewScripts returns the handler of the paths that ServesScripts names. It logs failures only.
func NewScripts(log *slog.Logger) http.Handler { return newScripts(log, embedded()) }

func newScripts(log *slog.Logger, web fs.FS) http.Handler {
	uploader, page := newUploader(web), newUploadFiles(web)
	frame := httpframe.Frame{Message: "script", Log: log, Quiet: true}
	return http.HandlerFunc(func(bare http.ResponseWriter, r *http.Request) {
		frame.Serve(bare, r, func(w *httpframe.Response) error {
			requestid.Give(w, r)
			w.Header().Set("X-Content-Type-Options", "nosniff")
			switch name, found := strings.CutPrefix(r.URL.Path, UploadFiles); {
			case r.Method != http.MethodGet && r.Method != http.MethodHead:
				w.Header().Set("Allow", "GET, HEAD")
				w.Header().Set("Access-Control-Allow-Origin", "*")
				http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			case found:
				page.serve(w, r, name)
			default:
				uploader.ServeHTTP(w, r)
			}
			return nil
		}, refuse)
	})
}

func newUploader(web fs.FS) http.Handler {
	content, err := fs.ReadFile(web, "uploader.js")
	if err != nil {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Access-Control-Allow-Origin", "*")
			http.Error(w, "This program was built without its web part. Build it with \"make build\".",
				http.StatusNotImplemented)
		})
	}
	return uploader{newAsset(content, kinds[".js"])}
}

type uploader struct{ asset }

// ServeHTTP answers with the script, for the pages of any site. A path with another hash, of the release before or
// after on another node, gets the same script: a page that names it must work after an upgrade.
func (u uploader) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	h.Set("Content-Location", "/uploader-"+u.hash+".js")
	h.Set("Access-Control-Expose-Headers", "Content-Location")
	h.Set("Cache-Control", "public, max-age=300")
	if hash := versionedUploader.FindStringSubmatch(r.URL.Path); hash != nil {
		h.Set("Cache-Control", "no-cache")
		if hash[1] == u.hash {
			h.Set("Cache-Control", immutable)
		}
	}
	u.serve(w, r)
}
