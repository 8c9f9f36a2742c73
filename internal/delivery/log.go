package delivery

import (
	"log/slog"
	"strings"

	"calotype/internal/httpframe"
	"calotype/internal/images"
)

// A logLine holds what the log has of one request besides the attributes of httpframe.
type logLine struct {
	account string       // the ID; "" when unknown
	image   images.Image // zero when unknown
	refusal *refusal
}

// maxReason bounds the reason of a refusal in the log, in bytes.
const maxReason = 300

func (l *logLine) attrs(w *httpframe.Response) []slog.Attr {
	attrs := []slog.Attr{
		slog.String("account", l.account), slog.String("image", l.image.ID),
		slog.String("key", l.image.Key), slog.Int64("bytes", w.Bytes),
	}
	if l.image.Creator != nil {
		attrs = append(attrs, slog.String("creator", *l.image.Creator))
	}
	if l.refusal == nil {
		return attrs
	}
	// The sentence may quote the path.
	reason := l.refusal.sentence[:min(len(l.refusal.sentence), maxReason)]
	attrs = append(attrs, slog.String("reason", strings.ToValidUTF8(reason, "")))
	if l.refusal.cause != nil && w.Err == nil {
		attrs = append(attrs, slog.Any("err", l.refusal.cause))
	}
	return attrs
}
