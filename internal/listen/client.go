package listen

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"calotype/internal/notify"
)

const (
	claimWait    = 50 * time.Second // for which the server holds a claim
	callTime     = 15 * time.Second // of any other call, and of a claim beyond that
	maxCallBytes = 32 << 20         // of an answer
)

// A streamClient sends the API requests about one stream of an account.
type streamClient struct {
	address, token string
	client         *http.Client
}

func newStreamClient(c Config) *streamClient {
	return &streamClient{
		address: strings.TrimRight(c.BaseURL, "/") + "/accounts/" + url.PathEscape(c.Account) +
			"/alerting/v3/streams/" + url.PathEscape(c.Stream),
		token: c.Token,
		client: &http.Client{
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// An apiError is a refusal by the server.
type apiError struct {
	status  int
	message string
}

func (e *apiError) Error() string {
	switch e.status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Sprintf("the server refuses the token (%s): it must be one of this account with the "+
			"scope write. It comes from --api-token, CLOUDFLARE_API_TOKEN or calotype login; calotype token create "+
			"makes one", e.message)
	case http.StatusNotFound:
		return fmt.Sprintf("the server knows no such account (%s): see CLOUDFLARE_ACCOUNT_ID or "+
			"--account-id, and CLOUDFLARE_BASE_URL or --base-url", e.message)
	}
	if e.status >= 300 && e.status < 400 {
		return fmt.Sprintf("the base URL leads elsewhere (status %d): give the URL that it leads to",
			e.status)
	}
	return fmt.Sprintf("the server answered with status %d (%s)", e.status, e.message)
}

var errOtherAPI = errors.New("what answers at the base URL is not this API")

// isFinal reports whether a retry cannot succeed.
func isFinal(err error) bool {
	refused := new(apiError)
	return errors.As(err, &refused) && refused.status < 500 &&
		refused.status != http.StatusTooManyRequests && refused.status != http.StatusRequestTimeout
}

// open creates or opens the stream, and returns its signing secret.
func (c *streamClient) open(ctx context.Context, events []string) (secret string, err error) {
	var opened struct {
		SigningSecret string `json:"signing_secret"`
	}
	body := map[string]any{}
	if len(events) > 0 {
		body["events"] = events
	}
	err = c.call(ctx, http.MethodPut, "", callTime, body, &opened)
	if _, ok := notify.SigningKey(opened.SigningSecret); err == nil && !ok {
		err = errOtherAPI // the secret is to be put into a shell
	}
	return opened.SigningSecret, err
}

// A claimedEvent is a claimed message, equal to the message of a webhook.
type claimedEvent struct {
	EventID string            `json:"event_id"`
	Attempt int               `json:"attempt"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
}

// claim waits for events, and returns at most most of them.
func (c *streamClient) claim(ctx context.Context, most int) ([]claimedEvent, error) {
	if most == 0 {
		return nil, ctx.Err()
	}
	var answer struct {
		Deliveries []claimedEvent `json:"deliveries"`
	}
	err := c.call(ctx, http.MethodPost, "/claim", claimWait+callTime,
		map[string]int{"wait": int(claimWait.Seconds()), "limit": most}, &answer)
	if len(answer.Deliveries) > most {
		return nil, fmt.Errorf("the server sent %d events, not at most %d", len(answer.Deliveries), most)
	}
	return answer.Deliveries, err
}

// A streamAttempt is the result of a claimedEvent; Status is 0 without an answer.
type streamAttempt struct {
	EventID    string `json:"event_id"`
	Attempt    int    `json:"attempt"`
	Status     int    `json:"status"`
	DurationMS int64  `json:"duration_ms"`
	Error      string `json:"error,omitempty"`
	Answer     string `json:"answer,omitempty"`
}

func (c *streamClient) report(ctx context.Context, a streamAttempt) error {
	return c.call(ctx, http.MethodPost, "/attempts", callTime,
		map[string][]streamAttempt{"attempts": {a}}, &struct{}{})
}

// call sends a request and returns the result in the envelope. Refusals are *apiError.
func (c *streamClient) call(ctx context.Context, method, path string, most time.Duration,
	body, result any) error {
	content, err := json.Marshal(body)
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	r, err := http.NewRequestWithContext(limited, method, c.address+path, bytes.NewReader(content))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+c.token)
	r.Header.Set("Content-Type", "application/json")
	response, err := c.client.Do(r)
	if err != nil {
		return withoutURL(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxCallBytes))
	if err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	var envelope struct {
		Success bool
		Errors  []struct{ Message string }
		Result  json.RawMessage
	}
	err = json.Unmarshal(text, &envelope)
	if response.StatusCode != http.StatusOK {
		message := http.StatusText(response.StatusCode)
		if err == nil && len(envelope.Errors) > 0 {
			message = strings.TrimSuffix(envelope.Errors[0].Message, ".")
		}
		return &apiError{response.StatusCode, message}
	}
	if err != nil || !envelope.Success {
		return errOtherAPI
	}
	if err := json.Unmarshal(envelope.Result, result); err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	return nil
}
