package images

import (
	"context"

	"calotype/internal/lookalikes"
)

// picture returns the values by which the original may be blocked.
func (o *Original) picture() lookalikes.Picture {
	return lookalikes.Picture{SHA256: o.SHA256, Received: o.ReceivedSHA256(), Phash: o.Phash}
}

// refuseBlocked completes an examined original with the SHA-256 of the bytes as they came. It returns Blocked if the
// account blocks the picture: then nothing is stored. The commit decides, because an entry may be added concurrently.
func (b *Body) refuseBlocked(ctx context.Context, o *Original) error {
	if received := b.sha256(); received != o.SHA256 {
		o.received = received
	}
	return lookalikes.Refuse(b.s.db.Reader(ctx), b.account, o.picture())
}
