package errs_test

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"golang.org/x/sys/unix"

	"calotype/internal/errs"
)

// A request during a lack of file descriptors may be retried: the request has no fault.
func TestTooManyOpenFilesIsBusy(t *testing.T) {
	t.Parallel()
	for _, cause := range []error{unix.EMFILE, unix.ENFILE} {
		err := fmt.Errorf("making a spool file: %w", &fs.PathError{Op: "open", Path: "x", Err: cause})
		if e := errs.AsError(err); e.Kind != errs.Busy || e.RetryAfter == 0 || !errors.Is(e, cause) {
			t.Errorf("%v is %+v", err, e)
		}
	}
	if e := errs.AsError(unix.EACCES); e.Kind != errs.Internal {
		t.Errorf("another error is %+v", e)
	}
}
