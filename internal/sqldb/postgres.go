package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// openPostgres opens a pool of connections, perhaps one whose transactions are read-only.
func openPostgres(dsn string, readOnly bool) (*DB, error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		// The parser's text may quote the password.
		return nil, errors.New("sqldb: the -db URL is not valid; " +
			"it should be like postgres://user:password@host:5432/database")
	}
	for name, value := range map[string]string{
		"statement_timeout":                   "60s",
		"idle_in_transaction_session_timeout": "60s",
	} {
		if _, given := config.RuntimeParams[name]; !given {
			config.RuntimeParams[name] = value
		}
	}
	if readOnly {
		config.RuntimeParams["default_transaction_read_only"] = "on"
	}
	pool := sql.OpenDB(postgresConnector{stdlib.GetConnector(*config)})
	pool.SetMaxOpenConns(20)
	pool.SetMaxIdleConns(20)
	pool.SetConnMaxIdleTime(5 * time.Minute)
	return &DB{postgres: true, writer: pool, reader: pool}, nil
}

// postgresConnector makes connections of which the pool evicts a closed one.
type postgresConnector struct{ driver.Connector }

// Connect implements driver.Connector.
func (c postgresConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	opened, ok := conn.(*stdlib.Conn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("sqldb: the driver of PostgreSQL made a %T", conn), conn.Close())
	}
	return postgresConn{opened}, nil
}

// postgresConn is a connection to PostgreSQL. The driver closes it when the context of its query ends, and does not
// report that to the pool: without IsValid the pool gives it to the next query. A query tries three connections, and
// when many clients have disconnected at once, all three may be closed.
type postgresConn struct{ *stdlib.Conn }

var _ driver.Validator = postgresConn{}

// IsValid implements driver.Validator. The pool calls it before it keeps a connection.
func (c postgresConn) IsValid() bool { return !c.Conn.Conn().IsClosed() }
