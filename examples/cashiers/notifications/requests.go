package notifications

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/tidings-go/tidings"
)

// What can be asked of this service.
var (
	LatestMails   = tidings.DefineRequest[Latest, []SentMail]("notifications", "LatestMails", "v1")
	ReadStatement = tidings.DefineRequest[Read, []Line]("notifications", "ReadStatement", "v1")
)

// Latest asks for the last 20 mails of a tenant.
type Latest struct {
	TenantID string `json:"tenant_id"`
}

// SentMail is a mail that was sent.
type SentMail struct {
	MessageID string `json:"message_id"`
	To        string `json:"to"`
	Subject   string `json:"subject"`
}

// Read asks for a tenant's statement.
type Read struct {
	TenantID string `json:"tenant_id"`
}

// Line is a line of it.
type Line struct {
	InvoiceID string `json:"invoice_id"`
	Text      string `json:"text"`
	// Revision is that of the tenant's books.
	Revision int64 `json:"revision"`
}

func (n *notifications) latest(ctx context.Context, q Latest) ([]SentMail, error) {
	const query = `SELECT message_id, recipient, subject FROM mails WHERE tenant_id = $1 ORDER BY sent_at DESC LIMIT 20`
	return read(ctx, n.DB, query, q.TenantID, func(rows *sql.Rows, m *SentMail) error { return rows.Scan(&m.MessageID, &m.To, &m.Subject) })
}

func (n *notifications) statement(ctx context.Context, q Read) ([]Line, error) {
	const query = `SELECT invoice_id, text, revision FROM statement_lines WHERE tenant_id = $1 ORDER BY line`
	return read(ctx, n.DB, query, q.TenantID, func(rows *sql.Rows, l *Line) error { return rows.Scan(&l.InvoiceID, &l.Text, &l.Revision) })
}

// read reads what a query finds of a tenant.
func read[T any](ctx context.Context, db *sql.DB, query, tenant string, scan func(rows *sql.Rows, into *T) error) ([]T, error) {
	rows, err := db.QueryContext(ctx, query, tenant)
	if err != nil {
		return nil, fmt.Errorf("notifications: read of %s: %w", tenant, err)
	}
	defer func() { _ = rows.Close() }() // Err says what went wrong
	found := []T{}
	for rows.Next() {
		var one T
		if err = scan(rows, &one); err != nil {
			return nil, fmt.Errorf("notifications: read of %s: %w", tenant, err)
		}
		found = append(found, one)
	}
	if err = rows.Err(); err != nil {
		return nil, fmt.Errorf("notifications: read of %s: %w", tenant, err)
	}
	return found, nil
}
