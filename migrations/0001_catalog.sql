-- An index over the bucket and the runs. It can be thrown away: the truth lies in the bucket.
-- Times are ISO 8601 UTC, so that their text sorts as they do.

CREATE TABLE runs (
  id TEXT PRIMARY KEY,
  revision INTEGER NOT NULL,
  database_id TEXT NOT NULL,
  database_name TEXT NOT NULL,
  state TEXT NOT NULL,
  created_at TEXT NOT NULL,
  view TEXT NOT NULL CHECK (json_valid(view))
);

CREATE INDEX runs_newest ON runs (created_at DESC, id DESC);
CREATE INDEX runs_of_database ON runs (database_id, created_at DESC, id DESC);
CREATE INDEX runs_in_state ON runs (state, created_at DESC, id DESC);

CREATE TABLE backups (
  id TEXT PRIMARY KEY,
  run_id TEXT NOT NULL,
  database_id TEXT NOT NULL,
  database_name TEXT NOT NULL,
  started_at TEXT NOT NULL,
  finished_at TEXT NOT NULL,
  "trigger" TEXT NOT NULL,
  label TEXT,
  pinned INTEGER NOT NULL,
  dump_bytes INTEGER NOT NULL,
  stored_bytes INTEGER NOT NULL,
  volumes INTEGER NOT NULL,
  folder TEXT NOT NULL
);

CREATE INDEX backups_newest ON backups (started_at DESC, id DESC);
CREATE INDEX backups_of_database ON backups (database_id, started_at DESC, id DESC);
CREATE INDEX backups_of_name ON backups (database_name);
