package otlp

import (
	"cmp"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
)

// The variables that this package reads itself; the SDK reads all others of the specification.
const (
	endpoint       = "OTEL_EXPORTER_OTLP_ENDPOINT"
	tracesEndpoint = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
	exporter       = "OTEL_TRACES_EXPORTER"
	sampler        = "OTEL_TRACES_SAMPLER"
	samplerArg     = "OTEL_TRACES_SAMPLER_ARG"
	queueSize      = "OTEL_BSP_MAX_QUEUE_SIZE"
	disabled       = "OTEL_SDK_DISABLED"
)

const (
	defaultQueue = 2048
	maxNumber    = 1_000_000 // of each number of OTEL_BSP_*
)

var samplers = []string{"always_on", "always_off", "traceidratio", "parentbased_always_on",
	"parentbased_always_off", "parentbased_traceidratio"}

// variable returns the value of a variable. An empty one counts as missing, as the specification says.
func variable(name string) string { return strings.TrimSpace(os.Getenv(name)) }

// requested reports whether the environment requests traces: it names a collector, or the exporter of its default one.
func requested() bool {
	if strings.EqualFold(variable(disabled), "true") || variable(exporter) == "none" {
		return false
	}
	return variable(endpoint) != "" || variable(tracesEndpoint) != "" || variable(exporter) == "otlp"
}

// Check refuses variables that the SDK would replace by a default, or quote in an error. No error of Check quotes a
// value that may be a secret. Without a request for traces it checks nothing.
func Check() error {
	if !requested() {
		return nil
	}
	return cmp.Or(
		oneOf(exporter, "otlp", "none"),
		oneOf("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf", "http/json"),
		oneOf("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf", "http/json"),
		oneOf("OTEL_EXPORTER_OTLP_COMPRESSION", "none", "gzip"),
		oneOf("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "none", "gzip"),
		oneOf(sampler, samplers...), checkRatio(),
		isURL(endpoint), isURL(tracesEndpoint),
		isNumber(queueSize), isNumber("OTEL_BSP_SCHEDULE_DELAY"), isNumber("OTEL_BSP_EXPORT_TIMEOUT"),
		isNumber("OTEL_BSP_MAX_EXPORT_BATCH_SIZE"),
		isNumber("OTEL_EXPORTER_OTLP_TIMEOUT"), isNumber("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT"),
		isList("OTEL_EXPORTER_OTLP_HEADERS"), isList("OTEL_EXPORTER_OTLP_TRACES_HEADERS"),
		isList("OTEL_RESOURCE_ATTRIBUTES"),
	)
}

// oneOf refuses a value that is not allowed.
func oneOf(name string, allowed ...string) error {
	if v := variable(name); v != "" && !slices.Contains(allowed, strings.ToLower(v)) {
		return fmt.Errorf("%s %q is not supported: it should be %s", name, v, strings.Join(allowed, ", "))
	}
	return nil
}

// checkRatio refuses a ratio of sampled traces that is no number from 0 to 1.
func checkRatio() error {
	arg := variable(samplerArg)
	if arg == "" || !strings.HasSuffix(strings.ToLower(variable(sampler)), "traceidratio") {
		return nil
	}
	if ratio, err := strconv.ParseFloat(arg, 64); err != nil || !(ratio >= 0 && ratio <= 1) {
		return fmt.Errorf("%s %q is not valid: it should be a number from 0 to 1, like 0.1", samplerArg, arg)
	}
	return nil
}

// isURL refuses a value that is not the URL of a collector. It may hold a password.
func isURL(name string) error {
	v := variable(name)
	if v == "" {
		return nil
	}
	u, err := url.Parse(v)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("%s is not valid: it should be a URL like http://localhost:4318", name)
	}
	return nil
}

// isNumber refuses a value that is not a positive number.
func isNumber(name string) error {
	v := variable(name)
	if v == "" {
		return nil
	}
	if n, err := strconv.Atoi(v); err != nil || n < 1 || n > maxNumber {
		return fmt.Errorf("%s %q is not valid: it should be a number from 1 to %d", name, v, maxNumber)
	}
	return nil
}

// isList refuses a value that is not a list of names with values. The values may be secrets.
func isList(name string) error {
	v := variable(name)
	if v == "" {
		return nil
	}
	for pair := range strings.SplitSeq(v, ",") {
		key, value, found := strings.Cut(pair, "=")
		_, err := url.PathUnescape(value)
		if !found || strings.TrimSpace(key) == "" || err != nil {
			return fmt.Errorf("%s is not valid: it should be like name=value,name2=value2, with values in the form "+
				"of URLs", name)
		}
	}
	return nil
}

// queue returns the number of spans that wait for the collector at most.
func queue() int {
	if n, err := strconv.Atoi(variable(queueSize)); err == nil {
		return n
	}
	return defaultQueue
}
