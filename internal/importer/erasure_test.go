package importer_test

import (
	"net/http"
	"strings"
	"testing"

	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
)

// TestAnImportUndoesNoErasure erases a creator and deletes an image during their import: the same run
// does not import them again.
func TestAnImportUndoesNoErasure(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		s := newSource(t)
		s.add(24)
		for i := range s.images[:20] {
			s.images[i].more = `,"creator":"gone"`
		}
		deleted := s.images[20].id
		asked := 0
		s.refuse = func(_ http.ResponseWriter, path string) bool {
			if !strings.HasSuffix(path, "/blob") {
				return false
			}
			if asked++; asked == 23 {
				_, err := core.Erase(t.Context(), account, images.ErasureQuery{Creator: "gone"})
				if err != nil {
					t.Error(err)
				}
				err = core.DeleteImage(t.Context(), account, deleted)
				if err != nil && errs.AsError(err).Kind != errs.ImageNotFound {
					t.Error(err)
				}
			}
			return false
		}
		report := bring(t, config(t, s, core), nil)
		var left int
		err := core.DB.QueryRow(t.Context(),
			`SELECT count(*) FROM images WHERE creator = 'gone'`).Scan(&left)
		if err != nil || left != 0 || asked < 23 {
			t.Errorf("%d images of the erased creator are here, %v; report %+v", left, err, report.Images)
		}
		imagestest.CheckUsage(t, core)
	})
}
