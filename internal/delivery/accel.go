package delivery

import (
	"net/http"
	"path/filepath"

	"calotype/internal/httpframe"
	"calotype/internal/renditions"
)

// With Config.Accel a proxy on this machine reads renditions from the folder of the cache: the server resolves the URL,
// verifies the signature and selects the rendition, and the answer names the file instead of holding its bytes. The
// name is made of keys, never of what a client sends. A rendition in memory, a part, and an answer under a condition
// are sent as without a proxy.

const (
	// accelHeader is the header of a request by which the proxy says that it reads files. It leaves the header out when
	// it repeats a request because the file was evicted before it has opened it.
	accelHeader = "Calotype-Accel"
	// accelPrefix is the path of the proxy's internal location for the folder of the cache.
	accelPrefix = "/calotype-renditions/"
)

// redirectToFile answers with the name of a rendition's file, if the proxy reads it. It reports whether it did.
func (d *delivery) redirectToFile(w *httpframe.Response, r *http.Request, rendition renditions.Rendition) bool {
	if !d.Accel || rendition.File == nil || r.Header.Get(accelHeader) != "nginx" || isPartial(r) {
		return false
	}
	path := rendition.File.Name()
	h := w.Header()
	h.Set("X-Accel-Redirect", accelPrefix+filepath.Base(filepath.Dir(path))+"/"+filepath.Base(path))
	// nginx would add the Cache-Control of this answer to that of a refusal of the repeated request.
	h["Calotype-Cache-Control"] = h["Cache-Control"]
	h.Del("Cache-Control")
	h.Set("Content-Length", "0") // with it nginx reuses the connection
	w.WriteHeader(http.StatusOK)
	return true
}
