-- A message is held once: each insert looks for it. No unique index, because rows of the outbox may be twins, which share an id.
CREATE INDEX letters_held_once ON {schema}.letters (identity) WHERE state = 2;
-- What waits with a key is looked up for each message of a key that may be held. A key can be longer than what an index takes.
CREATE INDEX letters_key ON {schema}.letters (left(key, 200), id) WHERE key <> '';
UPDATE {schema}.meta SET version = 2;
