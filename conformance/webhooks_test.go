package conformance

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A message is on its way from the server to a receiver.
type message struct {
	header http.Header
	body   []byte
	event  string // as its data names it
	status int    // if set, the server is answered so, and the receiver hears nothing
	accept bool   // the server gets 200, whatever the receiver answers
}

// relayPath is where a front that meddles with messages takes them: the program's destinations lead
// here, and the receiver's URL stands behind it in base64.
const relayPath = "/relay/"

// relayed is a front with a relay beside it.
type relayed struct {
	front  http.Handler
	change func(*message)
}

func (f relayed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	receiver, mine := strings.CutPrefix(r.URL.Path, relayPath)
	if !mine {
		f.front.ServeHTTP(w, r)
		return
	}
	target, err := base64.RawURLEncoding.DecodeString(receiver)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	status, err := f.relay(r, string(target))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	w.WriteHeader(status)
}

// relay passes a message on and returns the status of the answer.
func (f relayed) relay(r *http.Request, target string) (status int, err error) {
	m := message{header: r.Header.Clone()}
	if m.body, err = io.ReadAll(io.LimitReader(r.Body, 1<<20)); err != nil {
		return 0, err
	}
	var told struct{ Data struct{ Event string } }
	if err := json.Unmarshal(m.body, &told); err != nil {
		return 0, err
	}
	m.event = told.Data.Event
	f.change(&m)
	if m.status != 0 {
		return m.status, nil
	}
	on, err := http.NewRequestWithContext(r.Context(), r.Method, target, bytes.NewReader(m.body))
	if err != nil {
		return 0, err
	}
	on.Header = m.header
	answer, err := http.DefaultClient.Do(on)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	if m.accept {
		return http.StatusOK, nil
	}
	return answer.StatusCode, nil
}

// relayDestination makes a request about a destination one of a destination at the relay.
func relayDestination(r *http.Request, front string) {
	if !strings.Contains(r.URL.Path, "/destinations/webhooks") {
		return
	}
	changeFields(r, func(fields map[string]any) {
		if receiver, given := fields["url"].(string); given {
			fields["url"] = front + relayPath + base64.RawURLEncoding.EncodeToString([]byte(receiver))
		}
	})
}

// withoutRelay puts the URLs of receivers back into an answer.
func withoutRelay(body []byte, front string) []byte {
	there := regexp.MustCompile(regexp.QuoteMeta(front+relayPath) + `([\w-]+)`)
	return there.ReplaceAllFunc(body, func(found []byte) []byte {
		receiver, err := base64.RawURLEncoding.DecodeString(string(found[len(front+relayPath):]))
		if err != nil {
			return found
		}
		return receiver
	})
}

// changeFields changes the fields of a request whose body is a JSON object.
func changeFields(r *http.Request, change func(map[string]any)) {
	if r.Body == nil {
		return
	}
	body, err := io.ReadAll(r.Body)
	r.Body.Close()
	var fields map[string]any
	if err == nil && json.Unmarshal(body, &fields) == nil && fields != nil {
		change(fields)
		if changed, err := json.Marshal(fields); err == nil {
			body = changed
		}
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	r.Header.Set("Content-Length", strconv.Itoa(len(body)))
}

// results returns a change of answers that puts another result in its place.
func results(on string, change func(any) any) func(*http.Response, *[]byte) {
	return func(r *http.Response, body *[]byte) {
		var envelope map[string]any
		if operation(r.Request) != on || r.StatusCode >= http.StatusMultipleChoices ||
			json.Unmarshal(*body, &envelope) != nil {
			return
		}
		envelope["result"] = change(envelope["result"])
		if changed, err := json.Marshal(envelope); err == nil {
			*body = changed
		}
	}
}

// underItems makes of a list an object that holds it.
func underItems(list any) any { return map[string]any{"items": list} }

// noItems makes of a list, or an object, an empty one.
func noItems(result any) any {
	if _, list := result.([]any); list {
		return []any{}
	}
	return map[string]any{}
}

// instead returns a change of requests that asks for something with GET instead.
func instead(on string) func(*http.Request) {
	return func(r *http.Request) {
		if operation(r) == on {
			r.Method, r.Body, r.ContentLength = http.MethodGet, http.NoBody, 0
		}
	}
}

// lost returns a change of messages that takes those of an event and forgets them.
func lost(event string) func(*message) {
	return func(m *message) {
		if m.event == event {
			m.status = http.StatusOK
		}
	}
}

// changeLastLetter changes one byte of a message, which stays a message.
func changeLastLetter(m *message) {
	at := bytes.LastIndexFunc(m.body, func(r rune) bool { return 'A' <= r && r <= 'S' })
	m.body = slices.Clone(m.body)
	m.body[at]++
}

// loseFields makes a change of a policy one that empties what was not given.
func loseFields(r *http.Request) {
	if operation(r) != "PUT policies/" {
		return
	}
	changeFields(r, func(fields map[string]any) {
		if _, given := fields["description"]; !given {
			fields["description"] = ""
		}
	})
}

const (
	oneDestination = "destinations/webhooks/"
	destinations   = "destinations/webhooks"
	notRefused     = "the (refusal is <nil>|call was not refused)"
)

// webhookBreakages are what the scenarios about webhooks must notice.
var webhookBreakages = []breakage{
	{name: "message changed by a byte", want: "the signature does not verify",
		message: changeLastLetter},
	{name: "message without signature", want: "the signature does not verify",
		message: func(m *message) { m.header.Del("webhook-signature") }},
	{name: "message with another time", want: "the signature does not verify",
		message: func(m *message) { m.header.Set("webhook-timestamp", "1700000000") }},
	{name: "message with another id", want: "the signature does not verify",
		message: func(m *message) { m.header.Set("webhook-id", "another") }},
	{name: "message without secret", want: "cf-webhook-auth is ",
		message: func(m *message) { m.header.Del("cf-webhook-auth") }},
	{name: "another signing secret answered", want: "the signature does not verify",
		result: set("POST "+destinations, "signing_secret",
			"whsec_"+base64.StdEncoding.EncodeToString([]byte("of another destination")))},
	{name: "no signing secret answered", want: "the new destination has no id or no signing secret",
		result: set("POST "+destinations, "signing_secret", nil)},
	{name: "test event not sent", want: "the test event was not sent", message: lost("test")},
	{name: "any receiver taken", want: notRefused,
		message: func(m *message) { m.accept = true }},
	{name: "success not sent", want: "no message image.upload.succeeded",
		message: lost("image.upload.succeeded")},
	{name: "failure not sent", want: "no message image.upload.failed",
		message: lost("image.upload.failed")},
	{name: "destination shows a secret", want: "the destination shows a secret",
		result: set("GET "+oneDestination, "signing_secret", "whsec_c2VjcmV0")},
	{name: "destinations no list", want: "the list of destinations|not iterable",
		answer: results("GET "+destinations, underItems)},
	{name: "destinations without the new one", want: "the list of destinations lacks",
		answer: results("GET "+destinations, noItems)},
	{name: "deletion of a destination does nothing", want: notRefused,
		request: instead("DELETE " + oneDestination)},
	{name: "change of a destination does nothing", want: "the destination",
		request: instead("PUT " + oneDestination)},
	{name: "change of a policy loses fields", want: "the policy is ", request: loseFields},
	{name: "change of a policy does nothing", want: "the policy is ",
		request: instead("PUT policies/")},
	{name: "policies no list", want: "the list of policies|not iterable",
		answer: results("GET policies", underItems)},
	{name: "deletion of a policy does nothing", want: notRefused,
		request: instead("DELETE policies/")},
	{name: "no alerts", want: "among the available alerts is no",
		answer: results("GET available_alerts", noItems)},
	{name: "history empty", want: "the history lacks", answer: results("GET history", noItems)},
	{name: "history repeats its first page", want: "the history does not end",
		request: without("GET history", "page")},
	{name: "history of all times", want: "before the first",
		request: without("GET history", "before")},
}

// webhookBreakagesV0 are what the program for the older Go SDK must notice.
var webhookBreakagesV0 = []breakage{
	{name: "success not sent", want: "no message image.upload.succeeded",
		message: lost("image.upload.succeeded")},
	{name: "message without secret", want: "cf-webhook-auth is ",
		message: func(m *message) { m.header.Del("cf-webhook-auth") }},
	{name: "secret lost with a change", want: "cf-webhook-auth is ",
		message: func(m *message) {
			if m.event != "test" {
				m.header.Del("cf-webhook-auth")
			}
		}},
	{name: "destinations no list", want: "the list of destinations",
		answer: results("GET "+destinations, underItems)},
	{name: "change of a policy does nothing", want: "the policy is ",
		request: instead("PUT policies/")},
	{name: "history empty", want: "the history", answer: results("GET history", noItems)},
	{name: "deletion of a destination does nothing", want: "the deleted destination gives",
		request: instead("DELETE " + oneDestination)},
}
