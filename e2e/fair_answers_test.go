package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// heavy makes images with long ids and 99 variants: each is a quarter of a megabyte in a list.
func heavy(t *testing.T, s *server, images int) (ids []string) {
	t.Helper()
	auth := []string{"Authorization", "Bearer " + token}
	base := s.url + "/client/v4/accounts/" + accountID + "/images/v1"
	for i := range 98 {
		variant := fmt.Sprintf(`{"id":"v%d","options":{"fit":"cover","width":1}}`, i)
		a := do(t, "POST", base+"/variants", strings.NewReader(variant),
			append(auth, "Content-Type", "application/json")...)
		if a.status != http.StatusOK {
			t.Fatalf("variant %d: %d %s", i, a.status, a.body)
		}
	}
	picture := photo(t, 16, 16, 1)
	for i := range images {
		id := fmt.Sprintf("%04d", i) + strings.Repeat("😀", 200)
		body, kind := uploadForm(t, "a.jpg", picture, "id", id)
		a := do(t, "POST", base, body, append(auth, "Content-Type", kind)...)
		if a.status != http.StatusOK {
			t.Fatalf("image %d: %d %s", i, a.status, a.body)
		}
		ids = append(ids, id)
	}
	return ids
}

// peak returns the most memory that the server has had, in bytes.
func (s *server) peak() int64 {
	s.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		s.t.Fatal(err)
	}
	return kib << 10
}

// trickle asks for a path, and reads 2 KB/s of what comes until ctx ends.
func trickle(ctx context.Context, s *server, path string) error {
	u, err := url.Parse(s.url)
	if err != nil {
		return err
	}
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		return err
	}
	defer conn.Close()
	// What the kernel keeps is not the server's.
	if err := conn.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		return err
	}
	_, err = fmt.Fprintf(conn, "GET /client/v4/accounts/%s/%s HTTP/1.1\r\nHost: x\r\n"+
		"Authorization: Bearer %s\r\n\r\n", accountID, path, token)
	if err != nil {
		return err
	}
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for buffer := make([]byte, 200); ; {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if err := conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
			return err
		}
		_, err := conn.Read(buffer)
		if timeout, ok := err.(net.Error); err == io.EOF || err != nil && (!ok || !timeout.Timeout()) {
			return nil // the server has cut it, or it was refused
		}
	}
}

// TestSlowListsHoldLittleMemory has 16 lists of the largest page read slowly, beside another account.
// The server that built answers in memory took more than 1 GB for them.
func TestSlowListsHoldLittleMemory(t *testing.T) {
	t.Parallel()
	const images, most = 110, 350 << 20
	onBothDatabases(t, func(t *testing.T, s *server) {
		ids := heavy(t, s, images)
		other := newBystander(s)
		before := s.peak()
		other.beside(4, func(ctx context.Context) {
			var all sync.WaitGroup
			for i := range 16 {
				path := []string{"images/v2?per_page=10000", "images/v1?per_page=1000"}[i%2]
				all.Go(func() {
					if err := trickle(ctx, s, path); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
		})
		t.Logf("the server had %d MB, then at most %d MB", before>>20, s.peak()>>20)
		if peak := s.peak(); peak > most {
			t.Errorf("the server took %d MB, want at most %d", peak>>20, most>>20)
		}
		walkWhole(t, s, ids)
	})
}

// walkWhole walks the list: each image comes once, in pages of at most 8 MiB.
func walkWhole(t *testing.T, s *server, ids []string) {
	t.Helper()
	list := s.url + "/client/v4/accounts/" + accountID + "/images/v2?per_page=10000&continuation_token="
	seen := map[string]int{}
	pages := 0
	for next := ""; ; {
		a := do(t, "GET", list+next, nil, "Authorization", "Bearer "+token)
		var page struct {
			Result struct {
				Images []struct {
					ID       string
					Variants []string
				}
				Token *string `json:"continuation_token"`
			}
		}
		if err := json.Unmarshal(a.body, &page); a.status != http.StatusOK || err != nil {
			t.Fatalf("%d %.300s: %v", a.status, a.body, err)
		}
		if len(a.body) > 9<<20 {
			t.Errorf("page %d has %d bytes", pages, len(a.body))
		}
		for _, img := range page.Result.Images {
			seen[img.ID]++
			if len(img.Variants) != 99 {
				t.Errorf("image %.10s has %d variants", img.ID, len(img.Variants))
			}
		}
		if pages++; page.Result.Token == nil {
			break
		}
		next = *page.Result.Token
	}
	for _, id := range ids {
		if seen[id] != 1 {
			t.Errorf("image %.10s is listed %d times", id, seen[id])
		}
	}
	if len(seen) != len(ids) || pages < 3 {
		t.Errorf("%d images on %d pages", len(seen), pages)
	}
}
