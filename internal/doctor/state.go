package doctor

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

// A state is what the checks of the state have opened.
type state struct {
	db      *sqldb.DB // nil if it cannot be read or does not exist
	isNew   bool      // the database does not exist or has no schema
	current bool      // the database has the schema of this program
	store   blob.Store
	absent  bool // the folder of originals does not exist
}

// checkState checks the database, the blob store, and the relation of both.
func (d *doctor) checkState(ctx context.Context) {
	var s state
	step := func(subject string, fn func(context.Context, *state) []Finding) {
		work := s // an abandoned check may still write to it
		if d.check(ctx, subject, func(ctx context.Context) []Finding { return fn(ctx, &work) }) {
			s = work
		}
	}
	defer func() {
		if s.db != nil {
			d.end(s.db.Close)
		}
	}()
	step("database", d.database)
	if s.db != nil {
		step("schema", d.schema)
	}
	if d.DB == "" && s.db != nil && (s.isNew || s.current) {
		step("integrity", func(ctx context.Context, s *state) []Finding { return d.reading(ctx, s, integrity) })
	}
	if s.current {
		step("account", func(ctx context.Context, s *state) []Finding { return d.reading(ctx, s, d.account) })
	}
	step("store", d.store)
	step("installation", d.installation)
	step("clock", d.clocks)
}

// readTimes bounds the attempts to read a database while servers start or end.
const readTimes = 3

// reading runs a check that reads the database. If a server has started or ended in the meantime, what was read
// may be wrong: then reading opens the database again, and repeats the check.
func (d *doctor) reading(ctx context.Context, s *state,
	fn func(context.Context, *sqldb.DB) []Finding) []Finding {
	for range readTimes {
		findings := fn(ctx, s.db)
		if !s.db.Changed() {
			return findings
		}
		again, err := sqldb.OpenToRead(ctx, d.dsn())
		if err != nil {
			break
		}
		old := s.db
		s.db = again
		_ = old.Close() // it was only read
	}
	return []Finding{warning("run this command again",
		"a server started or ended while this command read the database")}
}

// database opens the database for reading.
func (d *doctor) database(ctx context.Context, s *state) []Finding {
	if err := sqldb.CheckAddress(d.DB); err != nil {
		return []Finding{failed("change -db", "%v", err)}
	}
	do := "if this user may not read it, " + asServer + "; if the file is damaged, restore a backup"
	if d.DB != "" {
		do = "check that PostgreSQL runs, and the host, user and password of -db"
	}
	db, err := sqldb.OpenToRead(ctx, d.dsn())
	switch {
	case d.DB == "" && errors.Is(err, fs.ErrNotExist):
		s.isNew = true
		return []Finding{ok("%s does not exist: the first start creates it", d.dsn())}
	case errors.Is(err, sqldb.ErrUnfinished):
		return []Finding{warning("start the server, which completes the write, and run this command beside it",
			"not checked: %v", err)}
	case err != nil:
		return []Finding{failed(do, "%v", err)}
	}
	s.db = db
	engine, err := db.Engine(ctx)
	if err != nil {
		return []Finding{failed(do, "%v", err)}
	}
	return []Finding{ok("%s", engine)}
}

// schema reads the version of the schema, and checks that a server may write.
func (d *doctor) schema(ctx context.Context, s *state) []Finding {
	return d.reading(ctx, s, func(ctx context.Context, db *sqldb.DB) []Finding {
		database, program, err := images.ReadSchema(ctx, db)
		if err != nil {
			return []Finding{failed("check that the database is one of calotype", "%v", err)}
		}
		if database > program {
			return []Finding{failed("install the newer program", "%v",
				&sqldb.NewerSchemaError{Database: database, Program: program})}
		}
		s.isNew, s.current = database == 0, database == program
		if err := db.CheckRights(ctx, !s.current); err != nil {
			return []Finding{failed("name the primary server with -db, and grant its user the rights of the owner",
				"%v", err)}
		}
		switch {
		case s.isNew:
			return []Finding{ok("the database is empty: the first start creates the schema %d", program)}
		case !s.current:
			return []Finding{ok("%d: the next start migrates it to %d", database, program)}
		}
		return []Finding{ok("%d", database)}
	})
}

func integrity(ctx context.Context, db *sqldb.DB) []Finding {
	within, cancel := context.WithTimeout(ctx, quickCheckTime)
	defer cancel()
	err := db.QuickCheck(within)
	switch {
	case err == nil:
		return []Finding{ok("no page is damaged")}
	case within.Err() != nil && ctx.Err() == nil:
		return []Finding{ok("no damaged page was found within %v; the database is too large for a whole check",
			quickCheckTime)}
	}
	return []Finding{failed("restore a backup", "%v", err)}
}

// account compares the account in the flags with the database.
func (d *doctor) account(ctx context.Context, db *sqldb.DB) []Finding {
	core := images.New(images.Config{DB: db})
	defer core.Close()
	a, err := core.Accounts.CheckSetUp(ctx, d.Account)
	switch {
	case err != nil:
		return []Finding{failed("change -account-id, -account-hash or -api-token", "%v", err)}
	case a.ID == "":
		return []Finding{ok("the next start creates it")}
	case a.Suspended:
		return []Finding{warning("resume it: calotype account resume "+a.ID, "%s is suspended", a.ID)}
	}
	return []Finding{ok("%s", a.ID)}
}

// store opens the blob store for reading, and lists its first objects.
func (d *doctor) store(ctx context.Context, s *state) []Finding {
	address, do := d.Blobs, "check -blobs, its credentials and their rights"
	if !strings.Contains(address, "://") {
		_, problem := checkFolder(address)
		if problem != nil && problem.Result == Warning {
			s.absent = true
			return []Finding{ok("%s does not exist: the first start creates it", address)}
		}
		if problem != nil {
			return []Finding{*problem}
		}
		do = asServer
	}
	store, err := blob.OpenToRead(ctx, address)
	if err != nil {
		return []Finding{failed(do, "%v", err)}
	}
	s.store = store
	objects, next, err := store.List(ctx, "", "")
	if err != nil {
		return []Finding{failed(do, "%v", err)}
	}
	number := fmt.Sprint(len(objects))
	if next != "" {
		number += " or more"
	}
	if _, remote := store.(*blob.S3); remote {
		return []Finding{ok("the bucket lists %s objects; the rights to write and delete were not checked", number)}
	}
	return []Finding{ok("%s has %s objects, and can be read and written", address, number)}
}

// installation checks that the database and the store belong together.
func (d *doctor) installation(ctx context.Context, s *state) []Finding {
	if s.db == nil && !s.isNew || s.db != nil && !s.isNew && !s.current || s.store == nil && !s.absent {
		return []Finding{warning("mend the database and the store first; a migration needs a start",
			"whether the database and the store belong together was not checked")}
	}
	if s.isNew {
		return d.mark(ctx, s, "", false)
	}
	return d.reading(ctx, s, func(ctx context.Context, db *sqldb.DB) []Finding {
		core := images.New(images.Config{DB: db})
		defer core.Close()
		id, marked, err := core.Accounts.Installation(ctx)
		if err != nil && !errors.Is(err, accounts.ErrNeverUsed) {
			return []Finding{failed("check that the database is one of calotype", "%v", err)}
		}
		return d.mark(ctx, s, id, marked)
	})
}

// mark compares the mark of the blob store with the id of an installation, "" for a new one.
func (d *doctor) mark(ctx context.Context, s *state, id string, marked bool) []Finding {
	isNew, err := s.absent, error(nil)
	switch {
	case s.absent && marked:
		err = errors.New("the folder of the originals of this database does not exist")
	case !s.absent:
		isNew, err = images.CheckMark(ctx, s.store, id, marked)
	}
	switch {
	case err != nil:
		return []Finding{failed("name the database and the store that belong together with -db, -data and -blobs",
			"%v", err)}
	case isNew:
		return []Finding{ok("the store is new: the next start marks it")}
	}
	return []Finding{ok("the database and the store belong to the installation %s", id)}
}

// The differences of clocks that are a warning and a failure.
const (
	skewWarning = 5 * time.Second
	skewFailure = 2 * time.Minute
)

// clocks compares the clock of this machine with those of PostgreSQL and S3. Without them it asks the kernel.
func (d *doctor) clocks(ctx context.Context, s *state) (findings []Finding) {
	compare := func(name string, opened bool, read func(context.Context) (time.Time, error)) {
		if !opened {
			findings = append(findings, warning("mend the failed checks first",
				"the clock of %s was not read", name))
			return
		}
		began := time.Now()
		now, err := read(ctx)
		if err != nil {
			findings = append(findings, warning("mend the failed checks first",
				"the clock of %s was not read: %v", name, err))
			return
		}
		// In the middle of the request, which is the least error.
		findings = append(findings, skewFinding(name, now.Sub(began.Add(time.Since(began)/2))))
	}
	if d.DB != "" {
		compare("PostgreSQL", s.db != nil, func(ctx context.Context) (time.Time, error) { return s.db.Clock(ctx) })
	}
	if strings.Contains(d.Blobs, "://") {
		s3, remote := s.store.(*blob.S3)
		compare("S3", remote, func(ctx context.Context) (time.Time, error) { return s3.Clock(ctx) })
	}
	if findings == nil {
		findings = []Finding{kernelClock()}
	}
	return findings
}

// skewFinding judges by how much the clock of another server is ahead of this machine's.
func skewFinding(name string, ahead time.Duration) Finding {
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
