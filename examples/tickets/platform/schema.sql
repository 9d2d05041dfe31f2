-- The platform's tables, in SQL that SQLite and PostgreSQL both take.

-- The truth: what customers did. A show's counters are its lock.
CREATE TABLE IF NOT EXISTS shows (
	id       TEXT   PRIMARY KEY,
	booked   BIGINT NOT NULL,
	refunded BIGINT NOT NULL
);
CREATE TABLE IF NOT EXISTS bookings (
	id       TEXT   PRIMARY KEY,
	show_id  TEXT   NOT NULL,
	n        BIGINT NOT NULL,
	customer TEXT   NOT NULL,
	seats    BIGINT NOT NULL,
	made_at  TEXT   NOT NULL
);
CREATE TABLE IF NOT EXISTS refunds (
	booking_id  TEXT   PRIMARY KEY,
	show_id     TEXT   NOT NULL,
	n           BIGINT NOT NULL,
	refunded_at TEXT   NOT NULL
);

-- Under which name the platform of this database is on a broker that it shares with others.
CREATE TABLE IF NOT EXISTS platform (
	one  BIGINT PRIMARY KEY CHECK (one = 1),
	id   TEXT   NOT NULL,
	name TEXT   NOT NULL
);

-- Effects of events. Nothing here is unique on purpose: an effect that happens twice is two rows, and the report counts them.
CREATE TABLE IF NOT EXISTS confirmations (booking_id TEXT NOT NULL, show_id TEXT NOT NULL, n BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS receipts      (booking_id TEXT NOT NULL, show_id TEXT NOT NULL, n BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS prints        (booking_id TEXT NOT NULL, show_id TEXT NOT NULL, n BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS notifications (
	booking_id TEXT   NOT NULL,
	show_id    TEXT   NOT NULL,
	n          BIGINT NOT NULL,
	kind       TEXT   NOT NULL
);

-- The read model: a row for each booking, the totals of each show, and a log of every event in the order in which it took effect.
CREATE TABLE IF NOT EXISTS ops_bookings (
	booking_id TEXT   PRIMARY KEY,
	show_id    TEXT   NOT NULL,
	customer   TEXT   NOT NULL,
	seats      BIGINT NOT NULL,
	made       BIGINT NOT NULL,
	confirmed  BIGINT NOT NULL,
	receipted  BIGINT NOT NULL,
	printed    BIGINT NOT NULL,
	refunded   BIGINT NOT NULL,
	updated_at TEXT   NOT NULL
);
CREATE TABLE IF NOT EXISTS ops_shows (
	show_id   TEXT   PRIMARY KEY,
	seq       BIGINT NOT NULL,
	made      BIGINT NOT NULL,
	confirmed BIGINT NOT NULL,
	receipted BIGINT NOT NULL,
	printed   BIGINT NOT NULL,
	refunded  BIGINT NOT NULL
);
CREATE TABLE IF NOT EXISTS ops_log (
	seq        BIGINT NOT NULL, -- counts the show's entries, taken under the lock of its row in ops_shows
	type       TEXT   NOT NULL,
	show_id    TEXT   NOT NULL,
	n          BIGINT NOT NULL,
	booking_id TEXT   NOT NULL
);
