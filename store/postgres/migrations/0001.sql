-- One row: what the schema was migrated to, and the slot that takes new rows of the outbox.
CREATE TABLE {schema}.meta (
    one     boolean     PRIMARY KEY DEFAULT true CHECK (one),
    version integer     NOT NULL,
    slot    smallint    NOT NULL DEFAULT 0,
    slot_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
INSERT INTO {schema}.meta (version) VALUES (1);

-- Ids of outbox and letters, so that a row that moves can keep its own. No cache: ids must follow the order in which transactions
-- that touch the same data come to their end.
CREATE SEQUENCE {schema}.row_ids CACHE 1;

-- Ready rows of the outbox whose time has come. txid goes first: its default runs before the id's, so that a transaction that has an id
-- has a number, by which snapshots know it. Text can't hold every string of Go: what it can't hold is written so that decode(topic, 'escape') gives
-- its bytes back, NUL as \000 and \ as \\.
CREATE TABLE {schema}.outbox (
    txid       xid8        NOT NULL DEFAULT pg_current_xact_id(),
    id         bigint      NOT NULL DEFAULT nextval('{schema}.row_ids'),
    lane       smallint    NOT NULL, -- 0 to 15: a hash of topic and key, fixed for ever
    slot       smallint    NOT NULL, -- rotation: a slot that was drained is truncated
    created    timestamptz NOT NULL DEFAULT clock_timestamp(), -- information only
    topic      text        NOT NULL,
    key        text        NOT NULL,
    dedup      text        NOT NULL,
    source     text        NOT NULL,
    message_id text        NOT NULL,
    headers    bytea       NOT NULL,
    history    bytea       NOT NULL, -- JSON
    value      bytea       NOT NULL
) PARTITION BY LIST (slot);

-- Rows are never updated but by hand, so pages are filled. The tail of a queue is always empty: cutting it off would lock the table again and
-- again. Only these two indexes, of one column each: with more, statistics of an empty table mislead the planner.
DO $$
BEGIN
    FOR s IN 0..2 LOOP
        EXECUTE format('CREATE TABLE {schema}.outbox_%s PARTITION OF {schema}.outbox FOR VALUES IN (%s) WITH (fillfactor = 100,
            autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0,
            autovacuum_vacuum_insert_threshold = -1, vacuum_truncate = false, toast.vacuum_truncate = false, toast_tuple_target = 8160)', s, s);
        EXECUTE format('ALTER TABLE {schema}.outbox_%s ALTER value SET STORAGE EXTERNAL', s);
        EXECUTE format('CREATE UNIQUE INDEX outbox_%s_id ON {schema}.outbox_%s (id)', s, s);
        EXECUTE format('CREATE INDEX outbox_%s_txid ON {schema}.outbox_%s (txid)', s, s);
    END LOOP;
END
$$;

-- All other rows: dead, held and scheduled ones, and those of other queues in any state.
CREATE TABLE {schema}.letters (
    txid       xid8        NOT NULL DEFAULT pg_current_xact_id(),
    id         bigint      PRIMARY KEY DEFAULT nextval('{schema}.row_ids'),
    queue      text        NOT NULL,
    state      smallint    NOT NULL, -- 0 ready, 1 dead, 2 held
    due        timestamptz,          -- until when a ready row waits
    lane       smallint    NOT NULL,
    created    timestamptz NOT NULL DEFAULT clock_timestamp(),
    topic      text        NOT NULL,
    key        text        NOT NULL,
    dedup      text        NOT NULL,
    source     text        NOT NULL,
    message_id text        NOT NULL,
    headers    bytea       NOT NULL,
    history    bytea       NOT NULL,
    value      bytea       NOT NULL,
    identity   bytea       -- a hash of queue, source and message_id; NULL when there is no message_id
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000);
ALTER TABLE {schema}.letters ALTER value SET STORAGE EXTERNAL;
CREATE UNIQUE INDEX letters_dead_once ON {schema}.letters (identity) WHERE state = 1;
-- One reader reads all queues. Where these two are for, their last conditions are added to the others, so that the planner can't take the one for the other.
CREATE INDEX letters_ready ON {schema}.letters (id) WHERE state = 0 AND due IS NULL AND id > 0;
CREATE INDEX letters_ready_txid ON {schema}.letters (txid) WHERE state = 0 AND due IS NULL AND txid > '0';
CREATE INDEX letters_due ON {schema}.letters (queue, due, id) WHERE state = 0 AND due IS NOT NULL;
CREATE INDEX letters_kept ON {schema}.letters (queue, state, id) WHERE state > 0;

-- Who owns the lanes, and which replicas want some: each gets its share.
CREATE TABLE {schema}.leases (
    queue      text        NOT NULL,
    lane       smallint    NOT NULL,
    owner      uuid,
    epoch      bigint      NOT NULL DEFAULT 0,
    expires_at timestamptz NOT NULL DEFAULT '-infinity',
    PRIMARY KEY (queue, lane)
) WITH (fillfactor = 50);
CREATE TABLE {schema}.relays (
    queue   text        NOT NULL,
    id      uuid        NOT NULL,
    seen_at timestamptz NOT NULL,
    PRIMARY KEY (queue, id)
) WITH (fillfactor = 50);

-- What was claimed. The day follows from the id alone, never from the clock, so that a claim finds the claims of the same id whatever partitions there are. A day
-- without a partition of its own is in the default one, which stays small, because it is read when a day gets its partition. Ids without a day
-- have a partition too. These two are swept by the time of the claim.
CREATE TABLE {schema}.inbox (
    key   bytea       NOT NULL, -- a hash of space and id
    day   date        NOT NULL, -- of the UUIDv7 at the end of the id, or 0001-01-01
    at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    saved bytea,
    PRIMARY KEY (key, day)
) PARTITION BY RANGE (day);
CREATE TABLE {schema}.inbox_default PARTITION OF {schema}.inbox DEFAULT;
CREATE INDEX inbox_default_at ON {schema}.inbox_default (at);
CREATE TABLE {schema}.inbox_undated PARTITION OF {schema}.inbox FOR VALUES FROM (MINVALUE) TO ('0001-01-02');
CREATE INDEX inbox_undated_at ON {schema}.inbox_undated (at);
