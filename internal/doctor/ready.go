package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// readyTime bounds a request to /readyz.
const readyTime = 5 * time.Second

// Ready requests /readyz of the server on this machine that listens on an address, such as :8080, and returns the
// status and the text of the answer.
func Ready(ctx context.Context, listen string) (status int, text string, err error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return 0, "", fmt.Errorf("-listen %q is not valid: it should be like localhost:8080", listen)
	}
	ctx, cancel := context.WithTimeout(ctx, readyTime)
	defer cancel()
	target := "http://" + net.JoinHostPort(cmp.Or(host, "localhost"), port) + "/readyz"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return 0, "", err
	}
	// No proxy: the server is on this machine. An address without a host is one of this machine also where localhost
	// cannot be resolved, as in a container.
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, listen)
		},
	}}
	response, err := client.Do(request)
	if err != nil {
		return 0, "", fmt.Errorf("asking the server: %w", err)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, 1024))
	return response.StatusCode, strings.TrimSpace(string(body)), errors.Join(err, response.Body.Close())
}
