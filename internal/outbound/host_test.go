package outbound

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestForHost(t *testing.T) {
	t.Parallel()
	asked := 0
	host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		http.Redirect(w, r, "/elsewhere", http.StatusFound)
	}))
	defer host.Close()
	_, err := ForHost(Config{}, 1).Get(host.URL)
	refused := new(Error)
	if !errors.As(err, &refused) || !strings.Contains(refused.Reason, allowFlag) || asked != 0 {
		t.Errorf("a loopback address: %v, asked %d times", err, asked)
	}
	open, err := ParseNetworks("127.0.0.0/8")
	if err != nil {
		t.Fatal(err)
	}
	client := ForHost(Config{Allow: open}, 1)
	defer client.CloseIdleConnections()
	response, err := client.Get(host.URL)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusFound || asked != 1 {
		t.Errorf("status %d, asked %d times: a redirect was followed", response.StatusCode, asked)
	}
}
