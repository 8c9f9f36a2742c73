package cdn

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"calotype/internal/outbound"
	"calotype/internal/purges"
)

// A form is the way in which a kind of receivers takes purges.
type form struct {
	most   int  // purges of a request; the receiver's limit, or less
	gather int  // purges of an account from which they become one of the whole account
	paths  bool // the receiver needs paths
	token  bool // the receiver refuses requests without a token
	// settle is the time from the first change until its purge, for a receiver to which a repeat would cost money: a
	// purge is repeated only if there was a second change in that time. 0: at once, and repeated.
	settle  time.Duration
	message func(*Sender, []purges.Purge) (outbound.Message, error)
	accepts func(outbound.Reply) bool
}

// forms are the forms by the names that operators use.
var forms = map[string]form{
	"json":       {most: 500, gather: 5000, paths: true, message: jsonMessage, accepts: ok},
	"cloudflare": {most: 100, gather: 1000, token: true, message: cloudflareMessage, accepts: cloudflareAccepts},
	"fastly":     {most: 256, gather: 5000, token: true, message: fastlyMessage, accepts: ok},
	"bunny":      {most: 1, gather: 50, token: true, message: bunnyMessage, accepts: ok},
	"varnish":    {most: 100, gather: 5000, message: varnishMessage, accepts: ok},
	"cloudfront": {most: 500, gather: 500, paths: true, settle: purges.RepeatAfter, message: cloudfrontMessage,
		accepts: ok},
}

// Forms returns the names of the forms, sorted.
func Forms() []string {
	var names []string
	for name := range forms {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// A Receiver is where purges are sent to.
type Receiver struct {
	form      form
	addresses []string
	token     string
	sign      func(*http.Request) error // of CloudFront, else nil
}

// TokenVariable is the variable with the token of -purge-url. It is no flag, because lists of processes show flags.
const TokenVariable = "CALOTYPE_PURGE_TOKEN"

// Check refuses the flags -purge-form and -purge-url, and a TokenVariable, that could not work. The second flag has one
// address, or several with commas between them, which all get each purge; "" for none.
func Check(name, list string) error {
	token := os.Getenv(TokenVariable)
	if list != "" {
		return check(name, list, token)
	}
	if token != "" {
		return errors.New(TokenVariable + " needs the flag -purge-url")
	}
	return nil
}

func check(name, list, token string) error {
	form, known := forms[name]
	addresses := strings.Split(list, ",")
	switch {
	case !known:
		return fmt.Errorf("-purge-form %q is not valid: the forms are %s", name, strings.Join(Forms(), ", "))
	case form.token && token == "":
		return fmt.Errorf("-purge-form=%s needs a token: set %s, or %[2]s_FILE", name, TokenVariable)
	case strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return errors.New("the token of -purge-url must be visible ASCII characters, as it is sent in a header")
	case name == "cloudfront" && len(addresses) > 1:
		return errors.New("-purge-form=cloudfront takes one -purge-url")
	}
	for _, address := range addresses {
		u, err := url.Parse(address)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Fragment != "" {
			return errors.New("-purge-url is not valid: it should be like https://api.example.com/purge, or several " +
				"of these with commas between them")
		}
	}
	return nil
}

// newReceiver returns the Receiver of a form at addresses. For CloudFront it reads the credentials of AWS.
func newReceiver(ctx context.Context, name, list, token string) (*Receiver, error) {
	if err := check(name, list, token); err != nil {
		return nil, err
	}
	r := &Receiver{form: forms[name], addresses: strings.Split(list, ","), token: token}
	if name == "cloudfront" {
		sign, err := newSigner(ctx, r.addresses[0])
		if err != nil {
			return nil, err
		}
		r.sign = sign
	}
	return r, nil
}

// ok accepts every status 2xx.
func ok(r outbound.Reply) bool { return r.Status >= 200 && r.Status <= 299 }

// post returns a message with a JSON body. The header with the token is given, "" for none.
func (s *Sender) post(body any, header string) (outbound.Message, error) {
	encoded, err := json.Marshal(body)
	m := outbound.Message{Method: http.MethodPost, Body: encoded, Header: http.Header{
		"Content-Type": {"application/json"},
	}}
	switch {
	case s.Receiver.token == "":
	case header == "Authorization":
		m.Header.Set(header, "Bearer "+s.Receiver.token)
	default:
		m.Header.Set(header, s.Receiver.token)
	}
	return m, err
}

func tagsOf(batch []purges.Purge) []string {
	tags := make([]string, len(batch))
	for i, p := range batch {
		tags[i] = p.Tag
	}
	return slices.Compact(tags) // sorted by Claim
}

// jsonMessage is the form of a program of the operator: {"tags": [...], "urls": [...]}. A URL ends in "*", and stands
// for all URLs that begin so.
func jsonMessage(s *Sender, batch []purges.Purge) (outbound.Message, error) {
	urls := []string{}
	for _, path := range pathsOf(batch, math.MaxInt) {
		urls = append(urls, s.URLs.Delivery+path)
	}
	return s.post(map[string]any{"tags": tagsOf(batch), "urls": urls}, "Authorization")
}

func cloudflareMessage(s *Sender, batch []purges.Purge) (outbound.Message, error) {
	return s.post(map[string]any{"tags": tagsOf(batch)}, "Authorization")
}

// cloudflareAccepts also reads the envelope of the answer.
func cloudflareAccepts(r outbound.Reply) bool {
	var envelope struct{ Success bool }
	return ok(r) && json.Unmarshal(r.Body, &envelope) == nil && envelope.Success
}

func fastlyMessage(s *Sender, batch []purges.Purge) (outbound.Message, error) {
	return s.post(map[string]any{"surrogate_keys": tagsOf(batch)}, "Fastly-Key")
}

// bunnyMessage is for one tag, as the receiver takes it.
func bunnyMessage(s *Sender, batch []purges.Purge) (outbound.Message, error) {
	return s.post(map[string]any{"CacheTag": batch[0].Tag}, "AccessKey")
}

// varnishMessage has no body: VCL reads headers only.
func varnishMessage(s *Sender, batch []purges.Purge) (outbound.Message, error) {
	m := outbound.Message{Method: "PURGE", Header: http.Header{
		"Surrogate-Key": {strings.Join(tagsOf(batch), " ")},
	}}
	if s.Receiver.token != "" {
		m.Header.Set("Authorization", "Bearer "+s.Receiver.token)
	}
	return m, nil
}
