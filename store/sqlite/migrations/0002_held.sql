-- Held rows (state 2) wait behind a dead row of their topic and key.
CREATE INDEX tidings_rows_held ON tidings_rows (queue, id) WHERE state = 2;
