package delivery

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"calotype/internal/images"
)

// A logLine is what the log says of one request.
type logLine struct {
	requestID string
	start     time.Time
	method    string
	account   string       // the ID; "" when unknown
	image     images.Image // zero when unknown
	refusal   *refusal
}

// maxMethod bounds what a stranger can write into the log by the name of a method.
const maxMethod = 16

// maxReason bounds the reason of a refusal in the log, in bytes.
const maxReason = 300

func newLogLine(requestID string, r *http.Request) *logLine {
	method := r.Method[:min(len(r.Method), maxMethod)]
	return &logLine{requestID: requestID, start: time.Now(), method: method}
}

// write writes the line. What the server is to blame for is an error; that it is busy, a warning;
// clients that go away belong to the day.
func (l *logLine) write(ctx context.Context, log *slog.Logger, a *answer, took time.Duration) {
	refused := refusal{}
	if l.refusal != nil {
		refused = *l.refusal
	}
	level := slog.LevelInfo
	switch refused.status {
	case http.StatusServiceUnavailable:
		level = slog.LevelWarn
	case http.StatusInternalServerError:
		level = slog.LevelError
	}
	attrs := []slog.Attr{
		slog.String("request_id", l.requestID), slog.String("method", l.method),
		slog.String("account", l.account), slog.String("image", l.image.ID),
		slog.String("key", l.image.Key), slog.Int("status", a.status),
		slog.Int("code", refused.code), slog.Int64("bytes", a.bytes), slog.Duration("took", took),
	}
	if l.image.Creator != nil {
		attrs = append(attrs, slog.String("creator", *l.image.Creator))
	}
	if refused.sentence != "" {
		// It may quote the path.
		reason := strings.ToValidUTF8(refused.sentence[:min(len(refused.sentence), maxReason)], "")
		attrs = append(attrs, slog.String("reason", reason))
	}
	if refused.cause != nil {
		attrs = append(attrs, slog.Any("err", refused.cause))
	}
	if a.err != nil {
		attrs = append(attrs, slog.Any("cut", a.err))
	}
	log.LogAttrs(ctx, level, "delivery", attrs...)
}
