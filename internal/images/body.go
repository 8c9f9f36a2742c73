package images

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"calotype/internal/clientaddr"
	"calotype/internal/disk"
	"calotype/internal/errs"
	"calotype/internal/imagefile"
	"calotype/internal/limit"
	"calotype/internal/render"
	"calotype/internal/text"
	"calotype/internal/trace"
	"calotype/internal/uploadpolicy"
)

const finishTime = 5 * time.Minute // for what follows a complete body

// A Body receives the bytes of a picture that becomes an original: it hashes them and writes them to the
// spool, within the limits. Every upload is received by a Body, whatever commits it: Create or Import, or
// Upload.Finish for a ticket. Write the bytes to it, and Close it in any case. It is not safe for concurrent use.
type Body struct {
	s        *Service
	account  string
	policy   uploadpolicy.Policy // of the ticket; none otherwise
	privacy  imagefile.Privacy   // what store removes; "" for nothing
	stripped *content            // the copy without metadata, in file; nil without one
	began    time.Time
	slot     *limit.Lease
	file     *disk.File // nil if the bytes are hashed only
	spooled  time.Time  // began by the machine's clock
	sum      hash.Hash
	size     int64 // bytes so far
	closed   bool
}

// BeginImage returns the Body of a new image of an account, before a byte is read. size is the declared one
// in bytes, negative if not known. Errors: Busy, NoSpace.
func (s *Service) BeginImage(account string, size int64) (*Body, error) {
	return s.receive(nil, size, true, account)
}

// receive admits a body, and refuses one early that would not fit into the spool. store says whether its bytes
// are stored there. keys are those of the bytes in the spool, the account first. slot is the place of the body among
// the uploads in progress, nil for a new one.
func (s *Service) receive(slot *limit.Lease, size int64, store bool, keys ...string) (*Body, error) {
	b := &Body{s: s, account: keys[0], began: s.now(), spooled: time.Now(), sum: sha256.New(), slot: slot}
	if slot == nil {
		var err error
		if b.slot, err = s.shares.bodies.TryAcquire(1, b.account); err != nil {
			return nil, disk.Full(err)
		}
	}
	if !store {
		return b, nil
	}
	expected := s.config.MaxUploadBytes
	if size >= 0 && size <= expected { // a larger one may have a file that is not
		expected = size
		if err := s.spool.Admit(size, keys...); err != nil {
			b.Close()
			return nil, err
		}
	}
	b.file = s.spool.File(expected, keys...)
	return b, nil
}

// Write receives the next bytes. Errors: TooLarge, or PolicyRefused, if there are more than allowed; Busy if the
// spool or the share of it is full; NoSpace.
func (b *Body) Write(p []byte) (n int, err error) {
	if most := b.MaxBytes(); b.size+int64(len(p)) > most {
		// The hash is of a beginning that is longer than each body that is allowed: it recognizes a repeat.
		b.sum.Write(p[:most-b.size+1])
		return 0, b.TooLarge()
	}
	n = len(p)
	if b.file != nil {
		n, err = b.file.Write(p)
	}
	b.sum.Write(p[:n])
	b.size += int64(n)
	return n, err
}

// MaxBytes returns the largest size of the file, in bytes: the smaller limit of the server's and the policy's.
func (b *Body) MaxBytes() int64 { return b.s.maxBytes(b.policy) }

// TooLarge returns the refusal of a file that is larger than MaxBytes: TooLarge or PolicyRefused.
func (b *Body) TooLarge() error { return b.s.tooLarge(b.policy, 0) }

// FileTooLarge refuses a file that is larger than limit, in bytes.
func FileTooLarge(limit int64) error {
	const mib = 1 << 20
	if limit%mib == 0 {
		return errs.Errorf(errs.TooLarge, "The file is larger than the %d MiB (%d bytes) allowed", limit/mib, limit)
	}
	return errs.Errorf(errs.TooLarge, "The file is larger than the %d bytes allowed", limit)
}

// Size returns the number of received bytes.
func (b *Body) Size() int64 { return b.size }

// sha256 returns the SHA-256 of the received bytes, in hex.
func (b *Body) sha256() string { return hex.EncodeToString(b.sum.Sum(nil)) }

// WriteTo writes the received bytes to w.
func (b *Body) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, io.NewSectionReader(b.file.OS(), 0, b.size))
}

// Close releases the resources of the body, and removes its file from the spool. Only the first call has an effect.
func (b *Body) Close() {
	if b.closed {
		return
	}
	b.closed = true
	if b.file != nil {
		if err := b.file.Close(); err != nil {
			b.s.log.Warn("closing a spool file", "err", err)
		}
	}
	b.slot.Release()
}

// complete ends the reception. It returns the context of the commit, which a client that disconnects does not
// cancel.
func (b *Body) complete(ctx context.Context) (context.Context, context.CancelFunc) {
	b.s.config.Timer.Since(render.Uploads, StageSpool, b.spooled)
	trace.Record(ctx, "receive", b.spooled, nil)
	return context.WithTimeout(context.WithoutCancel(ctx), finishTime)
}

// store examines the complete body and stores it as an original that no row names yet. Errors: those of Examine;
// Blocked.
func (b *Body) store(ctx context.Context) (*Original, error) {
	stripped, notStripped := b.strip(ctx)
	examining, span := trace.Start(ctx, "examine")
	original, err := b.Examine(examining) // of what is stored
	span.End(err)
	if err == nil {
		err = notStripped
	}
	if err == nil {
		err = b.refuseBlocked(ctx, original)
	}
	if err != nil {
		return nil, err
	}
	original.Blob, original.Stripped = blobKey(b.s.now()), stripped
	began := time.Now()
	err = b.s.blobs.Put(ctx, original.Blob, b.file.OS(), original.Size)
	b.s.config.Timer.Since(render.Uploads, StageStore, began)
	trace.Record(ctx, StageStore, began, err)
	if err != nil {
		return nil, fmt.Errorf("storing an original: %w", err)
	}
	return original, nil
}

// Examine has a worker decode the complete body, and returns the Original, which has no key: it is not stored. An SVG
// is checked here: it has no pixels. Errors: Unsupported, Undecodable, OverLimits, PolicyRefused, Busy.
func (b *Body) Examine(ctx context.Context) (*Original, error) {
	if b.size == 0 {
		return nil, errs.Errorf(errs.Unsupported, "The file is empty: it has no bytes")
	}
	ctx = render.WithRequester(ctx, render.Requester{Account: b.account, Client: clientaddr.Of(ctx)})
	c := b.content()
	header, err := imagefile.ReadHeader(c.file, c.size)
	if err == nil {
		err = checkPolicy(b.policy, header) // first: its message names the smaller limit
	} else if errors.Is(err, imagefile.ErrUnsupported) && len(b.policy.Formats) > 0 {
		return nil, errs.Errorf(errs.Unsupported, "Uploaded image must have %s content", b.policy.Types())
	}
	if err == nil {
		err = imagefile.DefaultLimits.Check(header)
	}
	if err == nil && header.Format == imagefile.SVG {
		return b.examineSVG(ctx, c, header)
	}
	var properties render.Properties
	if err == nil {
		properties, err = b.s.config.Render.Examine(ctx, c.file, header)
	}
	if errors.Is(err, render.ErrWorker) && !errors.Is(err, render.ErrTime) &&
		!errors.Is(err, render.ErrOutOfMemory) && !errors.Is(err, render.ErrBusy) {
		// Another process may have killed the worker. A second failure decides.
		properties, err = b.s.config.Render.Examine(ctx, c.file, header)
	}
	if err != nil {
		return nil, RenderError("examining an upload", err)
	}
	return &Original{
		Header: header, Width: properties.Width, Height: properties.Height, Alpha: properties.Alpha,
		Size: c.size, SHA256: c.sha256, Thumbhash: base64.StdEncoding.EncodeToString(properties.Thumbhash),
		Phash: properties.Phash,
	}, nil
}

// blobKey returns a new key, which begins with the UTC day so that the sweep knows its age.
func blobKey(now time.Time) string { return now.UTC().Format(blobDay) + "/" + text.NewKey() }

const blobDay = "20060102"
