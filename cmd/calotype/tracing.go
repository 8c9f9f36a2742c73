package main

import (
	"context"
	"time"

	"calotype/internal/trace/otlp"
)

// flushTime limits the time of sending the last spans at the end, after all requests have ended.
const flushTime = 3 * time.Second

// closeTraces sends the last spans.
func closeTraces(e *otlp.Exporter) {
	ctx, cancel := context.WithTimeout(context.Background(), flushTime)
	defer cancel()
	e.Close(ctx)
}

// watchTraces exports the number of spans, if there are any.
func (n *node) watchTraces() error {
	if n.traces == nil {
		return nil
	}
	return n.watch.WatchTraces(n.traces.Stats)
}
