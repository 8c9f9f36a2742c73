package renditions

import "calotype/internal/imagefile"

// MadeFormat is the format that is made of a picture when f is asked for.
func (r Resolved) MadeFormat(f imagefile.Format) imagefile.Format { return r.format(f) }

// EagerQueue is the number of images that wait to be rendered eagerly.
const EagerQueue = eagerQueue
