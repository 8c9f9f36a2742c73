package backup

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"time"

	"calotype/internal/text"
)

const (
	manifestFile     = "calotype-backup.json"
	newManifest      = "calotype-backup.new"
	manifestFormat   = 1
	maxManifestBytes = 1 << 20
)

// A manifest lists the parts of a complete backup. Its database lists the originals.
type manifest struct {
	Format       int         `json:"format"`
	Installation string      `json:"installation"`
	State        string      `json:"state"` // folder; "" until the first backup is complete
	Taken        time.Time   `json:"taken"` // moment of the snapshot
	Images       int         `json:"images"`
	Bytes        int64       `json:"bytes"` // of originals
	Files        []stateFile `json:"files"` // of the state
}

// A stateFile is a file of a state as it was written.
type stateFile struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

var (
	stateName     = regexp.MustCompile(`^state-[a-z2-7]{26}$`)
	stateFileName = regexp.MustCompile(`^[a-z][a-z0-9-]*(\.[a-z]+)?$`)
	sha256Hex     = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// parseManifest reads a manifest. Its names are plain: none leads out of the folder.
func parseManifest(encoded []byte) (m manifest, err error) {
	if err := json.Unmarshal(encoded, &m); err != nil {
		return manifest{}, fmt.Errorf("it is not a manifest: %w", err)
	}
	switch {
	case m.Format > manifestFormat:
		return manifest{}, fmt.Errorf("it has the format %d, this program knows formats up to %d: "+
			"use the program that made it", m.Format, manifestFormat)
	case m.Format < 1 || !text.IsKey(m.Installation):
		return manifest{}, errors.New("it does not name the installation")
	case m.State == "":
		return m, nil
	case !stateName.MatchString(m.State):
		return manifest{}, fmt.Errorf("it names the state %q, which is no such name", m.State)
	}
	there := map[string]bool{}
	for _, f := range m.Files {
		if !stateFileName.MatchString(f.Name) || there[f.Name] || f.Size < 0 ||
			!sha256Hex.MatchString(f.SHA256) {
			return manifest{}, fmt.Errorf("what it says of the file %q is not valid", f.Name)
		}
		there[f.Name] = true
	}
	if !there[DatabaseFile] {
		return manifest{}, fmt.Errorf("it names no %s", DatabaseFile)
	}
	return m, nil
}

// readManifest reads the manifest; fs.ErrNotExist if it does not exist.
func (b *Folder) readManifest() error {
	f, err := b.openFile(manifestFile)
	if err != nil {
		return fmt.Errorf("reading the backup's manifest: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxManifestBytes))
	if err = errors.Join(err, f.Close()); err == nil {
		b.manifest, err = parseManifest(text)
	}
	if err != nil {
		return fmt.Errorf("reading the backup's manifest, %s: %w",
			filepath.Join(b.dir, manifestFile), err)
	}
	return nil
}

// writeManifest replaces the manifest atomically and durably.
func (b *Folder) writeManifest(m manifest) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err == nil {
		_, err = parseManifest(text) // an invalid manifest must not replace a valid one
	}
	if err != nil {
		return fmt.Errorf("writing the backup's manifest: %w", err)
	}
	if err := b.root.RemoveAll(newManifest); err != nil {
		return fmt.Errorf("writing the backup's manifest: %w", err)
	}
	if _, err := writeFile(b.root, newManifest, bytes.NewReader(append(text, '\n'))); err != nil {
		return fmt.Errorf("writing the backup's manifest: %w", err)
	}
	if err := b.root.Rename(newManifest, manifestFile); err != nil {
		return fmt.Errorf("writing the backup's manifest: %w", err)
	}
	b.manifest = m
	return syncPath(b.dir)
}
