package platform

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tidings-go/tidings/store"
)

// Row is a booking in the read model.
type Row struct {
	BookingID string `json:"booking_id"`
	Show      string `json:"show"`
	Customer  string `json:"customer"`
	Seats     int    `json:"seats"`
	// Status is made, confirmed, ready or refunded.
	Status string `json:"status"`
	Steps
	UpdatedAt string `json:"updated_at"`
}

// Steps counts events, of one booking or of all.
type Steps struct {
	Made      int64 `json:"made"`
	Confirmed int64 `json:"confirmed"`
	Receipted int64 `json:"receipted"`
	Printed   int64 `json:"printed"`
	Refunded  int64 `json:"refunded"`
}

func (s Steps) status() string {
	switch {
	case s.Refunded > 0:
		return "refunded"
	case s.Receipted > 0 && s.Printed > 0:
		return "ready"
	case s.Confirmed > 0:
		return "confirmed"
	}
	return "made"
}

// advanceShow counts the event in its show and returns the place in the show's log. The row stays locked until the commit: so the
// log's order is the order in which events took effect.
func advanceShow(ctx context.Context, tx *store.SQLTx, change Row) (int64, error) {
	const advance = `INSERT INTO ops_shows (show_id, seq, made, confirmed, receipted, printed, refunded) VALUES ($1, 1, $2, $3, $4, $5, $6)
		ON CONFLICT (show_id) DO UPDATE SET seq = ops_shows.seq + 1,
			made = ops_shows.made + excluded.made, confirmed = ops_shows.confirmed + excluded.confirmed,
			receipted = ops_shows.receipted + excluded.receipted, printed = ops_shows.printed + excluded.printed,
			refunded = ops_shows.refunded + excluded.refunded
		RETURNING seq`
	var seq int64
	err := tx.QueryRowContext(ctx, advance, change.Show, change.Made, change.Confirmed, change.Receipted, change.Printed, change.Refunded).Scan(&seq)
	if err != nil {
		return 0, fmt.Errorf("tickets: ops: count in show %s: %w", change.Show, err)
	}
	return seq, nil
}

// saveRow adds a change to the booking's row, or makes the row of it.
func saveRow(ctx context.Context, tx *store.SQLTx, change Row) error {
	const save = `INSERT INTO ops_bookings (booking_id, show_id, customer, seats, made, confirmed, receipted, printed, refunded, updated_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
		ON CONFLICT (booking_id) DO UPDATE SET
			customer = CASE WHEN excluded.customer = '' THEN ops_bookings.customer ELSE excluded.customer END,
			seats = CASE WHEN excluded.seats = 0 THEN ops_bookings.seats ELSE excluded.seats END,
			made = ops_bookings.made + excluded.made, confirmed = ops_bookings.confirmed + excluded.confirmed,
			receipted = ops_bookings.receipted + excluded.receipted, printed = ops_bookings.printed + excluded.printed,
			refunded = ops_bookings.refunded + excluded.refunded, updated_at = excluded.updated_at`
	_, err := tx.ExecContext(ctx, save, change.BookingID, change.Show, change.Customer, change.Seats,
		change.Made, change.Confirmed, change.Receipted, change.Printed, change.Refunded, formatTime(time.Now()))
	if err != nil {
		return fmt.Errorf("tickets: ops: save booking %s: %w", change.BookingID, err)
	}
	return nil
}

const rowColumns = `booking_id, show_id, customer, seats, made, confirmed, receipted, printed, refunded, updated_at`

func (r *Row) scan(row interface{ Scan(into ...any) error }) error {
	err := row.Scan(&r.BookingID, &r.Show, &r.Customer, &r.Seats, &r.Made, &r.Confirmed, &r.Receipted, &r.Printed, &r.Refunded, &r.UpdatedAt)
	r.Status = r.status()
	return err
}

// findRow reads one row. A booking that is not there is [ErrNotFound].
func findRow(ctx context.Context, db *sql.DB, bookingID string) (Row, error) {
	var r Row
	err := r.scan(db.QueryRowContext(ctx, `SELECT `+rowColumns+` FROM ops_bookings WHERE booking_id = $1`, bookingID))
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return r, fmt.Errorf("tickets: read booking %s: %w", bookingID, ErrNotFound)
	case err != nil:
		return r, fmt.Errorf("tickets: read booking %s: %w", bookingID, err)
	}
	return r, nil
}

// latestRows reads the newest bookings, the newest first: their ids are UUIDv7, which grow with time.
func latestRows(ctx context.Context, db *sql.DB, limit int) ([]Row, error) {
	rows, err := db.QueryContext(ctx, `SELECT `+rowColumns+` FROM ops_bookings ORDER BY booking_id DESC LIMIT $1`, limit)
	if err != nil {
		return nil, fmt.Errorf("tickets: read bookings: %w", err)
	}
	defer func() { _ = rows.Close() }() // Err says what went wrong
	latest := []Row{}
	for rows.Next() {
		var r Row
		if err := r.scan(rows); err != nil {
			return nil, fmt.Errorf("tickets: read bookings: %w", err)
		}
		latest = append(latest, r)
	}
	return latest, rows.Err()
}

// totals counts the events of all shows.
func totals(ctx context.Context, db *sql.DB) (Steps, error) {
	const sum = `SELECT COALESCE(SUM(made), 0), COALESCE(SUM(confirmed), 0), COALESCE(SUM(receipted), 0), COALESCE(SUM(printed), 0),
		COALESCE(SUM(refunded), 0) FROM ops_shows`
	var s Steps
	if err := db.QueryRowContext(ctx, sum).Scan(&s.Made, &s.Confirmed, &s.Receipted, &s.Printed, &s.Refunded); err != nil {
		return s, fmt.Errorf("tickets: read totals: %w", err)
	}
	return s, nil
}

func encodeRow(r Row) ([]byte, error) {
	data, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("tickets: encode booking %s: %w", r.BookingID, err)
	}
	return data, nil
}
