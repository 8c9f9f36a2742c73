package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/blob"
	"calotype/internal/images"
	"calotype/internal/sqldb"
)

// quickCheckTime bounds the search for damaged pages of SQLite.
const quickCheckTime = 3 * time.Second

// A doctorState is what the checks of the state have opened.
type doctorState struct {
	db     *sqldb.DB // nil if it cannot be read or does not exist
	isNew  bool      // the database does not exist or has no schema
	store  blob.Store
	absent bool // the folder of originals does not exist
}

// checkState checks the database, the blob store, and the relation of both.
func (d *doctor) checkState(ctx context.Context) {
	var opened, s doctorState // a check that has not ended may still write to opened
	if d.check(ctx, "database", func(ctx context.Context) []finding { return d.database(ctx, &opened) }) {
		s.db, s.isNew = opened.db, opened.isNew
	}
	if s.db != nil {
		defer s.db.Close()
		version := int64(-1)
		if d.check(ctx, "schema", func(ctx context.Context) (findings []finding) {
			version, findings = schema(ctx, s.db)
			return findings
		}) {
			s.isNew = version == 0
			if version < 0 {
				s.db = nil
			}
		}
		if s.db != nil && d.DB == "" {
			d.check(ctx, "integrity", func(ctx context.Context) []finding { return integrity(ctx, s.db) })
		}
	}
	if d.check(ctx, "store", func(ctx context.Context) []finding { return d.store(ctx, &opened) }) {
		s.store, s.absent = opened.store, opened.absent
	}
	d.check(ctx, "installation", func(ctx context.Context) []finding { return d.installation(ctx, s) })
	d.check(ctx, "clock", func(ctx context.Context) []finding { return clocks(ctx, s) })
}

// database opens the database for reading.
func (d *doctor) database(ctx context.Context, s *doctorState) []finding {
	if err := d.checkDB(); err != nil {
		return []finding{failed("change -db", "%v", err)}
	}
	do := "run this command as the user of the server; if the file is damaged, restore a backup"
	if d.DB != "" {
		do = "check that PostgreSQL runs, and the host, user and password of -db"
	}
	db, err := sqldb.OpenToRead(ctx, d.dsn())
	if d.DB == "" && errors.Is(err, fs.ErrNotExist) {
		s.isNew = true
		return []finding{ok("%s does not exist: the first start creates it", d.dsn())}
	}
	var engine string
	if err == nil {
		s.db = db
		engine, err = db.Engine(ctx)
	}
	if err != nil {
		return []finding{failed(do, "%v", err)}
	}
	return []finding{ok("%s", engine)}
}

// schema returns the version of the schema, -1 if it is not known or this program cannot use it.
func schema(ctx context.Context, db *sqldb.DB) (int64, []finding) {
	database, program, err := images.ReadSchema(ctx, db)
	switch {
	case err != nil:
		return -1, []finding{failed("check that the database is one of calotype", "%v", err)}
	case database > program:
		return -1, []finding{failed("install the newer program", "%v",
			&sqldb.NewerSchemaError{Database: database, Program: program})}
	case database == 0:
		return 0, []finding{ok("the database is empty: the first start creates the schema %d", program)}
	case database < program:
		return database, []finding{ok("%d: the next start migrates it to %d", database, program)}
	}
	return database, []finding{ok("%d", database)}
}

func integrity(ctx context.Context, db *sqldb.DB) []finding {
	within, cancel := context.WithTimeout(ctx, quickCheckTime)
	defer cancel()
	err := db.QuickCheck(within)
	switch {
	case within.Err() != nil:
		return []finding{ok("no damaged page was found within %v; the database is too large for a whole check",
			quickCheckTime)}
	case err != nil:
		return []finding{failed("restore a backup", "%v", err)}
	}
	return []finding{ok("no page is damaged")}
}

// store opens the blob store for reading, and lists its first objects.
func (d *doctor) store(ctx context.Context, s *doctorState) []finding {
	address, do := d.blobs(), "check -blobs, its credentials and their rights"
	if !strings.Contains(address, "://") {
		_, problem := checkFolder(address)
		if problem != nil && problem.Result == resultWarning {
			s.absent = true
			return []finding{ok("%s does not exist: the first start creates it", address)}
		}
		if problem != nil {
			return []finding{*problem}
		}
		do = "run this command as the user of the server"
	}
	store, err := blob.OpenToRead(ctx, address)
	if err != nil {
		return []finding{failed(do, "%v", err)}
	}
	s.store = store
	objects, next, err := store.List(ctx, "", "")
	if err != nil {
		return []finding{failed(do, "%v", err)}
	}
	number := fmt.Sprint(len(objects))
	if next != "" {
		number += " or more"
	}
	if _, remote := store.(*blob.S3); remote {
		return []finding{ok("the bucket lists %s objects; the rights to write and delete were not checked", number)}
	}
	return []finding{ok("%s has %s objects, and can be read and written", address, number)}
}

// installation checks that the database and the store belong together.
func (d *doctor) installation(ctx context.Context, s doctorState) []finding {
	var id string
	var marked bool
	var err error
	switch {
	case s.db == nil && !s.isNew || s.store == nil && !s.absent:
		return []finding{warning("solve the failed checks of the database and the store first",
			"whether the database and the store belong together was not checked")}
	case !s.isNew:
		core := images.New(images.Config{DB: s.db})
		defer core.Close()
		id, marked, err = core.Accounts.Installation(ctx)
		if errors.Is(err, accounts.ErrNeverUsed) {
			err = nil
		}
	}
	isNew := s.absent
	if err == nil && s.absent && marked {
		err = errors.New("the folder of the originals of this database does not exist")
	}
	if err == nil && !s.absent {
		isNew, err = images.CheckMark(ctx, s.store, id, marked)
	}
	switch {
	case err != nil:
		return []finding{failed("name the database and the store that belong together with -db, -data and -blobs",
			"%v", err)}
	case isNew:
		return []finding{ok("the store is new: the next start marks it")}
	}
	return []finding{ok("the database and the store belong to the installation %s", id)}
}

// The differences of clocks that are a warning and a failure.
const (
	skewWarning = 5 * time.Second
	skewFailure = 2 * time.Minute
)

// clocks compares the clock of this machine with those of PostgreSQL and S3.
func clocks(ctx context.Context, s doctorState) (findings []finding) {
	compare := func(name string, read func(context.Context) (time.Time, error)) {
		began := time.Now()
		now, err := read(ctx)
		switch {
		case err != nil:
			findings = append(findings, warning("solve the failed checks first",
				"the clock of %s was not read: %v", name, err))
		case !now.IsZero():
			// In the middle of the request, which is the least error.
			findings = append(findings, skewFinding(name, now.Sub(began.Add(time.Since(began)/2))))
		}
	}
	if s.db != nil {
		compare("PostgreSQL", s.db.Clock)
	}
	if s3, remote := s.store.(*blob.S3); remote {
		compare("S3", s3.Clock)
	}
	if findings == nil {
		findings = []finding{ok("%s; not compared: there is no clock of PostgreSQL or S3",
			time.Now().UTC().Format(time.RFC3339))}
	}
	return findings
}

// skewFinding judges by how much the clock of another server is ahead of this machine's.
func skewFinding(name string, ahead time.Duration) finding {
	const do = "synchronise the clocks with NTP: signed URLs, leases and requests to S3 depend on them"
	found := fmt.Sprintf("%v from the clock of %s", ahead.Abs().Round(time.Millisecond), name)
	switch {
	case ahead.Abs() > skewFailure:
		return failed(do, "%s", found)
	case ahead.Abs() > skewWarning:
		return warning(do, "%s", found)
	}
	return ok("%s", found)
}
