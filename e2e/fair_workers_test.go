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
	"time"

	"calotype/internal/imagefile"
)

// attackers is how many requests of one account are made at once: more than waited for workers when
// there was one queue for all accounts, so that another one's were refused.
const attackers = 300

// besideRounds are those of the bystander: enough for the workers to finish some of the attack.
const besideRounds = 40

// attack calls do repeatedly and concurrently, until ctx has ended and a call of do has returned that a
// worker did its job.
func attack(ctx context.Context, t *testing.T, do func(ctx context.Context, n int) bool) {
	sending, stop := context.WithTimeout(t.Context(), 5*time.Minute)
	defer stop()
	var all sync.WaitGroup
	var n, done atomic.Int64
	for range attackers {
		all.Go(func() {
			for sending.Err() == nil {
				if do(sending, int(n.Add(1))) {
					done.Add(1)
					continue
				}
				select { // it was refused: what it costs to ask is not what is tested here
				case <-sending.Done():
				case <-time.After(2 * time.Second):
				}
			}
		})
	}
	<-ctx.Done()
	for done.Load() == 0 && sending.Err() == nil {
		time.Sleep(10 * time.Millisecond)
	}
	stop()
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
	h, err := imagefile.ReadHeader(bytes.NewReader(picture), int64(len(picture)))
	if err != nil || imagefile.DefaultLimits.Check(h) != nil {
		t.Fatalf("the picture is over the limits: %+v", h)
	}
	onBothDatabases(t, func(t *testing.T, s *server) {
		newBystander(s).beside(besideRounds, func(ctx context.Context) {
			attack(ctx, t, func(ctx context.Context, n int) bool {
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
			attack(ctx, t, func(ctx context.Context, n int) bool {
				size := "w=" + strconv.Itoa(2000+n%2000) + ",h=" + strconv.Itoa(3000-n/2000) + ",fit=cover"
				a, err := send(ctx, "GET", base+size, nil, "Accept", "image/webp")
				return err == nil && a.status == http.StatusOK
			})
		})
	})
}
