const ROWS = 210_000;

const SQL = `
CREATE TABLE events (
  id INTEGER PRIMARY KEY,
  occurred_at TEXT NOT NULL,
  kind TEXT NOT NULL,
  user_id INTEGER,
  payload TEXT NOT NULL CHECK (json_valid(payload))
);
INSERT INTO events (id, occurred_at, kind, user_id, payload)
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${ROWS}),
  kind(k, name, path) AS (VALUES
    (0, 'page.viewed', '/pricing'), (1, 'page.viewed', '/docs/getting-started'), (2, 'search.done', '/search'),
    (3, 'login.failed', '/login'), (4, 'order.placed', '/checkout'), (5, 'order.paid', '/checkout/thanks'),
    (6, 'mail.sent', '/jobs/mail'))
SELECT i, strftime('%Y-%m-%dT%H:%M:%SZ', 1767225600 + i * 47, 'unixepoch'), kind.name,
  CASE WHEN i % 11 = 0 THEN NULL ELSE 1 + i * 7919 % 4999 END,
  json_object('request', printf('%08x-%04x', i * 2654435761 & 4294967295, i & 65535), 'path', kind.path,
    'ms', i * 31 % 947, 'ok', json(CASE WHEN i % 19 = 0 THEN 'false' ELSE 'true' END),
    'agent', CASE i % 3 WHEN 0 THEN 'Mozilla/5.0 (X11; Linux x86_64)' WHEN 1 THEN 'Mozilla/5.0 (iPhone)' ELSE 'curl/8.9' END,
    'note', CASE WHEN i % 50 = 0 THEN 'it''s a "slow" one — ' || i END)
FROM n JOIN kind ON kind.k = i % 7;
CREATE INDEX events_by_time ON events(occurred_at);
CREATE INDEX events_by_user ON events(user_id, kind) WHERE user_id IS NOT NULL;`;

/** Many rows with JSON in them, as the log of an application has. */
export const eventLog = { name: "event-log", sql: SQL };
