package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"calotype/internal/render"
)

// attackers is how many requests of one account are made at once: with one queue for all accounts
// another one's would wait for longer than the server lets it.
const attackers = 60

// besideRounds are those of the bystander: enough for the workers to finish some of the attack.
const besideRounds = 80

// attack calls do, by so many at once, again and again until ctx ends. do tells whether the worker
// did what it was asked for.
func attack(ctx context.Context, t *testing.T, do func(n int) bool) {
	var all sync.WaitGroup
	var n, done atomic.Int64
	for range attackers {
		all.Go(func() {
			for ctx.Err() == nil {
				if do(int(n.Add(1))) {
					done.Add(1)
				}
			}
		})
	}
	all.Wait()
	t.Logf("of %d requests of the attack %d were done", n.Load(), done.Load())
	if done.Load() == 0 {
		t.Error("the attack did not come as far as a worker")
	}
}

// TestDearUploadsBesideAnotherAccount uploads small pictures that take long to decode by one-time
// URLs of one account, beside another one.
func TestDearUploadsBesideAnotherAccount(t *testing.T) {
	picture := scanBomb(860)
	h, err := render.ReadHeader(bytes.NewReader(picture), int64(len(picture)))
	if err != nil || render.DefaultLimits.Check(h) != nil {
		t.Fatalf("the picture is over the limits: %+v", h)
	}
	onBothDatabases(t, func(t *testing.T, s *server) {
		newBystander(s).beside(besideRounds, func(ctx context.Context) {
			attack(ctx, t, func(n int) bool {
				a, err := send(ctx, "POST", s.url+"/client/v4/accounts/"+accountID+
					"/images/v2/direct_upload", nil, "Authorization", "Bearer "+token)
				var minted struct{ Result oneTimeURL }
				if err != nil || json.Unmarshal(a.body, &minted) != nil {
					return false
				}
				form, kind := fileForm(t, "a.jpg", tagged(picture, n))
				a, err = send(ctx, "POST", s.here(minted.Result.UploadURL), form, "Content-Type", kind)
				return err == nil && a.status == http.StatusOK
			})
		})
	})
}

// TestEnlargementsBesideAnotherAccount asks for large renditions of one small public picture, beside
// another account.
func TestEnlargementsBesideAnotherAccount(t *testing.T) {
	onBothDatabases(t, func(t *testing.T, s *server) {
		s.configured("PATCH", "images/v1/config", `{"flexible_variants":true}`)
		base := s.url + "/" + accountHashOf(accountID) + "/" + s.uploaded(photo(t, 64, 48, 1)) + "/"
		wantDeliveryRefusal(t, do(t, "GET", base+"w=12000,h=8000,fit=cover", nil), 400, 9401)
		newBystander(s).beside(besideRounds, func(ctx context.Context) {
			attack(ctx, t, func(n int) bool {
				size := "w=" + strconv.Itoa(2000+n%2000) + ",h=" + strconv.Itoa(3000-n/2000) + ",fit=cover"
				a, err := send(ctx, "GET", base+size, nil, "Accept", "image/webp")
				return err == nil && a.status == http.StatusOK
			})
		})
	})
}
