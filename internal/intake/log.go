package intake

import (
	"log/slog"

	"calotype/internal/images"
)

// A logLine holds what the log has of one request besides the attributes of httpframe: no ticket, no
// metadata and no file name.
type logLine struct {
	image  images.Image // the draft; zero when it was not found
	reason string       // in the response; "" without a refusal
}

func (l *logLine) attrs(bodyBytes int64) []slog.Attr {
	attrs := []slog.Attr{
		slog.String("account", l.image.Account), slog.String("image", l.image.ID),
		slog.String("key", l.image.Key), slog.Int64("bytes", bodyBytes),
	}
	if l.image.Creator != nil {
		attrs = append(attrs, slog.String("creator", *l.image.Creator))
	}
	if l.reason != "" {
		attrs = append(attrs, slog.String("reason", l.reason))
	}
	return attrs
}
