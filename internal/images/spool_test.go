package images_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
)

// sizes returns the size of all files in a folder together.
func sizes(t *testing.T, dir string) (sum int64) {
	t.Helper()
	for _, path := range imagestest.Files(t, dir) {
		info, err := os.Stat(path)
		if err != nil {
			t.Error(err)
			continue
		}
		sum += info.Size()
	}
	return sum
}

// spooled returns a core with a small spool, and its folder.
func spooled(t *testing.T, maxUpload, spool int64) (core *imagestest.Core, dir string) {
	t.Helper()
	core = imagestest.Open(t, images.Config{MaxUploadBytes: maxUpload, SpoolBytes: spool},
		filepath.Join(t.TempDir(), "calotype.db"))
	return core, filepath.Join(core.Dir, "spool")
}

// ticketOf makes a draft of an account and returns it with its ticket.
func ticketOf(t *testing.T, core *imagestest.Core, account string) (images.Image, string) {
	t.Helper()
	img, ticket, err := core.CreateDraft(t.Context(), account, images.NewDraft{})
	if err != nil {
		t.Fatal(err)
	}
	return img, ticket
}

// begin begins an upload that the test ends at the latest.
func begin(t *testing.T, core *imagestest.Core, r images.UploadRequest) *images.Upload {
	t.Helper()
	u, err := core.BeginUpload(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(u.Close)
	return u
}

// fillSpool writes to uploads of an account by the API until the spool has no room for more of it.
func fillSpool(t *testing.T, core *imagestest.Core, account string, maxUpload int) (bytes int64) {
	t.Helper()
	for range 1000 {
		u, err := core.BeginImage(account, -1)
		if err != nil {
			imagestest.WantKind(t, err, errs.Busy)
			return bytes
		}
		t.Cleanup(u.Close)
		n, err := u.Write(make([]byte, maxUpload))
		bytes += int64(n)
		if err != nil {
			wantBusy(t, err)
			return bytes
		}
	}
	t.Fatal("the spool never fills")
	return 0
}

func wantBusy(t *testing.T, err error) {
	t.Helper()
	imagestest.WantKind(t, err, errs.Busy)
	if errs.AsError(err).RetryAfter == 0 {
		t.Error("the client gets no Retry-After")
	}
}

// TestAPromiseHoldsNothing: bodies that may become large, and of which a byte or none has come,
// leave the spool to others. This was seen with one used one-time URL.
func TestAPromiseHoldsNothing(t *testing.T) {
	t.Parallel()
	const maxUpload = 1 << 20
	core, dir := spooled(t, maxUpload, 64<<20)
	_, used := ticketOf(t, core, account)
	request := images.UploadRequest{Ticket: used, IdempotencyKey: "k"}
	if _, err := imagestest.Post(t.Context(), core, request, imagestest.JPEG(t, 1)); err != nil {
		t.Fatal(err)
	}
	request.Size = -1
	for range 4 {
		if _, err := begin(t, core, request).Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 100 {
		_, ticket := ticketOf(t, core, account)
		u := begin(t, core, images.UploadRequest{Ticket: ticket, Size: -1})
		if i < 50 {
			if _, err := u.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
		}
		api, err := core.BeginImage(account, maxUpload)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(api.Close)
	}
	if n := len(imagestest.Files(t, dir)); n != 50 {
		t.Errorf("there are %d files of 50 bodies that have begun", n)
	}
	for i, id := range append(imagestest.Accounts(t, core, 2), account) {
		_, ticket := ticketOf(t, core, id)
		_, err := imagestest.Post(t.Context(), core, images.UploadRequest{Ticket: ticket}, imagestest.JPEG(t, i))
		if err != nil {
			t.Errorf("an upload beside them: %v", err)
		}
	}
}

// TestAccountsShareTheSpool: two accounts take as much as they get; a third always gets in.
func TestAccountsShareTheSpool(t *testing.T) {
	t.Parallel()
	const maxUpload, spool = 1 << 20, 32 << 20
	core, dir := spooled(t, maxUpload, spool)
	ids := imagestest.Accounts(t, core, 2)
	first, second := fillSpool(t, core, account, maxUpload), fillSpool(t, core, ids[0], maxUpload)
	if first > spool/2 || first < spool/3 || second > spool/4 || second < spool/8 {
		t.Errorf("one account got %d bytes, the next %d", first, second)
	}
	_, ticket := ticketOf(t, core, ids[1])
	body := imagestest.JPEG(t, 1)
	if _, err := imagestest.Post(t.Context(), core, images.UploadRequest{Ticket: ticket}, body); err != nil {
		t.Errorf("a third account: %v", err)
	}
	stats, err := core.Stats()
	if err != nil || stats.SpoolReserved < sizes(t, dir) || stats.SpoolReserved > spool {
		t.Errorf("%d bytes are reserved of %d, %v", stats.SpoolReserved, spool, err)
	}
}

// TestAFullSpoolIsNoRefusal: a body that no longer fits gets Busy, which does not count for its ticket. Other
// tickets of the account are still accepted.
func TestAFullSpoolIsNoRefusal(t *testing.T) {
	t.Parallel()
	const maxUpload = 8 << 20
	core, dir := spooled(t, maxUpload, images.LeastSpool(maxUpload))
	made, ticket := ticketOf(t, core, account)
	_, other := ticketOf(t, core, account)
	// A form may be larger than its file may be.
	begin(t, core, images.UploadRequest{Ticket: ticket, Size: 2 * maxUpload}).Close()
	u := begin(t, core, images.UploadRequest{Ticket: ticket, Size: -1})
	if _, err := u.Write(make([]byte, maxUpload)); err != nil {
		t.Fatalf("the largest file into an empty spool: %v", err)
	}
	second := begin(t, core, images.UploadRequest{Ticket: ticket, Size: -1})
	_, err := second.Write(make([]byte, maxUpload/2))
	wantBusy(t, second.Refuse(t.Context(), err))
	_, err = core.BeginUpload(t.Context(), images.UploadRequest{Ticket: ticket, Size: maxUpload})
	wantBusy(t, err)
	if img, err := core.Image(t.Context(), account, made.ID); err != nil || img.Ticket.Refusals != 0 {
		t.Errorf("the ticket has %d refusals, %v", img.Ticket.Refusals, err)
	}
	_, err = imagestest.Post(t.Context(), core, images.UploadRequest{Ticket: other}, imagestest.JPEG(t, 1))
	if err != nil {
		t.Errorf("another ticket of the account: %v", err)
	}
	u.Close()
	second.Close()
	_, err = imagestest.Post(t.Context(), core, images.UploadRequest{Ticket: ticket}, imagestest.JPEG(t, 1))
	if err != nil {
		t.Errorf("afterwards: %v", err)
	}
	if left := imagestest.Files(t, dir); len(left) != 0 {
		t.Errorf("the spool holds %v", left)
	}
	if stats, err := core.Stats(); err != nil || stats.SpoolReserved != 0 {
		t.Errorf("%d bytes are still reserved, %v", stats.SpoolReserved, err)
	}
}

// TestBodiesAreBounded: a body that has sent nothing still holds a connection, so one account has
// half of them at most; and no file.
func TestBodiesAreBounded(t *testing.T) {
	t.Parallel()
	core, dir := spooled(t, 1<<20, 1<<30)
	count := func(account string) (n int) {
		for {
			u, err := core.BeginImage(account, -1)
			if err != nil {
				wantBusy(t, err)
				return n
			}
			t.Cleanup(u.Close)
			n++
		}
	}
	ids := imagestest.Accounts(t, core, 2)
	if first, second := count(account), count(ids[0]); first != 512 || second != 256 {
		t.Errorf("one account got %d bodies, the next %d; want 512 and 256", first, second)
	}
	if left := imagestest.Files(t, dir); len(left) != 0 {
		t.Errorf("%d files for bodies that have sent nothing", len(left))
	}
	_, ticket := ticketOf(t, core, ids[1])
	_, err := imagestest.Post(t.Context(), core, images.UploadRequest{Ticket: ticket}, imagestest.JPEG(t, 1))
	if err != nil {
		t.Errorf("a third account: %v", err)
	}
}

// TestPoolsHoldNothingInTheEnd: whatever an upload ends with, all comes back.
func TestPoolsHoldNothingInTheEnd(t *testing.T) {
	t.Parallel()
	core, _ := spooled(t, 50_000, 1<<20)
	for i, body := range [][]byte{nil, {1}, make([]byte, 50_001), imagestest.JPEG(t, 1)} {
		_, ticket := ticketOf(t, core, account)
		request := images.UploadRequest{Ticket: ticket, IdempotencyKey: "k"}
		for range 2 {
			if _, err := imagestest.Post(t.Context(), core, request, body); (err == nil) != (i == 3) {
				t.Errorf("body %d: %v", i, err)
			}
		}
		u, err := core.BeginImage(account, int64(len(body)))
		if err != nil {
			t.Fatal(err)
		}
		_, err = u.Write(body)
		if err == nil {
			_, err = u.Create(t.Context(), "a.jpg", images.NewDraft{ID: imagestest.Ptr(fmt.Sprint(i))})
		}
		if (err == nil) != (i == 3) {
			t.Errorf("body %d by the API: %v", i, err)
		}
		u.Close()
	}
	if _, err := core.BeginUpload(t.Context(), images.UploadRequest{Ticket: "x"}); err == nil {
		t.Error("an unknown ticket was taken")
	}
	for _, p := range core.Pools() {
		if s := p.Stats(); s.Used != 0 || s.Waiting != 0 || s.Keys != 0 {
			t.Errorf("at the end: %+v", s)
		}
	}
}
