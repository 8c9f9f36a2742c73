// Package trace starts the spans of OpenTelemetry traces. Other packages do not depend on OpenTelemetry.
//
// A surface starts the trace of a request, and the notifier that of an attempt, with a Tracer. Code below them
// calls Start and Record, which find the span of their caller in the context. Without a Tracer no context has a span:
// then all functions return at once and allocate nothing.
//
// A span holds no text that a client sent, except ids of images, and never the text of an error, which may quote a
// URL or an address: a failed span has the Reason of its error.
package trace

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// scope is the name of the instrumentation in each span.
const scope = "calotype"

// A Tracer starts traces. A nil Tracer starts none.
type Tracer struct{ tracer trace.Tracer }

// New returns a Tracer whose spans go to a provider.
func New(p trace.TracerProvider) *Tracer { return &Tracer{p.Tracer(scope)} }

// A Span is one operation of a trace. The methods of a nil Span do nothing.
type Span struct{ span trace.Span }

// Stats counts the spans of a server since its start.
type Stats struct {
	Exported int64 // accepted by the collector
	Failed   int64 // not accepted after all retries
	Dropped  int64 // discarded because the queue was full
	Queued   int64 // in the queue now
}

// propagator reads and writes traceparent and tracestate, the headers of W3C Trace Context.
var propagator = propagation.TraceContext{}

// Serve starts the span of a request that began at a time, and returns the request to continue with. A trusted
// request continues the trace of its traceparent, with its decision on sampling. Any other request starts a new
// trace, with a link to that one: a stranger must not decide which traces are recorded.
func (t *Tracer) Serve(r *http.Request, name string, began time.Time, trusted bool) (*http.Request, *Span) {
	if t == nil {
		return r, nil
	}
	options := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(began)}
	ctx := r.Context()
	named := propagator.Extract(ctx, propagation.HeaderCarrier(r.Header))
	switch caller := trace.SpanContextFromContext(named); {
	case !caller.IsValid():
	case trusted:
		ctx = named
	default:
		options = append(options, trace.WithLinks(trace.Link{SpanContext: caller.WithTraceState(trace.TraceState{})}))
	}
	ctx, span := t.tracer.Start(ctx, name, options...)
	return r.WithContext(ctx), &Span{span}
}

// Send starts a new trace with the span of a request to another server, and sets its header traceparent.
func (t *Tracer) Send(ctx context.Context, name string, header http.Header) (context.Context, *Span) {
	if t == nil {
		return ctx, nil
	}
	ctx, span := t.tracer.Start(ctx, name, trace.WithNewRoot(), trace.WithSpanKind(trace.SpanKindClient))
	propagator.Inject(ctx, propagation.HeaderCarrier(header))
	return ctx, &Span{span}
}

// Start starts a span below the one in ctx. Without one there it returns ctx and nil. The caller ends the span.
func Start(ctx context.Context, name string) (context.Context, *Span) {
	above := trace.SpanFromContext(ctx)
	if !above.SpanContext().IsValid() {
		return ctx, nil
	}
	ctx, span := above.TracerProvider().Tracer(scope).Start(ctx, name)
	return ctx, &Span{span}
}

// Record adds a span that began at a time and ends now, below the one in ctx. err is the result of the operation.
func Record(ctx context.Context, name string, began time.Time, err error) {
	above := trace.SpanFromContext(ctx)
	if !above.IsRecording() {
		return
	}
	_, span := above.TracerProvider().Tracer(scope).Start(ctx, name, trace.WithTimestamp(began))
	(&Span{span}).End(err)
}

// Carry returns to with the span of from, for work that outlives the request that started it.
func Carry(to, from context.Context) context.Context {
	span := trace.SpanFromContext(from)
	if !span.SpanContext().IsValid() {
		return to
	}
	return trace.ContextWithSpan(to, span)
}

// Recording reports whether the attributes of a span are recorded.
func (s *Span) Recording() bool { return s != nil && s.span.IsRecording() }

// Name changes the name of a span.
func (s *Span) Name(name string) {
	if s != nil {
		s.span.SetName(name)
	}
}

// Set sets attributes of a span: texts, and numbers.
func (s *Span) Set(attrs ...slog.Attr) {
	if !s.Recording() {
		return
	}
	for _, a := range attrs {
		switch a.Value.Kind() {
		case slog.KindInt64:
			s.span.SetAttributes(attribute.Int64(a.Key, a.Value.Int64()))
		default:
			s.span.SetAttributes(attribute.String(a.Key, a.Value.String()))
		}
	}
}

// Fail gives a span the status Error, for a reason that is a constant of the program or a number.
func (s *Span) Fail(reason string) {
	if s.Recording() {
		s.span.SetStatus(codes.Error, reason)
		s.span.SetAttributes(attribute.String("error.type", reason))
	}
}

// End ends a span. With an error its status is Error, for the Reason of the error.
func (s *Span) End(err error) {
	if s == nil {
		return
	}
	if err != nil {
		s.Fail(Reason(err))
	}
	s.span.End()
}

// Reason returns the class of an error: what its method Reason returns, if an error of its chain has one.
func Reason(err error) string {
	var classed interface{ Reason() string }
	switch {
	case errors.As(err, &classed):
		return classed.Reason()
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	}
	return "error"
}

// Attrs adds the ids of a recorded trace and its span to the attributes of a log line.
func (s *Span) Attrs(attrs []slog.Attr) []slog.Attr {
	if s == nil || !s.span.SpanContext().IsSampled() {
		return attrs
	}
	c := s.span.SpanContext()
	return append(attrs, slog.String("trace_id", c.TraceID().String()), slog.String("span_id", c.SpanID().String()))
}
