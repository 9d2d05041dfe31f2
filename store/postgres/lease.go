package postgres

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// register is the leases of one queue's lanes, as the database keeps them. Only its clock counts; each change of owner has a new epoch, so
// that who comes late changes nothing.
type register struct {
	link  *link
	queue string // as text
	lanes int
	owner pgtype.UUID
	ttl   time.Duration
}

func newRegister(k *link, queue string, owner pgtype.UUID) *register {
	r := &register{link: k, queue: encodeText(queue), lanes: lanes, owner: owner, ttl: k.s.cfg.Lease}
	if queue != "" {
		r.lanes = 1 // Few rows, and people wait for them: one is enough.
	}
	return r
}

// newOwner is a name that nobody else has.
func newOwner() pgtype.UUID {
	owner := pgtype.UUID{Valid: true}
	_, _ = rand.Read(owner.Bytes[:]) // It never fails.
	return owner
}

// make makes the rows of leases that are not there yet.
func (r *register) make() error {
	return r.link.do(func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, r.sql(`INSERT INTO {schema}.leases (queue, lane) SELECT $1, generate_series(0, $2::int - 1)::smallint
			ON CONFLICT (queue, lane) DO NOTHING`), r.queue, r.lanes)
		return err
	})
}

// standing is what renewing found.
type standing struct {
	kept []int // of the lanes that were to be renewed
	live int   // members, this one included
	came bool  // this member was not known before
}

// renew shows that this member is alive, and renews its leases.
func (r *register) renew(held map[int]int64) (now standing, err error) {
	numbers, epochs := make([]int16, 0, len(held)), make([]int64, 0, len(held))
	for number, epoch := range held {
		numbers, epochs = append(numbers, int16(number)), append(epochs, epoch)
	}
	batch := &pgx.Batch{}
	batch.Queue(r.sql(`INSERT INTO {schema}.relays AS r (queue, id, seen_at) VALUES ($1, $2, clock_timestamp())
		ON CONFLICT (queue, id) DO UPDATE SET seen_at = clock_timestamp() RETURNING r.xmax = 0`), r.queue, r.owner).
		QueryRow(func(row pgx.Row) error { return row.Scan(&now.came) })
	batch.Queue(r.sql(`UPDATE {schema}.leases l SET expires_at = clock_timestamp() + $5::interval
		FROM unnest($3::smallint[], $4::bigint[]) u (lane, epoch) WHERE l.queue = $1 AND l.lane = u.lane AND l.epoch = u.epoch
		AND l.owner = $2 AND l.expires_at > clock_timestamp() RETURNING l.lane`), r.queue, r.owner, numbers, epochs, r.ttl).
		Query(func(rows pgx.Rows) error {
			now.kept, err = pgx.CollectRows(rows, pgx.RowTo[int])
			return err
		})
	batch.Queue(r.sql(`SELECT count(*) FROM {schema}.relays WHERE queue = $1 AND seen_at > clock_timestamp() - $2::interval`), r.queue, r.ttl).
		QueryRow(func(row pgx.Row) error { return row.Scan(&now.live) })
	err = r.link.do(func(ctx context.Context, conn *pgx.Conn) error { return conn.SendBatch(ctx, batch).Close() })
	return now, err
}

// claim takes up to limit lanes that nobody owns, or that this member owned in an earlier life, and returns their epochs. Lanes in except are left to others.
func (r *register) claim(limit int, except []int) (map[int]int64, error) {
	claimed := map[int]int64{}
	err := r.link.do(func(ctx context.Context, conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, r.sql(`UPDATE {schema}.leases SET owner = $2, epoch = epoch + 1, expires_at = clock_timestamp() + $5::interval
			WHERE queue = $1 AND lane IN (SELECT lane FROM {schema}.leases
				WHERE queue = $1 AND (owner = $2 OR expires_at < clock_timestamp()) AND lane <> ALL($4::int[])
				ORDER BY lane LIMIT $3 FOR UPDATE SKIP LOCKED) RETURNING lane::int, epoch`), r.queue, r.owner, limit, except, r.ttl)
		if err != nil {
			return err
		}
		var lane int
		var epoch int64
		_, err = pgx.ForEachRow(rows, []any{&lane, &epoch}, func() error {
			claimed[lane] = epoch
			return nil
		})
		return err
	})
	return claimed, err
}

// release gives a lane back.
func (r *register) release(lane int, epoch int64) error {
	return r.link.do(func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, r.sql(`UPDATE {schema}.leases SET owner = NULL, expires_at = '-infinity'
			WHERE queue = $1 AND lane = $3 AND owner = $2 AND epoch = $4`), r.queue, r.owner, lane, epoch)
		return err
	})
}

// leave takes this member out of the count, and those that have been silent for long.
func (r *register) leave() error {
	return r.link.do(func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, r.sql(`DELETE FROM {schema}.relays WHERE queue = $1 AND (id = $2 OR seen_at < clock_timestamp() - 10 * $3::interval)`),
			r.queue, r.owner, r.ttl)
		return err
	})
}

func (r *register) sql(statement string) string { return r.link.s.sql(statement) }

// elapsed is the time since then by whichever clock has gone further: the monotonic one stands still while the machine sleeps.
func elapsed(since time.Time) time.Duration {
	now := time.Now()
	return max(now.Sub(since), now.Round(0).Sub(since.Round(0)))
}
