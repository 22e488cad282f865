const SQL = `
CREATE TABLE authors (id INTEGER PRIMARY KEY, name TEXT NOT NULL, bio TEXT);
CREATE TABLE posts (
  id INTEGER PRIMARY KEY,
  author_id INTEGER NOT NULL REFERENCES authors(id),
  slug TEXT NOT NULL UNIQUE,
  title TEXT NOT NULL,
  body TEXT NOT NULL,
  published_at TEXT
);
CREATE TABLE comments (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  post_id INTEGER NOT NULL REFERENCES posts(id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  body TEXT NOT NULL,
  written_at TEXT NOT NULL
);
CREATE INDEX comments_by_post ON comments(post_id, written_at);
CREATE VIRTUAL TABLE post_search USING fts5(title, body, content='posts', content_rowid='id');
CREATE TRIGGER posts_to_search AFTER INSERT ON posts BEGIN
  INSERT INTO post_search (rowid, title, body) VALUES (NEW.id, NEW.title, NEW.body);
END;
CREATE TRIGGER posts_out_of_search AFTER DELETE ON posts BEGIN
  INSERT INTO post_search (post_search, rowid, title, body) VALUES ('delete', OLD.id, OLD.title, OLD.body);
END;
CREATE TRIGGER posts_again_to_search AFTER UPDATE ON posts BEGIN
  INSERT INTO post_search (post_search, rowid, title, body) VALUES ('delete', OLD.id, OLD.title, OLD.body);
  INSERT INTO post_search (rowid, title, body) VALUES (NEW.id, NEW.title, NEW.body);
END;
INSERT INTO authors VALUES
  (1, 'Mireille Aubert', 'Writes about databases' || char(10) || 'and bread.'),
  (2, 'Kwame Boateng', NULL),
  (3, 'Siobhán Ní Dhomhnaill', 'Editor — “no adverbs” 🖋️');
INSERT INTO posts (id, author_id, slug, title, body, published_at)
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 120),
  topic(k, name, text) AS (VALUES
    (0, 'Backups nobody restored', 'A backup is a promise. A restore is the proof.'),
    (1, 'Sourdough and SQLite', 'Both want to be fed regularly, and both forgive a lot.'),
    (2, 'What the night shift knows', 'At three in the morning every cron job looks suspicious.'),
    (3, 'Time zones, again', 'The hour that runs twice is the hour that bills twice.'),
    (4, 'Why we moved', 'Because the old place had a lease; the new one has a garden.'))
SELECT i, 1 + i % 3, 'post-' || i, topic.name || CASE WHEN i > 5 THEN ', part ' || (1 + i / 5) ELSE '' END,
  topic.text || char(10) || char(10) || 'This is note ' || i || '. It''s ' || (i * 7 % 40) || ' degrees outside.'
    || CASE WHEN i % 6 = 0 THEN char(10) || '> "Quoted," she said; and left.' ELSE '' END,
  CASE WHEN i % 17 = 0 THEN NULL ELSE strftime('%Y-%m-%dT%H:%M:%SZ', 1700000000 + i * 260000, 'unixepoch') END
FROM n JOIN topic ON topic.k = i % 5;
INSERT INTO comments (post_id, name, body, written_at)
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 640)
SELECT 1 + i * 13 % 120, CASE i % 4 WHEN 0 THEN 'anonymous' WHEN 1 THEN 'Björk' WHEN 2 THEN 'o''clock' ELSE 'reader_' || i END,
  CASE i % 5 WHEN 0 THEN '👍' WHEN 1 THEN 'First!' WHEN 2 THEN 'I tried this on ' || i || ' machines;' || char(10) || 'it worked on ' || (i - 1)
    WHEN 3 THEN '<b>Great</b> post' ELSE 'Did you mean "restore"?' END,
  strftime('%Y-%m-%dT%H:%M:%SZ', 1701000000 + i * 47111, 'unixepoch')
FROM n;`;

/** A blog with full-text search: D1 refuses to export it as a whole. */
export const blog = { name: "blog", sql: SQL };
