package receipts_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/receipts"
)

// issuer is the base URL in the receipts of these tests.
const issuer = "https://img.example.com"

// node returns the receipts of one more node on the database of core.
func node(core *imagestest.Core, now func() time.Time) *receipts.Service {
	return imagestest.NewCore(images.Config{DB: core.DB, Dir: core.Dir, Now: now, Issuer: issuer}).Receipts
}

// rotate rotates the keys of a node.
func rotate(t *testing.T, s *receipts.Service) {
	t.Helper()
	if err := s.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// receipt returns a receipt that a node signs.
func receipt(t *testing.T, s *receipts.Service, at time.Time) string {
	t.Helper()
	signer, err := s.Signer(t.Context(), "hash")
	if err != nil {
		t.Fatal(err)
	}
	return signer.Sign(receipts.Claims{Image: "image", Draft: "draft"}, at)
}

// verify returns the claims of a receipt, if one of the published keys has signed it.
func verify(published []byte, receipt string) (c receipts.Claims, kid string, err error) {
	var keys jose.JSONWebKeySet
	if err := json.Unmarshal(published, &keys); err != nil {
		return c, "", err
	}
	signed, err := jose.ParseSignedCompact(receipt, []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil {
		return c, "", err
	}
	kid = signed.Signatures[0].Header.KeyID
	if typ := signed.Signatures[0].Header.ExtraHeaders[jose.HeaderType]; typ != receipts.Type {
		return c, kid, fmt.Errorf("its type is %v", typ)
	}
	named := keys.Key(kid)
	if len(named) != 1 {
		return c, kid, fmt.Errorf("%d keys are named %s", len(named), kid)
	}
	payload, err := signed.Verify(named[0])
	if err != nil {
		return c, kid, err
	}
	return c, kid, json.Unmarshal(payload, &c)
}

// TestRotation follows two nodes for half a year, whose clocks differ by a minute.
func TestRotation(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		clock := imagestest.NewClock()
		start := clock.Now()
		nodes := []*receipts.Service{node(core, clock.Now),
			node(core, func() time.Time { return clock.Now().Add(time.Minute) })}
		if _, err := core.DB.Exec(t.Context(), `DELETE FROM receipt_keys`); err != nil { // of the start of core
			t.Fatal(err)
		}
		type file struct {
			read time.Time
			keys []byte
		}
		var files []file // of a backend that reads the keys every six hours
		var signed []string
		kids := map[string]bool{}
		most := 0
		for ; clock.Now().Before(start.Add(180 * 24 * time.Hour)); clock.Forward(6 * time.Hour) {
			now := clock.Now()
			rotate(t, nodes[0])
			rotate(t, nodes[1])
			most = max(most, imagestest.Count(t, core, "receipt_keys"))
			files = append(files, file{now, nodes[0].Published()})
			for _, s := range nodes {
				made := receipt(t, s, now)
				_, kid, err := verify(nodes[1].Published(), made)
				if err != nil {
					t.Fatalf("%s after the start: %v", now.Sub(start), err)
				}
				kids[kid] = true
				signed = append(signed, made)
			}
			// The file is as old as a backend may let it become, except right after the first start.
			for len(files) > 1 && now.Sub(files[1].read) >= 7*24*time.Hour-time.Minute {
				files = files[1:]
			}
			if _, _, err := verify(files[0].keys, signed[len(signed)-1]); err != nil {
				t.Fatalf("%s after the start, a file of %s: %v", now.Sub(start), files[0].read, err)
			}
			for _, old := range signed[max(0, len(signed)-2*4):] { // of the last 18 hours, longer than they are valid
				if _, _, err := verify(nodes[0].Published(), old); err != nil {
					t.Fatalf("%s after the start, a receipt of the day: %v", now.Sub(start), err)
				}
			}
		}
		if len(kids) != 6 {
			t.Errorf("%d keys have signed in 180 days, want 6", len(kids))
		}
		if most != 2 {
			t.Errorf("there were %d keys at a time, want 2", most)
		}
		if _, _, err := verify(nodes[0].Published(), signed[0]); err == nil {
			t.Error("the first key is still published")
		}
	})
}

// TestConcurrentRotation: nodes that start or rotate concurrently make one key.
func TestConcurrentRotation(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		if _, err := core.DB.Exec(t.Context(), `DELETE FROM receipt_keys`); err != nil {
			t.Fatal(err)
		}
		clock := imagestest.NewClock()
		var nodes []*receipts.Service
		for range 12 {
			nodes = append(nodes, node(core, clock.Now))
		}
		for round := range 4 {
			var wait sync.WaitGroup
			start := make(chan struct{})
			for _, s := range nodes {
				wait.Go(func() {
					<-start
					if err := s.Rotate(context.WithoutCancel(t.Context())); err != nil {
						t.Error(err)
					}
				})
			}
			close(start)
			wait.Wait()
			if n := imagestest.Count(t, core, "receipt_keys"); n != 1+round%2 {
				t.Fatalf("round %d: %d keys", round, n)
			}
			made := receipt(t, nodes[0], clock.Now())
			for i, s := range nodes {
				if _, _, err := verify(s.Published(), made); err != nil {
					t.Errorf("round %d, node %d: %v", round, i, err)
				}
			}
			clock.Forward(26 * 24 * time.Hour) // past the next insertion, then past the deletion, and so on
		}
	})
}

// TestLateRotation: after a long stop the old key signs until the next one was published for a week.
func TestLateRotation(t *testing.T) {
	t.Parallel()
	core := imagestest.New(t)
	clock := imagestest.NewClock()
	clock.Set(time.Now())
	s := node(core, clock.Now)
	rotate(t, s)
	_, first, err := verify(s.Published(), receipt(t, s, clock.Now()))
	if err != nil {
		t.Fatal(err)
	}
	clock.Forward(400 * 24 * time.Hour)
	for _, step := range []struct {
		after time.Duration
		old   bool
	}{{0, true}, {7*24*time.Hour - time.Second, true}, {time.Second, false}, {time.Hour, false}} {
		clock.Forward(step.after)
		rotate(t, s)
		_, kid, err := verify(s.Published(), receipt(t, s, clock.Now()))
		if err != nil || (kid == first) != step.old {
			t.Errorf("at %v: the key %s, the first was %s, %v", step.after, kid, first, err)
		}
	}
	clock.Set(time.Now().Add(-time.Hour)) // a clock before the first key
	if _, _, err := verify(s.Published(), receipt(t, s, clock.Now())); err != nil {
		t.Error(err)
	}
}

func TestPublishedKeysArePublic(t *testing.T) {
	t.Parallel()
	core := imagestest.New(t)
	var set struct{ Keys []map[string]any }
	if err := json.Unmarshal(core.Receipts.Published(), &set); err != nil || len(set.Keys) != 1 {
		t.Fatalf("%s: %v", core.Receipts.Published(), err)
	}
	for _, k := range set.Keys {
		kid, x := k["kid"], k["x"]
		delete(k, "kid")
		delete(k, "x")
		if got := fmt.Sprint(k); got != "map[alg:EdDSA crv:Ed25519 kty:OKP use:sig]" || kid == "" || x == "" {
			t.Errorf("published: %s, kid %v, x %v", got, kid, x)
		}
	}
	if node(core, time.Now).Published() != nil {
		t.Error("a node publishes keys before it has read any")
	}
}

// TestWithoutKeys: without a key an upload is refused before its commit, and its ticket stays valid.
func TestWithoutKeys(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		ctx := t.Context()
		draft, ticket := imagestest.Draft(t, core, images.NewDraft{})
		var seed string
		if err := core.DB.QueryRow(ctx, `SELECT seed FROM receipt_keys`).Scan(&seed); err != nil {
			t.Fatal(err)
		}
		set := func(seed string) {
			if _, err := core.DB.Exec(ctx, `UPDATE receipt_keys SET seed = ?1`, seed); err != nil {
				t.Fatal(err)
			}
		}
		set("damaged!")
		if err := core.Receipts.Rotate(ctx); err == nil || strings.Contains(err.Error(), "damaged!") {
			t.Errorf("a damaged key: %v", err)
		}
		body := imagestest.JPEG(t, 1)
		_, other := imagestest.Draft(t, core, images.NewDraft{})
		// The node has the keys in memory.
		if _, err := imagestest.Post(ctx, core, images.UploadRequest{Ticket: other}, body); err != nil {
			t.Fatal(err)
		}
		core.Receipts.Forget()
		_, err := imagestest.Post(ctx, core, images.UploadRequest{Ticket: ticket}, body)
		imagestest.WantKind(t, err, errs.Internal)
		if img, err := core.Image(ctx, imagestest.AccountID, draft.ID); err != nil || !img.Draft || img.Ticket.Refusals != 0 {
			t.Errorf("after the refusal: %+v, %v", img, err)
		}
		set(seed)
		if _, err := imagestest.Post(ctx, core, images.UploadRequest{Ticket: ticket}, body); err != nil {
			t.Fatal(err)
		}
	})
}

// TestBrokenSigner: an upload that is committed is answered, also if its receipt cannot be signed.
func TestBrokenSigner(t *testing.T) {
	t.Parallel()
	core := imagestest.New(t)
	draft, ticket := imagestest.Draft(t, core, images.NewDraft{})
	core.Receipts.BreakSigners()
	u, err := core.BeginUpload(t.Context(), images.UploadRequest{Ticket: ticket, Size: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	if _, err := u.Write(imagestest.JPEG(t, 1)); err != nil {
		t.Fatal(err)
	}
	img, err := u.Finish(t.Context(), "a.jpg")
	if err != nil || img.ID != draft.ID || img.Receipt != "" {
		t.Errorf("%+v, %v", img, err)
	}
}

// TestReplace: the new key signs at once, on a node that runs after its next Rotate, and no old key is published or
// stored, the next one included.
func TestReplace(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		clock := imagestest.NewClock()
		running, command := node(core, clock.Now), node(core, clock.Now)
		if _, err := core.DB.Exec(t.Context(), `DELETE FROM receipt_keys`); err != nil { // of the start of core
			t.Fatal(err)
		}
		rotate(t, running)
		clock.Forward(25 * 24 * time.Hour)
		rotate(t, running) // publishes the next key
		stolen, old := receipt(t, running, clock.Now()), running.Published()
		id, err := command.Replace(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n := imagestest.Count(t, core, "receipt_keys"); n != 1 {
			t.Errorf("%d keys are stored", n)
		}
		if _, _, err := verify(old, receipt(t, running, clock.Now())); err != nil {
			t.Errorf("before its next Rotate a node signs by the key that it has: %v", err)
		}
		rotate(t, running)
		if _, kid, err := verify(running.Published(), receipt(t, running, clock.Now())); err != nil || kid != id {
			t.Errorf("the new key is %s, a receipt has %s: %v", id, kid, err)
		}
		if _, _, err := verify(running.Published(), stolen); err == nil {
			t.Error("a receipt of the old key verifies")
		}
		if again, err := command.Replace(t.Context()); err != nil || again == id {
			t.Errorf("a second replacement: %q, %v", again, err)
		}
	})
}
