-- A message is held once: each insert looks for it. No unique index, because rows of the outbox may be twins, which share an id.
CREATE INDEX tidings_rows_held_once ON tidings_rows (queue, source, message_id) WHERE state = 2;
-- What waits with a key in a subscription's queue is looked up for each message of a key that may be held. Rows of the outbox don't pay for that.
CREATE INDEX tidings_rows_key ON tidings_rows (queue, key, id) WHERE queue <> '';
