package blob

import (
	"os"
	"time"
)

// FailRenames makes renames by d fail with the error that fail returns for their old path, if any.
func FailRenames(d *Dir, fail func(oldPath string) error) {
	d.rename = func(oldPath string, folder *os.File, name string) error {
		if err := fail(oldPath); err != nil {
			return &os.LinkError{Op: "renameat", Old: oldPath, New: name, Err: err}
		}
		return renameAt(oldPath, folder, name)
	}
}

// CheckKey returns an error if key is not valid.
func CheckKey(key string) error { return checkKey(key) }

// SetStallTimeout sets the time that one read of an object from S3 may take.
func SetStallTimeout(r any, d time.Duration) { r.(*s3Reader).stall = d }
