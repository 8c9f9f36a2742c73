package intake

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"calotype/internal/images"
)

// A logLine is what the log says of one request: what finds it again, and how it ended. The ticket, the
// metadata and the file name are not in it.
type logLine struct {
	requestID, method string
	image             images.Image // the draft; zero when it was not found
	status, code      int
	reason            string // in the client's answer; "" without a refusal
	bytes             int64
	took              time.Duration
	err               error
}

// write writes the line. What the server is to blame for is an error; that it is busy, a warning.
func (l *logLine) write(ctx context.Context, log *slog.Logger) {
	attrs := []slog.Attr{
		slog.String("request_id", l.requestID), slog.String("method", l.method),
		slog.String("account", l.image.Account), slog.String("image", l.image.ID),
		slog.String("key", l.image.Key), slog.Int("status", l.status), slog.Int("code", l.code),
		slog.Int64("bytes", l.bytes), slog.Duration("took", l.took),
	}
	if l.image.Creator != nil {
		attrs = append(attrs, slog.String("creator", *l.image.Creator))
	}
	if l.reason != "" {
		attrs = append(attrs, slog.String("reason", l.reason))
	}
	level := slog.LevelInfo
	if l.err != nil {
		level = slog.LevelError
		if l.status == http.StatusServiceUnavailable {
			level = slog.LevelWarn
		}
		attrs = append(attrs, slog.Any("err", l.err))
	}
	log.LogAttrs(ctx, level, "upload", attrs...)
}
