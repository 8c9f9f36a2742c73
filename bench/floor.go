package main

import (
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// decodeSize is how small a picture is decoded that is only to be proved whole: libvips takes the
// decoder's shrink by 8 for it.
const decodeSize = "100x100"

// decodeSuffix makes the thumbnail that comes with it as cheap as can be.
const decodeSuffix = ".jpg[Q=50,strip]"

// floor returns the CPU time of what an upload cannot do without, each part measured alone: the
// SHA-256 of the bytes, their decoding at 1/8 by vipsthumbnail (without its start), and writing
// and syncing a file of them.
func (b *bench) floor(picture []byte, file string, n int) (time.Duration, error) {
	hashing, err := ownCPU(func() error {
		for range n {
			sha256.Sum256(picture)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	writing, err := ownCPU(func() error {
		for i := range n {
			if err := b.writeDurably("floor-"+strconv.Itoa(i), picture); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	for i := range n {
		if err := os.Remove(filepath.Join(b.scratch, "floor-"+strconv.Itoa(i))); err != nil {
			return 0, err
		}
	}
	decoding, err := b.bareThumbnail(file, decodeSize, decodeSuffix, n)
	return (hashing+writing)/time.Duration(n) + decoding, err
}

// writeDurably writes a file in pieces, as a body comes in, and syncs it and its folder.
func (b *bench) writeDurably(name string, data []byte) error {
	f, err := os.Create(filepath.Join(b.scratch, name))
	if err != nil {
		return err
	}
	const piece = 32 << 10
	for rest := data; len(rest) > 0 && err == nil; rest = rest[min(piece, len(rest)):] {
		_, err = f.Write(rest[:min(piece, len(rest))])
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	folder, err := os.Open(b.scratch)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
