package e2e

import (
	"encoding/json"
	"math/rand"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

const (
	mintKills   = 8
	mintClients = 16
	mintingTime = 300 * time.Millisecond // at most, from the hundredth answer to the kill
)

// TestKillMinusNineOfDrafts kills the server while 16 ask for one-time URLs, which it commits in
// groups: each that was answered is there afterwards, and the account's usage is that of its rows.
func TestKillMinusNineOfDrafts(t *testing.T) {
	t.Parallel()
	onBothDSNs(t, killMinting)
}

func killMinting(t *testing.T, s *server, dsn string) {
	rnd := rand.New(rand.NewSource(7))
	var acknowledged []string
	for range mintKills {
		answered := make(chan string, 10_000)
		var wait sync.WaitGroup
		for range mintClients {
			wait.Go(func() { mintUntilKilled(s, answered) })
		}
		go func() { wait.Wait(); close(answered) }()
		for range 100 { // until all are at it
			acknowledged = append(acknowledged, <-answered)
		}
		time.Sleep(time.Duration(rnd.Int63n(int64(mintingTime))))
		s.kill()
		for id := range answered {
			acknowledged = append(acknowledged, id)
		}
		s.start()
	}
	// One more, from what the last kill has left.
	acknowledged = append(acknowledged, s.createUploadURL().ID)
	s.stop()
	there := s.open(dsn).strings(`SELECT id FROM images`)
	slices.Sort(there)
	for _, id := range acknowledged {
		if _, found := slices.BinarySearch(there, id); !found {
			t.Errorf("%s was answered and is lost", id)
		}
	}
	if most := len(acknowledged) + mintKills*mintClients; len(there) > most {
		t.Errorf("%d drafts are there, of %d asked for at most", len(there), most)
	}
	wantUsage(t, dsn)
	t.Logf("%d kills: %d acknowledged, %d not", mintKills, len(acknowledged),
		len(there)-len(acknowledged))
}

// mintUntilKilled asks for one-time URLs, and passes on their ids, until the server is gone.
func mintUntilKilled(s *server, answered chan<- string) {
	for {
		a, err := send(s.t.Context(), "POST", s.url+"/client/v4/accounts/"+accountID+
			"/images/v2/direct_upload", nil, "Authorization", "Bearer "+token)
		if err != nil {
			return
		}
		var e struct{ Result oneTimeURL }
		if err := json.Unmarshal(a.body, &e); err != nil || a.status != http.StatusOK ||
			e.Result.ID == "" {
			s.t.Errorf("status %d, %v: %s", a.status, err, a.body)
			return
		}
		answered <- e.Result.ID
	}
}
