-- One row a database: how fresh its backups are and what is wrong with it, so that health is a look at a few rows.
-- Its own object tells what its runs come to, the account's object tells which databases there are.

CREATE TABLE databases (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  first_seen_at TEXT NOT NULL,
  -- When the latest complete listing had it, and whether that is the latest of all: a database that it lacks is gone.
  seen_at TEXT,
  listed INTEGER NOT NULL DEFAULT 0,
  -- Up to when its latest backup stands for it: that backup's start, or the latest check that found nothing written.
  fresh_at TEXT,
  last_backup_id TEXT,
  last_run_state TEXT,
  last_run_error TEXT,
  -- [{ kind, detail }]: what health tells besides
  notices TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(notices)),
  -- When the object wrote its part: an older write that arrives late changes nothing.
  written_at TEXT
);

-- Health reads from these what is overdue or in trouble, however many databases are well.
CREATE INDEX databases_by_freshness ON databases (coalesce(fresh_at, first_seen_at)) WHERE listed = 1;
CREATE INDEX databases_in_trouble ON databases (name) WHERE listed = 1 AND (last_run_state = 'failed' OR notices <> '[]');
