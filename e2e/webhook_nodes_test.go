package e2e

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"calotype/internal/webhooks"
)

// twoNotifiers are two nodes, with the contents of their uploads by id.
type twoNotifiers struct {
	t     *testing.T
	nodes []*server
	all   map[string][]byte
	seed  int
}

// upload uploads n pictures, all at once, by each node in turn.
func (w *twoNotifiers) upload(n int) (ids []string) {
	w.t.Helper()
	base := photo(w.t, 200, 150, 7)
	var uploads sync.WaitGroup
	for i := range n {
		u := w.nodes[i%len(w.nodes)].createUploadURL()
		w.seed++
		content := tagged(base, w.seed)
		w.all[u.ID], ids = content, append(ids, u.ID)
		body, kind := fileForm(w.t, "a.jpg", content)
		uploads.Go(func() {
			a, err := send(w.t.Context(), "POST", u.UploadURL, body, "Content-Type", kind)
			if err != nil || a.status != http.StatusOK {
				w.t.Errorf("an upload: status %d, %v\n%s", a.status, err, a.body)
			}
		})
	}
	uploads.Wait()
	return ids
}

// TestTwoNodesNotify: while two nodes run, each event is delivered once. If one is killed, the
// other delivers the events that it had claimed.
func TestTwoNodesNotify(t *testing.T) {
	t.Parallel()
	nodes := newNodes(t, 2, "-outbound-allow", "127.0.0.0/8")
	r := newBackend(t, nodes[0], "/hook")
	w := &twoNotifiers{t: t, nodes: nodes, all: map[string][]byte{}}
	w.upload(60)
	// Rows that wait, for which both nodes reach at the same time.
	r.hold()
	w.upload(20) // few, because a message that waits for 10 seconds has failed
	waitFor(t, func() bool { return r.holds() > 1 })
	r.open()
	w.await(r, 2*time.Minute)
	w.wantWrittenDown(len(w.all))
	for id, received := range r.all() {
		if received.times != 1 {
			t.Errorf("while no node has died, %s came %d times", id, received.times)
		}
	}

	// The first claims may be of one message each; those after them find many. A node sends 16 at
	// once, so that more than those wait means that some are of either.
	r.hold()
	w.upload(10)
	waitFor(t, func() bool { return r.holds() > 1 })
	w.upload(40)
	r.allow(r.holds())
	waitFor(t, func() bool { return r.holds() > 16 })
	nodes[0].kill()
	r.open()
	// What the node that was killed held is due when its lease ends.
	w.await(r, 3*webhooks.DeliveryLease)
	again := 0
	for id, received := range r.all() {
		if again += received.times - 1; received.times > 2 {
			t.Errorf("after one death %s came %d times", id, received.times)
		}
	}
	if again == 0 {
		t.Error("the node that was killed had sent nothing")
	}
	t.Logf("%d uploads: %s", len(w.all), r.report())
}

// await waits until all events are delivered.
func (w *twoNotifiers) await(r *backend, most time.Duration) {
	w.t.Helper()
	for deadline := time.Now().Add(most); ; time.Sleep(50 * time.Millisecond) {
		missing := ""
		for id := range w.all {
			if len(r.about("image.upload.succeeded", id)) == 0 {
				missing = id
			}
		}
		if missing == "" {
			break
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("%s has no event: %s", missing, r.report())
		}
	}
	for id, content := range w.all {
		r.wantOnce(id, content)
	}
	if n := len(r.all()); n != len(w.all) {
		w.t.Errorf("%d events are about %d uploads", n, len(w.all))
	}
}

// wantWrittenDown waits until n events are recorded as delivered, by one attempt each.
func (w *twoNotifiers) wantWrittenDown(n int) {
	w.t.Helper()
	waitFor(w.t, func() bool { return len(w.nodes[0].history()) >= n })
	for _, h := range w.nodes[1].history() {
		if h.Attempt != 1 || h.Status != http.StatusNoContent || h.Outcome != "delivered" {
			w.t.Errorf("the history has %+v", h)
		}
	}
}
