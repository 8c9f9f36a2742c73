package importer_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/imagefile"
	"calotype/internal/imagefile/imagefiletest"
	"calotype/internal/images/imagestest"
	"calotype/internal/importer"
)

// folder returns a folder with files, and the import of it into core.
func folder(t *testing.T, core *imagestest.Core, files map[string][]byte) (string, importer.FilesConfig) {
	t.Helper()
	dir := t.TempDir()
	for path, body := range files {
		file := filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, body, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tree, err := importer.OpenFolder(dir, filepath.Join(dir, "data"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tree.Close() })
	here, err := core.Accounts.ByID(t.Context(), account)
	if err != nil {
		t.Fatal(err)
	}
	return dir, importer.FilesConfig{
		Core: core.Service, Account: here, Tree: tree, Parallel: 4, Backoff: time.Millisecond,
	}
}

// bringFiles runs an import of files that must end with want.
func bringFiles(t *testing.T, c importer.FilesConfig, want error) importer.Report {
	t.Helper()
	report, err := importer.RunFiles(t.Context(), c)
	if !errors.Is(err, want) {
		t.Fatalf("the import ended with %v, want %v\n%+v", err, want, report)
	}
	return report
}

// TestFilesAreComparedAgain: an existing image is compared by size and time, or by its bytes.
func TestFilesAreComparedAgain(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		first, second := imagestest.JPEG(t, 1), imagestest.JPEG(t, 2)
		dir, c := folder(t, core, map[string][]byte{
			"a/b.jpg": first, "touched.jpg": first, "replaced.jpg": first, "data/blob.jpg": first,
		})
		report := bringFiles(t, c, nil)
		if report.Images.Imported != 3 || report.Images.Skipped != 1 || report.Images.Compared != 3 {
			t.Fatalf("imported %+v", report.Images)
		}
		later := time.Now().Add(time.Hour)
		if err := os.Chtimes(filepath.Join(dir, "touched.jpg"), later, later); err != nil {
			t.Fatal(err)
		}
		if len(second) < len(first) { // the same size, and other bytes
			second = append(second, make([]byte, len(first)-len(second))...)
		}
		second = append(second[:len(first)-2:len(first)-2], 0xff, 0xd9)
		if err := os.WriteFile(filepath.Join(dir, "replaced.jpg"), second, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(filepath.Join(dir, "replaced.jpg"), later, later); err != nil {
			t.Fatal(err)
		}
		report = bringFiles(t, c, importer.ErrNotAllImported)
		if report.Images.Exists != 2 || report.Images.Imported != 0 || report.Images.Differ != 1 ||
			report.Problems[0].ID != "replaced.jpg" {
			t.Errorf("the second import: %+v %+v", report.Images, report.Problems)
		}
		c.Verify = true
		if again := bringFiles(t, c, importer.ErrNotAllImported); again.Images.Exists != 2 {
			t.Errorf("a comparison of all bytes: %+v %+v", again.Images, again.Problems)
		}
		imagestest.CheckUsage(t, core)
	})
}

// TestFileMetadata: the fields of the rows are those of the images, and -update takes changed ones.
// TestFilesThatAreStripped: an image whose metadata was removed is still that of its file.
func TestFilesThatAreStripped(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		privacy := imagefile.PrivacyAll
		_, err := core.Accounts.Configure(t.Context(), account, accounts.SettingsChange{StripOriginals: &privacy})
		if err != nil {
			t.Fatal(err)
		}
		picture := imagestest.JPEG(t, 1)
		comment := imagefiletest.JPEGSegment(0xfe, []byte("a place"))
		dir, c := folder(t, core, map[string][]byte{
			"a.jpg": imagefiletest.Join(picture[:2], comment, picture[2:]), "b.jpg": picture,
		})
		for range 2 {
			c.Verify = true
			if report := bringFiles(t, c, nil); report.Images.Exists != 2 {
				t.Errorf("%+v", report.Images)
			}
		}
		plan, err := importer.PlanFiles(t.Context(), c)
		if err != nil || plan.Images.Exists != 2 || plan.Images.Differ != 0 {
			t.Errorf("the plan is %+v, %v", plan.Images, err)
		}
		other := imagefiletest.Join(picture[:2], imagefiletest.JPEGSegment(0xfe, []byte("another place")), picture[2:])
		if err := os.WriteFile(filepath.Join(dir, "a.jpg"), other, 0o600); err != nil {
			t.Fatal(err)
		}
		if report := bringFiles(t, c, importer.ErrNotAllImported); report.Images.Differ != 1 {
			t.Errorf("after a change of the file: %+v", report.Images)
		}
	})
}

func TestFileMetadata(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		const uuid = "9a5c41e0-bbd2-4243-9b0b-f9ac7aa20700"
		_, c := folder(t, core, map[string][]byte{
			"a.jpg": imagestest.JPEG(t, 1), "keys/b.jpg": imagestest.JPEG(t, 2), "c.jpg": imagestest.JPEG(t, 3),
		})
		read := func(text string) *importer.FileMetadata {
			t.Helper()
			m, err := importer.ReadFileMetadata(strings.NewReader(text), c.Account)
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
		c.Prefix = "shop/"
		c.Metadata = read("\ufeffpath,id,creator,requireSignedURLs,uploaded,filename,metadata,meta.sku\n" +
			"a.jpg,,\"one, two\",,2020-01-02T03:04:05Z,x.jpg,\"{\"\"n\"\":1.50}\",7\n" +
			"keys/b.jpg," + uuid + ",,true,,,,\nnone.jpg,,,,,,,\n")
		report := bringFiles(t, c, importer.ErrNotAllImported)
		if len(report.Problems) != 1 || report.Problems[0].ID != "none.jpg" ||
			!strings.Contains(report.Problems[0].Reason, "line 4") {
			t.Errorf("the problems are %+v", report.Problems)
		}
		a, err := core.Image(t.Context(), account, "shop/a.jpg")
		if err != nil || *a.Creator != "one, two" || *a.Filename != "x.jpg" || string(a.Meta) != `{"n":1.50,"sku":"7"}` ||
			a.Uploaded.Year() != 2020 || a.RequireSignedURLs {
			t.Errorf("a.jpg is %+v, %v", a, err)
		}
		b, err := core.Image(t.Context(), account, uuid)
		if err != nil || !b.RequireSignedURLs || *b.Filename != "b.jpg" {
			t.Errorf("keys/b.jpg is %+v, %v", b, err)
		}
		c.Metadata = read("path,creator\nc.jpg,three\nkeys/b.jpg,\n")
		report = bringFiles(t, c, importer.ErrNotAllImported)
		if report.Images.Differ != 2 || report.Images.Imported != 1 { // shop/keys/b.jpg
			t.Errorf("without the id of keys/b.jpg: %+v %+v", report.Images, report.Problems)
		}
		c.Update = true
		if report = bringFiles(t, c, nil); report.Images.Updated != 2 {
			t.Errorf("with -update: %+v %+v", report.Images, report.Problems)
		}
		third, err := core.Image(t.Context(), account, "shop/c.jpg")
		if err != nil || third.Creator == nil || *third.Creator != "three" {
			t.Errorf("c.jpg is %+v, %v", third, err)
		}
	})
}

func TestFileMetadataIsStrict(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                 "is empty",
		"id\nx\n":                          "line 1 of the file of metadata: the column path is missing",
		"path,colour\n":                    `the column "colour" is unknown`,
		"path,meta.\n":                     `the column "meta." is unknown`,
		"path,path\n":                      `"path" stands twice`,
		"path,id\na.jpg,x\nb.jpg,x\n":      `line 3 of the file of metadata: id "x" stands in line 2`,
		"path\na.jpg\n\na.jpg\n":           `line 4 of the file of metadata: path "a.jpg" stands in line 2`,
		"path,id\na.jpg\n":                 "line 2",
		"path\n\"a\"b\n":                   "line 2",
		"path,id\n,x\n":                    "path is empty",
		"path,id\na.jpg,keys/x\n":          `line 2 of the file of metadata: id "keys/x" is not valid`,
		"path,uploaded\na.jpg,today\n":     "a time like 2026-",
		"path,requireSignedURLs\na,yes\n":  "true or false",
		"path,requireSignedURLs\na,true\n": "private-custom-ids",
		"path,metadata\na.jpg,[1]\n":       `metadata "[1]" is not valid`,
		"path,creator\na.jpg,\"a\nb\"\n":   "creator",
		"path,metadata,meta.a\nx,\"{\"\"a\"\":1}\",2\n":           `the key "a" in two columns`,
		"path,filename\na.jpg," + strings.Repeat("x", 256) + "\n": "at most 255 bytes",
		"path,meta.a\na.jpg," + strings.Repeat("x", 1024) + "\n":  "meta",
	} {
		_, err := importer.ReadFileMetadata(strings.NewReader(text), accounts.Account{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80q: the error is %v, want %s", text, err, want)
		}
	}
	_, err := importer.ReadFileMetadata(strings.NewReader("path,requireSignedURLs\na,true\n"),
		accounts.Account{Settings: accounts.Settings{PrivateCustomIDs: true}})
	if err != nil {
		t.Errorf("of an account with private custom ids: %v", err)
	}
}

// TestReplacedFiles: a file that is replaced by a link after it was listed is not read.
func TestReplacedFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, outside := filepath.Join(dir, "a.jpg"), filepath.Join(t.TempDir(), "b.jpg")
	for _, file := range []string{path, outside} {
		if err := os.WriteFile(file, []byte("text"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tree, err := importer.OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	var listed []importer.File
	err = tree.Each(t.Context(), func(f importer.File) error { listed = append(listed, f); return nil })
	if err != nil || len(listed) != 1 {
		t.Fatalf("listed %v, %v", listed, err)
	}
	for name, replace := range map[string]func() error{
		"link":  func() error { return os.Symlink(outside, path) },
		"file":  func() error { return os.WriteFile(path, []byte("tex2"), 0o600) },
		"other": func() error { return nil },
	} {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		if err := replace(); err != nil {
			t.Fatal(err)
		}
		if r, err := tree.Open(t.Context(), listed[0], 0); err == nil {
			r.Close()
			t.Errorf("%s: the file is read", name)
		}
	}
}

// TestPlans: a plan lists what an import would refuse, and changes nothing.
func TestPlans(t *testing.T) {
	t.Parallel()
	core, s := imagestest.New(t), newSource(t)
	s.add(20)
	s.images[3].id = "keys/1"
	s.images[4].more = `,"filename":"x.bmp"`
	s.images[4].body = []byte("BM this is no picture here")
	s.variants = `{"good":{"options":{"width":10}},"drawn":{"options":{"width":10,"draw":"x"}}}`
	c := config(t, s, core)
	c.Rate = 1e6
	for _, name := range []string{"with a database", "before the first start"} {
		if name != "with a database" {
			c.Core, c.Account = nil, accounts.Account{}
		}
		plan, err := importer.PlanImport(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if plan.Images.Listed != 20 || plan.Images.Import != 19 || plan.Images.Refused != 1 ||
			plan.Hash != sourceHash || plan.Settings["variant"] != 1 || plan.Settings["key"] != 1 {
			t.Errorf("%s: the plan is %+v", name, plan)
		}
		found := map[string]string{}
		for _, p := range plan.Problems {
			found[p.What+" "+p.ID] = p.Reason
		}
		if len(found) != 3 || !strings.Contains(found["variant drawn"], "draw") || found["image keys/1"] == "" ||
			!strings.Contains(found["format .bmp"], "1 images have such filenames") {
			t.Errorf("%s: the problems are %v", name, found)
		}
	}
	if s.fetched() > 4 {
		t.Errorf("%d pictures were read", s.fetched())
	}
	if all, err := core.Variants(t.Context(), account); err != nil || len(all) != 1 {
		t.Errorf("the variants are %v, %v", all, err)
	}
}

// TestFilePlan: a plan of files finds what an import would.
func TestFilePlan(t *testing.T) {
	t.Parallel()
	core := imagestest.New(t)
	body := imagestest.JPEG(t, 1)
	_, c := folder(t, core, map[string][]byte{
		"a.jpg": body, "b.jpg": imagestest.JPEG(t, 2), "text.jpg": []byte("text"), "keys/a.jpg": body, ".x.jpg": body,
	})
	plan, err := importer.PlanFiles(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	want := importer.PlannedImages{Listed: 4, Import: 2, Bytes: plan.Images.Bytes, Refused: 2, Skipped: 1}
	if plan.Images != want || plan.Images.Bytes < int64(2*len(body))*9/10 {
		t.Errorf("the plan is %+v, want %+v", plan.Images, want)
	}
	if report := bringFiles(t, c, importer.ErrNotAllImported); report.Images.Imported != 2 ||
		report.Images.Refused != 2 {
		t.Errorf("the import is %+v", report.Images)
	}
	if plan, err = importer.PlanFiles(t.Context(), c); err != nil || plan.Images.Exists != 2 || plan.Images.Import != 0 {
		t.Errorf("the plan after the import is %+v, %v", plan.Images, err)
	}
}
