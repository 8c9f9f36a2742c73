//go:build !linux

package disk

import (
	"errors"
	"os"
)

// fallocate returns errors.ErrUnsupported.
func fallocate(*os.File, int64) error { return errors.ErrUnsupported }
