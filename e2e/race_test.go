package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path/filepath"
	"sync"
	"testing"

	"calotype/internal/blob/blobtest"
	"calotype/internal/sqldb/sqldbtest"
)

const (
	racers     = 64
	raceRounds = 4
)

// TestRace posts 64 different pictures to one URL at once: one is accepted, 63 are refused because the
// URL is used, and the stored original is the accepted one.
func TestRace(t *testing.T) {
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		raceOn(t, newServer(t))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		raceOn(t, newServer(t, "-db", sqldbtest.Postgres(t)))
	})
	t.Run("two nodes", func(t *testing.T) {
		t.Parallel()
		raceOn(t, newNodes(t, 2)...)
	})
}

// newNodes starts servers on one PostgreSQL database and one S3 bucket, with
// more arguments if they are given.
func newNodes(t *testing.T, n int, args ...string) (nodes []*server) {
	t.Helper()
	dsn, gateway := sqldbtest.Postgres(t), blobtest.StartGateway(t)
	for range n {
		nodes = append(nodes, newServerIn(t, gateway.Environ(),
			append(args, "-db", dsn, "-blobs", gateway.URI("originals"))...))
	}
	return nodes
}

// newServerIn is newServer with more environment.
func newServerIn(t *testing.T, env []string, args ...string) *server {
	t.Helper()
	s := &server{t: t, data: t.TempDir(), env: env, args: args, log: &logBuffer{}}
	s.start()
	t.Cleanup(s.kill)
	return s
}

func raceOn(t *testing.T, nodes ...*server) {
	base := photo(t, 64, 48, 20)
	for round := range raceRounds {
		race(t, nodes, base, round)
		if t.Failed() {
			return
		}
	}
	if list := nodes[0].list(); len(list) != raceRounds {
		t.Errorf("%d images after %d rounds", len(list), raceRounds)
	}
	// Only the winners' bytes are kept, with the object that says whose store it is.
	dir := filepath.Join(nodes[0].data, "blobs")
	if len(nodes) == 1 {
		if kept := filesIn(t, dir); len(kept) != raceRounds+1 {
			t.Errorf("%d blobs after %d rounds: %v", len(kept), raceRounds, kept)
		}
	}
	for _, s := range nodes {
		if left := filesIn(t, filepath.Join(s.data, "spool")); len(left) != 0 {
			t.Errorf("left in the spool: %v", left)
		}
	}
}

// filesIn returns the paths of all files below dir.
func filesIn(t *testing.T, dir string) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// race runs one round: each racer has a different picture and file name.
func race(t *testing.T, nodes []*server, base []byte, round int) {
	t.Helper()
	u := nodes[0].createUploadURL()
	var (
		pictures [racers][]byte
		answers  [racers]answer
		errs     [racers]error
		all      sync.WaitGroup
		start    = make(chan struct{})
	)
	for i := range racers {
		pictures[i] = tagged(base, round*racers+i)
		body, kind := fileForm(t, fmt.Sprintf("racer-%d.jpg", i), pictures[i])
		target := nodes[i%len(nodes)].url + u.UploadURL[len(nodes[0].url):]
		all.Go(func() {
			<-start
			answers[i], errs[i] = send(t.Context(), "POST", target, body, "Content-Type", kind)
		})
	}
	close(start)
	all.Wait()
	winner := -1
	for i, a := range answers {
		if errs[i] != nil {
			t.Errorf("racer %d: %v", i, errs[i])
			continue
		}
		if a.status != http.StatusOK {
			wantRefusal(t, a, http.StatusConflict, 5409)
			continue
		}
		if winner >= 0 {
			t.Errorf("racers %d and %d were both taken", winner, i)
		}
		winner = i
	}
	if winner < 0 || t.Failed() {
		t.Fatalf("round %d: the winner is %d", round, winner)
	}
	sum := sha256.Sum256(pictures[winner])
	for _, s := range nodes {
		p, ok := s.image(u.ID)
		if !ok || p.Draft || p.Filename == nil || *p.Filename != fmt.Sprintf("racer-%d.jpg", winner) ||
			p.Original == nil || p.Original.SHA256 != hex.EncodeToString(sum[:]) {
			t.Errorf("the winner is %d, the image %+v", winner, p)
		}
		blob := s.api("GET", "images/v1/"+u.ID+"/blob", nil)
		if !bytes.Equal(blob.body, pictures[winner]) {
			t.Errorf("the stored bytes are not the winner's")
		}
	}
}

// list returns all images.
func (s *server) list() []picture {
	s.t.Helper()
	var list struct{ Images []picture }
	a := s.api("GET", "images/v2?per_page=1000", nil)
	if err := unmarshalResult(a, &list); err != nil || a.status != http.StatusOK {
		s.t.Fatalf("status %d, %v\n%s", a.status, err, a.body)
	}
	return list.Images
}
