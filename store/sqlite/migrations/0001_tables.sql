-- Rows that wait. AUTOINCREMENT matters: without it SQLite gives the ids of deleted rows again, and readers go by id.
CREATE TABLE tidings_rows (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    queue      TEXT    NOT NULL,
    state      INTEGER NOT NULL, -- 0 ready, 1 dead
    due        INTEGER NOT NULL, -- 0, or until when the row waits for its place, in Unix nanoseconds
    created    INTEGER NOT NULL, -- Unix nanoseconds
    topic      TEXT    NOT NULL,
    key        TEXT    NOT NULL,
    dedup      TEXT    NOT NULL,
    source     TEXT    NOT NULL,
    message_id TEXT    NOT NULL,
    headers    BLOB    NOT NULL,
    history    BLOB    NOT NULL,
    value      BLOB    NOT NULL
) STRICT;

-- Each row is in one or two of these, so that none of the readers ever steps over rows that are not for it.
CREATE INDEX tidings_rows_ready ON tidings_rows (queue, id) WHERE state = 0 AND due = 0;
CREATE INDEX tidings_rows_due ON tidings_rows (queue, due) WHERE state = 0 AND due > 0;
CREATE INDEX tidings_rows_dead ON tidings_rows (queue, id) WHERE state = 1;
CREATE UNIQUE INDEX tidings_rows_dead_once ON tidings_rows (queue, source, message_id) WHERE state = 1 AND message_id <> '';

-- What was claimed: inbox and idempotency keys. Rows leave in the order of n, which is about that of "at".
CREATE TABLE tidings_seen (
    n     INTEGER PRIMARY KEY,
    space TEXT    NOT NULL,
    id    TEXT    NOT NULL,
    at    INTEGER NOT NULL, -- Unix nanoseconds
    saved BLOB,
    UNIQUE (space, id)
) STRICT;
