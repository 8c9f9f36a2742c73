//go:build cgo

package imagestest

import "calotype/internal/render/vips"

// newEngine returns the engine of the workers.
var newEngine = vips.New
