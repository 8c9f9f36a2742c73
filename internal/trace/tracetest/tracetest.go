// Package tracetest has a collector of traces for tests: it receives OTLP over HTTP on a loopback address.
package tracetest

import (
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	spans "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// A Span is a received span. Ids are hex, Parent is "" for a root.
type Span struct {
	Name, Trace, ID, Parent string
	Kind                    string
	Failed                  string            // the description of the status Error; "" for another status
	Attrs                   map[string]string // of the span
	Resource                map[string]string
	Links                   []string // ids of traces
	Took                    time.Duration
}

// A Collector receives spans.
type Collector struct {
	*httptest.Server
	mu     sync.Mutex
	spans  []Span
	bodies strings.Builder // all that was received, for searches
	header http.Header     // of the last request
}

// New starts a Collector. before is called at each request; nil for nothing.
func New(t testing.TB, before func()) *Collector {
	t.Helper()
	c := &Collector{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if before != nil {
			before()
		}
		if err := c.receive(r); err != nil {
			t.Errorf("the collector received: %v", err)
			w.WriteHeader(http.StatusBadRequest)
		}
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *Collector) receive(r *http.Request) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	var message collector.ExportTraceServiceRequest
	if err := proto.Unmarshal(body, &message); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.header = r.Header.Clone()
	c.bodies.Write(body)
	for _, of := range message.ResourceSpans {
		for _, scope := range of.ScopeSpans {
			for _, s := range scope.Spans {
				c.spans = append(c.spans, read(s, texts(of.Resource.Attributes)))
			}
		}
	}
	return nil
}

func read(s *spans.Span, resource map[string]string) Span {
	read := Span{Name: s.Name, Trace: hex.EncodeToString(s.TraceId), ID: hex.EncodeToString(s.SpanId),
		Parent: hex.EncodeToString(s.ParentSpanId), Attrs: texts(s.Attributes), Resource: resource,
		Kind: strings.ToLower(strings.TrimPrefix(s.Kind.String(), "SPAN_KIND_")),
		Took: time.Duration(s.EndTimeUnixNano - s.StartTimeUnixNano)}
	if s.Status.GetCode() == spans.Status_STATUS_CODE_ERROR {
		read.Failed = s.Status.GetMessage()
	}
	for _, link := range s.Links {
		read.Links = append(read.Links, hex.EncodeToString(link.TraceId))
	}
	return read
}

// texts returns attributes as texts.
func texts(attrs []*common.KeyValue) map[string]string {
	all := map[string]string{}
	for _, a := range attrs {
		all[a.Key] = a.Value.GetStringValue()
		if n, ok := a.Value.Value.(*common.AnyValue_IntValue); ok {
			all[a.Key] = strconv.FormatInt(n.IntValue, 10)
		}
	}
	return all
}

// Spans returns the received spans.
func (c *Collector) Spans() []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.spans)
}

// Received returns all received bytes, and the header of the last request.
func (c *Collector) Received() (string, http.Header) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bodies.String(), c.header
}

// Await returns the first received span for which is returns true, and waits for it.
func (c *Collector) Await(t testing.TB, what string, is func(Span) bool) Span {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for time.Now().Before(deadline) {
		all := c.Spans()
		if i := slices.IndexFunc(all, is); i >= 0 {
			return all[i]
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("no span of %s within a minute, but %+v", what, c.Spans())
	return Span{}
}

// Tree returns the names of the spans below a span, each with those below it in brackets, in the order of their names.
func (c *Collector) Tree(root Span) string {
	var below []string
	for _, s := range c.Spans() {
		if s.Trace == root.Trace && s.Parent == root.ID {
			below = append(below, c.Tree(s))
		}
	}
	slices.Sort(below)
	if len(below) == 0 {
		return root.Name
	}
	return root.Name + "(" + strings.Join(below, " ") + ")"
}
