package imagefiletest

import (
	"bufio"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// A CorpusFile is a row of the manifest of the corpus. A number that is missing in the row is 0.
type CorpusFile struct {
	Path, Category, Expected, Format string // relative to the folder of the corpus
	Width, Height, Frames            int    // of the stored pixels
	Orientation                      string // EXIF orientation, or "xmp:3" and similar
}

// Corpus returns the folder of real and hostile pictures, which CALOTYPE_CORPUS names. Without it the
// test is skipped, and in CI it fails.
func Corpus(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("CALOTYPE_CORPUS")
	switch {
	case dir != "":
	case os.Getenv("CI") == "true":
		t.Fatal("CALOTYPE_CORPUS is not set")
	default:
		t.Skip("CALOTYPE_CORPUS is not set")
	}
	return dir
}

// CorpusFiles returns the rows of the manifest, at least 100.
func CorpusFiles(t testing.TB) (files []CorpusFile) {
	t.Helper()
	manifest, err := os.Open(filepath.Join(Corpus(t), "MANIFEST.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	defer manifest.Close()
	lines := bufio.NewScanner(manifest)
	lines.Buffer(nil, 1<<20)
	lines.Scan() // column names
	for lines.Scan() {
		row := strings.Split(lines.Text(), "\t")
		f := CorpusFile{Path: row[0], Category: row[1], Expected: row[2], Format: row[4], Orientation: row[8]}
		f.Width, _ = strconv.Atoi(row[5])
		f.Height, _ = strconv.Atoi(row[6])
		f.Frames, _ = strconv.Atoi(row[7])
		files = append(files, f)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if len(files) < 100 {
		t.Fatalf("the corpus has %d files, want at least 100", len(files))
	}
	return files
}
