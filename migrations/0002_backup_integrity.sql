-- What verification and lists need to know of a backup without reading its manifest.

ALTER TABLE backups ADD COLUMN manifest_sha256 TEXT;
ALTER TABLE backups ADD COLUMN encrypted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE backups ADD COLUMN hazards INTEGER NOT NULL DEFAULT 0;
