package partials

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"

	"calotype/internal/disk"
)

// The bytes of an upload are encrypted wherever they wait for their end: the store and the spool have no readable byte
// of a picture before its metadata is removed, and parts that were not deleted are of no use without the upload's URL.
// The key is derived from the secret of that URL, which only the client has. Each file begins with a random
// initialisation vector of AES-256 in counter mode.

// A sealKey encrypts the bytes of a Partial.
type sealKey []byte

// newSealKey returns the key of the Partial with a secret.
func newSealKey(secret, partial string) (sealKey, error) {
	key, err := hkdf.Key(sha256.New, []byte(secret), []byte(partial), "calotype part", 32)
	if err != nil {
		return nil, fmt.Errorf("deriving the key of an upload: %w", err)
	}
	return key, nil
}

const ivBytes = aes.BlockSize

// sealedSize returns the size of the file with n bytes.
func sealedSize(n int64) int64 { return ivBytes + n }

func (k sealKey) stream(iv []byte) (cipher.Stream, error) {
	block, err := aes.NewCipher(k)
	if err != nil {
		return nil, fmt.Errorf("encrypting a part: %w", err)
	}
	return cipher.NewCTR(block, iv), nil
}

// A sealedFile is a spool file with encrypted bytes.
type sealedFile struct {
	*disk.File
	stream  cipher.Stream
	scratch []byte
	err     error // of a write, after which the stream does not fit the file
}

// seal returns a sealedFile without a byte, in file.
func (k sealKey) seal(file *disk.File) (*sealedFile, error) {
	iv := make([]byte, ivBytes)
	rand.Read(iv)
	stream, err := k.stream(iv)
	if err == nil {
		_, err = file.Write(iv)
	}
	return &sealedFile{File: file, stream: stream, err: err}, err
}

// Write encrypts p to the file.
func (f *sealedFile) Write(p []byte) (n int, err error) {
	if f.scratch == nil {
		f.scratch = make([]byte, 32<<10)
	}
	for n < len(p) && f.err == nil {
		some := f.scratch[:min(len(p)-n, len(f.scratch))]
		f.stream.XORKeyStream(some, p[n:n+len(some)])
		var wrote int
		wrote, f.err = f.File.Write(some)
		n += wrote
	}
	return n, f.err
}

// Len returns the number of bytes.
func (f *sealedFile) Len() int64 { return max(0, f.Written()-ivBytes) }

// open returns a reader of the bytes in a sealed file.
func (k sealKey) open(r io.Reader) (io.Reader, error) {
	iv := make([]byte, ivBytes)
	if _, err := io.ReadFull(r, iv); err != nil {
		return nil, fmt.Errorf("reading the beginning of a part: %w", err)
	}
	stream, err := k.stream(iv)
	return cipher.StreamReader{S: stream, R: r}, err
}
