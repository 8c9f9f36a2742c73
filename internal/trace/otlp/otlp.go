// Package otlp sends traces to a collector of OpenTelemetry, by OTLP over HTTP. The variables OTEL_* of the
// OpenTelemetry specification configure it.
//
// The end of a span never waits: ended spans enter a queue of bounded size, and one goroutine sends them in batches. A
// span that finds the queue full is discarded and counted.
package otlp

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"

	"calotype/internal/trace"
)

// complainEvery is the least time between two log lines about the collector.
const complainEvery = time.Minute

// An Exporter sends the traces of a server. A nil Exporter sends none.
type Exporter struct {
	provider *sdk.TracerProvider
	tracer   *trace.Tracer
	sender   *sender
}

// Start returns the Exporter that the environment requests, nil if it requests none. The error names a variable whose
// value is not valid. version is the version of the program.
func Start(ctx context.Context, version string, log *slog.Logger) (*Exporter, error) {
	if err := Check(); err != nil || !requested() {
		return nil, err
	}
	// The SDK would write to stderr, also values that may be secrets.
	otel.SetLogger(logr.Discard())
	collector, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("setting up the export of traces: %w", err)
	}
	s := &sender{collector: collector, log: log, most: int64(queue())}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(s.complain))
	// Later detectors have precedence: OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES.
	described, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithHost(), resource.WithAttributes(
		attribute.String("service.name", "calotype"), attribute.String("service.version", version)),
		resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("reading the attributes of traces: %w", err)
	}
	s.SpanProcessor = sdk.NewBatchSpanProcessor(s.exporter(), sdk.WithMaxQueueSize(int(s.most)))
	provider := sdk.NewTracerProvider(sdk.WithResource(described), sdk.WithSpanProcessor(s))
	return &Exporter{provider, trace.New(provider), s}, nil
}

// Tracer returns the Tracer whose spans the Exporter sends; nil for a nil Exporter.
func (e *Exporter) Tracer() *trace.Tracer {
	if e == nil {
		return nil
	}
	return e.tracer
}

// Stats counts the spans.
func (e *Exporter) Stats() trace.Stats {
	s := e.sender
	return trace.Stats{Exported: s.exported.Load(), Failed: s.failed.Load(), Dropped: s.dropped.Load(),
		Queued: s.queued.Load()}
}

// Close sends the spans in the queue until ctx ends, and logs how many were not sent.
func (e *Exporter) Close(ctx context.Context) {
	if e == nil {
		return
	}
	if err := e.provider.Shutdown(ctx); err != nil || e.sender.queued.Load() > 0 {
		e.sender.log.Warn("the last spans were not sent to the collector of traces", "spans", e.sender.queued.Load(),
			"err", err)
	}
}

// A sender is the processor of ended spans. It admits them to a batch processor. The batch processor has a queue of the
// same size and does not count what it discards; with the sender before it, it discards nothing.
type sender struct {
	sdk.SpanProcessor
	collector sdk.SpanExporter
	log       *slog.Logger
	most      int64

	queued, dropped, exported, failed atomic.Int64

	complained atomic.Int64 // Unix time, seconds
}

// OnEnd admits a span.
func (s *sender) OnEnd(span sdk.ReadOnlySpan) {
	if !span.SpanContext().IsSampled() {
		return
	}
	if s.queued.Add(1) > s.most {
		s.queued.Add(-1)
		s.dropped.Add(1)
		return
	}
	s.SpanProcessor.OnEnd(span)
}

// exporter returns the exporter of the batch processor, which counts what the collector accepts.
func (s *sender) exporter() sdk.SpanExporter { return counting{s} }

type counting struct{ *sender }

// ExportSpans sends a batch. It logs its error itself.
func (c counting) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := c.collector.ExportSpans(ctx, spans)
	c.queued.Add(-int64(len(spans)))
	if err != nil {
		c.failed.Add(int64(len(spans)))
		c.complain(err)
		return nil
	}
	c.exported.Add(int64(len(spans)))
	return nil
}

// Shutdown ends the exporter.
func (c counting) Shutdown(ctx context.Context) error { return c.collector.Shutdown(ctx) }

// complain logs an error of the collector, once in complainEvery.
func (s *sender) complain(err error) {
	now, last := time.Now().Unix(), s.complained.Load()
	if now-last < int64(complainEvery/time.Second) || !s.complained.CompareAndSwap(last, now) {
		return
	}
	s.log.Warn("sending traces to the collector failed", "failed", s.failed.Load(), "dropped", s.dropped.Load(),
		"err", err)
}
