package notify_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"

	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/limit"
	"calotype/internal/notify"
	"calotype/internal/webhooks"
)

// hooksOf adds webhooks of an account for a URL.
func hooksOf(t *testing.T, core *imagestest.Core, account, url string, n int) {
	t.Helper()
	var ids []string
	for range n {
		w, err := core.Webhooks.Create(t.Context(), account, webhooks.WebhookChange{
			Name: ptr("hook"), URL: &url, Events: []webhooks.EventType{webhooks.ImageUpdated}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, w.ID)
	}
	_, err := core.Webhooks.CreatePolicy(t.Context(), account, webhooks.PolicyChange{
		Name: ptr("all"), Enabled: ptr(true), Webhooks: &ids})
	if err != nil {
		t.Fatal(err)
	}
}

// edits creates an image in an account and edits it n times.
func edits(t *testing.T, core *imagestest.Core, account string, n int) {
	t.Helper()
	u, err := core.BeginImage(account, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	if _, err := u.Write(imagestest.JPEG(t, 1)); err != nil {
		t.Fatal(err)
	}
	img, err := u.Create(t.Context(), "a.jpg", images.NewDraft{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		meta := json.RawMessage(fmt.Sprintf(`{"n":%d}`, i))
		if _, err := core.EditImage(t.Context(), account, img.ID, images.Edit{Meta: &meta}); err != nil {
			t.Fatal(err)
		}
	}
}

func poolStats(t *testing.T, n *notify.Notifier, name string) limit.Stats {
	t.Helper()
	for _, p := range n.Pools() {
		if p.Name() == name {
			return p.Stats()
		}
	}
	t.Fatalf("there is no pool %s", name)
	return limit.Stats{}
}

// TestPostsToOneHostAreBounded: 49 webhooks of one account and 20 events, 980 posts, to one host: it
// has few of them at once, and another account's webhook at the same host gets its own. 784 at once
// were seen.
func TestPostsToOneHostAreBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: sends a thousand events")
	}
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		const hooks, events = 49, 20
		other, err := core.Accounts.Create(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		host := newReceiver(t)
		var open, most atomic.Int64
		var theirs atomic.Bool
		release := make(chan struct{})
		host.answer = func(_ int, _ http.ResponseWriter, r *http.Request) {
			now := open.Add(1)
			defer open.Add(-1)
			for old := most.Load(); now > old && !most.CompareAndSwap(old, now); old = most.Load() {
			}
			if r.URL.Path == "/theirs" {
				theirs.Store(true)
				return
			}
			select {
			case <-release:
			case <-r.Context().Done():
			}
		}
		hooksOf(t, core, account, host.URL+"/ours", hooks)
		hooksOf(t, core, other.ID, host.URL+"/theirs", 1)
		edits(t, core, account, events)
		n := newNotifier(core, loopback...)
		stop := run(t, n)
		defer stop()
		eventually(t, "the account's share of the host", func() bool { return open.Load() == 16 })
		edits(t, core, other.ID, 1)
		eventually(t, "another account", theirs.Load)
		if s := poolStats(t, n, "posts_by_host"); s.Used > 32 {
			t.Errorf("posts in flight: %+v", s)
		}
		close(release)
		eventually(t, "all", func() bool { return len(host.messages()) == hooks*events+1 })
		if n := most.Load(); n > 32 {
			t.Errorf("%d posts to the host were in flight at once", n)
		}
		stop()
		for _, p := range n.Pools() {
			if s := p.Stats(); s.Used != 0 || s.Keys != 0 {
				t.Errorf("at the end: %+v", s)
			}
		}
	})
}

// TestHangingHostsLeaveRoom: two accounts with as many hanging hosts as they may have webhooks hold
// the limit of a node's posts; a third account's webhook still gets its messages.
func TestHangingHostsLeaveRoom(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: sends to forty receivers that hang")
	}
	t.Parallel()
	core := imagestest.New(t)
	release := make(chan struct{})
	defer close(release) // before the Notifier stops, which waits for its posts
	hang := func(_ int, _ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var ids []string
	for range 3 {
		a, err := core.Accounts.Create(ctx, "", "")
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, a.ID)
	}
	well := newReceiver(t)
	hooksOf(t, core, ids[2], well.URL, 1)
	for _, id := range ids[:2] {
		for range 20 {
			r := newReceiver(t)
			r.answer = hang
			t.Cleanup(r.CloseClientConnections)
			hooksOf(t, core, id, r.URL, 1)
		}
		edits(t, core, id, 20)
	}
	n := newNotifier(core, loopback...)
	run(t, n)
	eventually(t, "the hosts to hold much", func() bool {
		return poolStats(t, n, "posts").Used > 150
	})
	edits(t, core, ids[2], 1)
	eventually(t, "the third account", func() bool { return len(well.messages()) == 1 })
	if s := poolStats(t, n, "posts"); s.Used > s.Size || s.Largest > s.Size/2 {
		t.Errorf("posts in flight: %+v", s)
	}
}
