package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/tidings-go/tidings/store"
)

// Claim implements [store.Tx]. It is one statement the first time, and waits for another transaction that has claimed the same.
//
// The table is partitioned by the day that [dayOf] finds in the id. As that follows from nothing but the id, all claims of one id meet in one unique
// index, whenever they happen and whichever partitions exist.
func (p *txPart) Claim(ctx context.Context, space, id string) (bool, []byte, error) {
	const claim = `INSERT INTO {schema}.inbox (key, day) VALUES ($1::bytea, $2::date) ON CONFLICT DO NOTHING`
	const look = `SELECT saved FROM {schema}.inbox WHERE key = $1::bytea AND day = $2::date`
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return false, nil, fmt.Errorf("postgres: claim: %w", store.ErrTxDone)
	}
	key, day := claimKey(space, id), dayOf(id)
	n, err := p.on.exec(ctx, p.s.sql(claim), key, day)
	if err != nil || n > 0 {
		return n > 0, nil, explain("claim", err)
	}
	var saved []byte
	_, err = p.on.row(ctx, []any{&saved}, p.s.sql(look), key, day)
	return false, saved, explain("claim", err)
}

// Save implements [store.Tx].
func (p *txPart) Save(ctx context.Context, space, id string, value []byte) error {
	const save = `UPDATE {schema}.inbox SET saved = $3::bytea WHERE key = $1::bytea AND day = $2::date`
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return fmt.Errorf("postgres: save: %w", store.ErrTxDone)
	}
	n, err := p.on.exec(ctx, p.s.sql(save), claimKey(space, id), dayOf(id), value)
	if err == nil && n == 0 {
		err = fmt.Errorf("%q was not claimed in %q", id, space)
	}
	return explain("save", err)
}

// claimKey is what the table knows an id by: 16 bytes of a hash, so that ids of any length and content take little room and no two ever meet.
func claimKey(space, id string) []byte {
	h := sha256.New()
	_, _ = h.Write(binary.AppendUvarint(nil, uint64(len(space)))) // A hash takes everything.
	_, _ = h.Write([]byte(space))
	_, _ = h.Write([]byte(id))
	return h.Sum(nil)[:16]
}

// dayOf is the day on which the message of an id was made, in UTC, or the zero day. It is the only place that looks into ids: the root package
// writes the source, a space and the message's id, and tidings' own messages have a UUIDv7 as their id. So a UUIDv7 in its usual form of 36 characters
// counts when it is all of the id, or stands at its end behind a space or a NUL. An id of somebody else's that only looks so does no harm: the
// same id always has the same day.
func dayOf(id string) time.Time {
	const size = 36
	if len(id) < size || (len(id) > size && !strings.ContainsRune(" \x00", rune(id[len(id)-size-1]))) {
		return time.Time{}
	}
	u := id[len(id)-size:]
	if u[8] != '-' || u[13] != '-' || u[14] != '7' || u[18] != '-' || u[23] != '-' || !strings.ContainsRune("89abAB", rune(u[19])) {
		return time.Time{}
	}
	var raw [16]byte
	if _, err := hex.Decode(raw[:], []byte(strings.ReplaceAll(u, "-", ""))); err != nil {
		return time.Time{}
	}
	milliseconds := binary.BigEndian.Uint64(append([]byte{0, 0}, raw[:6]...))
	return time.UnixMilli(int64(milliseconds)).UTC().Truncate(24 * time.Hour)
}
