-- Each database has its own limit of freshness, may be paused, and may vanish from the account; lists of a million
-- backups are read from indexes alone.

-- How old its latest backup may become, in milliseconds; NULL: 26 hours.
ALTER TABLE databases ADD COLUMN freshness_ms INTEGER;
-- 0 when it is paused or excluded: its lateness does not count.
ALTER TABLE databases ADD COLUMN watched INTEGER NOT NULL DEFAULT 1;
-- The first complete listing that lacked it; NULL while it is there.
ALTER TABLE databases ADD COLUMN gone_at TEXT;
-- The latest time that the account found it not written to: an older row of its own says nothing against that.
ALTER TABLE databases ADD COLUMN unchanged_at TEXT;

DROP INDEX IF EXISTS databases_by_freshness;
DROP INDEX IF EXISTS databases_in_trouble;

-- When it is overdue, in milliseconds since the epoch.
CREATE INDEX databases_by_deadline ON databases
  (unixepoch(coalesce(fresh_at, first_seen_at)) * 1000 + coalesce(freshness_ms, 93600000)) WHERE listed = 1 AND watched = 1;
CREATE INDEX databases_troubled ON databases (name)
  WHERE listed = 1 AND watched = 1 AND (last_run_state = 'failed' OR notices <> '[]');
-- What is fresh as of a moment that is still to come.
CREATE INDEX databases_fresh_at ON databases (fresh_at) WHERE listed = 1 AND watched = 1;
CREATE INDEX databases_listed ON databases (listed) WHERE listed = 1;
CREATE INDEX databases_by_name ON databases (name, id);
CREATE INDEX databases_gone ON databases (name, id) WHERE gone_at IS NOT NULL;

DROP INDEX IF EXISTS backups_of_name;
CREATE INDEX backups_by_name ON backups (database_name, started_at DESC, id DESC);
-- In the order of the bucket's keys, so that a rebuild compares the two side by side.
CREATE INDEX backups_by_folder ON backups (folder);

-- With the state in them, one database's runs of a state are found without reading the others.
DROP INDEX IF EXISTS runs_of_database;
CREATE INDEX runs_by_database ON runs (database_id, created_at DESC, id DESC, state);
CREATE INDEX runs_by_name ON runs (database_name, created_at DESC, id DESC, state);
