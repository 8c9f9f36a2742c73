package importer

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/errs"
	"calotype/internal/fields"
	"calotype/internal/images"
)

// maxMetadataBytes limits a file of metadata, which is in memory during the import.
const maxMetadataBytes = 256 << 20

// metaPrefix is the beginning of the columns of keys of the metadata: meta.NAME.
const metaPrefix = "meta."

// fileColumns are the columns of a file of metadata, besides meta.NAME. path is required.
var fileColumns = []string{"path", "id", "filename", "creator", "requireSignedURLs", "uploaded", "metadata"}

// FileMetadata has the fields of images that a CSV file sets, by the path of their file.
type FileMetadata struct {
	rows map[string]*fileRow
}

// A fileRow is a row of the file. The zero values of its fields leave the defaults.
type fileRow struct {
	line     int
	id       string
	filename string
	creator  *string
	private  bool
	uploaded time.Time
	meta     json.RawMessage
	used     bool
}

// ReadFileMetadata reads a CSV file with a line of names. It returns an error with the line of the first fault.
func ReadFileMetadata(r io.Reader, account accounts.Account) (*FileMetadata, error) {
	limited := &io.LimitedReader{R: r, N: maxMetadataBytes + 1}
	reader := csv.NewReader(limited)
	reader.ReuseRecord = true
	names, err := reader.Read()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("the file of metadata is empty: its first line must have the names of the columns")
	}
	if err != nil {
		return nil, fmt.Errorf("reading the file of metadata: %w", err)
	}
	names = slices.Clone(names)
	names[0] = strings.TrimPrefix(names[0], "\ufeff") // as spreadsheets write it
	if err := checkColumns(names); err != nil {
		return nil, fmt.Errorf("line 1 of the file of metadata: %w", err)
	}
	m := &FileMetadata{rows: map[string]*fileRow{}}
	ids := map[string]int{}
	for {
		record, err := reader.Read()
		if limited.N <= 0 {
			return nil, fmt.Errorf("the file of metadata is larger than %d MiB: split it, and import in parts",
				maxMetadataBytes>>20)
		}
		if errors.Is(err, io.EOF) {
			return m, nil
		}
		if err != nil { // the error has the line
			return nil, fmt.Errorf("reading the file of metadata: %w", err)
		}
		line, _ := reader.FieldPos(0)
		if err := m.add(line, names, record, ids, account.Settings); err != nil {
			return nil, fmt.Errorf("line %d of the file of metadata: %w", line, err)
		}
	}
}

// checkColumns returns an error for names that are unknown, missing or repeated.
func checkColumns(names []string) error {
	for i, name := range names {
		key, isKey := strings.CutPrefix(name, metaPrefix)
		switch {
		case slices.Index(names, name) != i:
			return fmt.Errorf("the column %q stands twice", name)
		case isKey && key != "" || slices.Contains(fileColumns, name):
		default:
			return fmt.Errorf("the column %q is unknown: known are %s and %sNAME", name,
				strings.Join(fileColumns, ", "), metaPrefix)
		}
	}
	if !slices.Contains(names, "path") {
		return errors.New("the column path is missing: it has the path of each file below the folder or prefix")
	}
	return nil
}

// add adds a row. ids has the lines of ids so far.
func (m *FileMetadata) add(line int, names, record []string, ids map[string]int, s accounts.Settings) error {
	row := &fileRow{line: line}
	file := ""
	keys := map[string]string{}
	for i, value := range record {
		value = strings.Clone(value)
		if key, ok := strings.CutPrefix(names[i], metaPrefix); ok {
			if value != "" {
				keys[key] = value
			}
			continue
		}
		if names[i] == "path" {
			file = value
			continue
		}
		if value == "" {
			continue
		}
		if err := row.set(names[i], value); err != nil {
			return err
		}
	}
	if file == "" {
		return errors.New("path is empty: it must be the path of a file below the folder or prefix")
	}
	if before := m.rows[file]; before != nil {
		return fmt.Errorf("path %q stands in line %d, too", file, before.line)
	}
	if before, ok := ids[row.id]; ok && row.id != "" {
		return fmt.Errorf("id %q stands in line %d, too", row.id, before)
	}
	if err := row.addKeys(keys); err != nil {
		return err
	}
	m.rows[file], ids[row.id] = row, line
	return row.checkPrivate(file, s)
}

// set sets the field of a column, which is not empty.
func (r *fileRow) set(column, value string) (err error) {
	switch column {
	case "id":
		r.id = value
		err = checkFileID(value)
	case "filename":
		r.filename = value
		if fields.CleanFilename(value) != value {
			err = fmt.Errorf("it must be text of at most %d bytes, without slashes and control characters",
				fields.MaxFilenameBytes)
		}
	case "creator":
		r.creator = &value
		err = fields.CheckCreator(value)
	case "requireSignedURLs":
		r.private = value == "true"
		if !r.private && value != "false" {
			err = errors.New("it must be true or false")
		}
	case "uploaded":
		if r.uploaded, err = time.Parse(time.RFC3339, value); err != nil {
			err = errors.New("it must be a time like 2026-01-31T12:00:00Z")
		}
	case "metadata":
		r.meta, err = fields.CompactMeta(json.RawMessage(value))
	}
	if err != nil {
		if refusal := new(errs.Error); errors.As(err, &refusal) {
			err = errors.New(refusal.Msg)
		}
		return fmt.Errorf("%s %.80q is not valid: %w", column, value, err)
	}
	return nil
}

// addKeys adds the values of columns meta.NAME to the metadata.
func (r *fileRow) addKeys(keys map[string]string) error {
	if len(keys) == 0 {
		return nil
	}
	all := map[string]any{}
	if r.meta != nil {
		decoder := json.NewDecoder(bytes.NewReader(r.meta))
		decoder.UseNumber()
		if err := decoder.Decode(&all); err != nil {
			return fmt.Errorf("reading the column metadata: %w", err)
		}
	}
	for key, value := range keys {
		if _, twice := all[key]; twice {
			return fmt.Errorf("the metadata has the key %q in two columns", key)
		}
		all[key] = value
	}
	text, err := json.Marshal(all)
	if err == nil {
		r.meta, err = fields.CompactMeta(text)
	}
	if err != nil {
		return fmt.Errorf("the columns %s: %w", metaPrefix, err)
	}
	return nil
}

// checkPrivate refuses a private image with a custom id, as the API does, unless the account allows it.
func (r *fileRow) checkPrivate(file string, s accounts.Settings) error {
	id := r.id
	if id == "" {
		id = file
	}
	if !r.private || s.PrivateCustomIDs || fields.UUID.MatchString(id) {
		return nil
	}
	return errors.New("requireSignedURLs is true for a custom id, which this account does not allow: " +
		"give the image a UUID in the column id, or run calotype account set ID -private-custom-ids on")
}

// row returns the row of a file, nil without one.
func (m *FileMetadata) row(file string) *fileRow {
	if m == nil {
		return nil
	}
	row := m.rows[file]
	if row != nil {
		row.used = true
	}
	return row
}

// unused returns the paths of rows without a file, in the order of lines.
func (m *FileMetadata) unused() (paths []string) {
	if m == nil {
		return nil
	}
	for file, row := range m.rows {
		if !row.used {
			paths = append(paths, file)
		}
	}
	slices.SortFunc(paths, func(a, b string) int { return m.rows[a].line - m.rows[b].line })
	return paths
}

// checkFileID refuses an id that no client could choose, except a UUID: an import takes the ids of its source.
func checkFileID(id string) error {
	if fields.UUID.MatchString(id) {
		return nil
	}
	return fields.CheckCustomID(id)
}

// imported returns the image of a file for the core. Error: InvalidID.
func (f File) imported(prefix string, row *fileRow) (images.ImportedImage, error) {
	i := images.ImportedImage{
		ID: prefix + f.Path, Uploaded: f.Modified, Size: f.Size,
		Filename: fields.CleanFilename(path.Base(f.Path)),
	}
	if row != nil {
		if row.id != "" {
			i.ID = row.id
		}
		if row.filename != "" {
			i.Filename = row.filename
		}
		if !row.uploaded.IsZero() {
			i.Uploaded = row.uploaded
		}
		i.Meta, i.Creator, i.RequireSignedURLs = row.meta, row.creator, row.private
	}
	if err := checkFileID(i.ID); err != nil {
		return i, err
	}
	i, _, err := i.Adapted()
	return i, err
}
