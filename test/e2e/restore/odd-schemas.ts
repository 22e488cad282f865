/** A schema, some rows, and what makes restoring it hard. */
export interface OddSchema {
  readonly what: string;
  readonly sql: string;
  /** Statements that were sent each by itself, without a semicolon. */
  readonly more?: readonly string[];
  /** Kinds of hazards that its backup tells. */
  readonly told?: readonly string[];
  /** The first release of sqlite3 that loads it, when not every one does. */
  readonly needs?: string;
}

const ROWS = "INSERT INTO t (a, b) VALUES (10, 'x'), (NULL, 'it''s; /'), (4, 'go');";
const TABLE = `CREATE TABLE t (a INTEGER, b TEXT); ${ROWS}`;
const returns = (sql: string): string => sql.replaceAll("\n", "\r\n");

export const ODD_SCHEMAS: readonly OddSchema[] = [
  {
    what: "a line with a slash in a view",
    sql: `${TABLE} CREATE VIEW half AS SELECT a\n/\n2 AS h FROM t;`,
    told: ["shell-lines"],
  },
  {
    what: "a line with a slash in a CHECK, in a DEFAULT and in a generated column",
    sql: `CREATE TABLE t (a INTEGER CHECK (a\n/\n2 > 1), b TEXT DEFAULT (6\n / \n2), c INTEGER AS (a\n\t/ -- half\n2) STORED); ${ROWS}`,
    told: ["shell-lines"],
  },
  {
    what: "a line with a slash in an index",
    sql: `${TABLE} CREATE INDEX half ON t (a\n/ /* half */\n2);`,
    told: ["shell-lines"],
  },
  {
    what: "a line with go, as a name in a table, an index and a view",
    sql: `CREATE TABLE t (a INTEGER, b TEXT,\ngo\n, went TEXT AS (b || '!')); ${ROWS} CREATE INDEX i ON t (\n  GO\n); CREATE VIEW v AS SELECT a\ngo -- there\nFROM t;`,
    told: ["shell-lines", "shell-lines", "shell-lines"],
  },
  {
    what: "such lines where they are none: in a trigger, in quotes, in comments, behind a comment",
    sql: `CREATE TABLE t (a INTEGER, b TEXT DEFAULT '\n/\n', "\ngo\n" TEXT, [x\n/\ny] TEXT /*\n/\n*/, c -- a comment\n/* and one more */\n); ${ROWS}
      CREATE VIEW v AS SELECT 6 -- half of it\n/\n2 AS x, '\ngo\n' AS y, 6\n/\n3 AS z;
      CREATE TRIGGER g AFTER UPDATE ON t BEGIN SELECT 6\n/\n2; UPDATE t SET b = '\ngo\n' WHERE a = 1;\nEND;`,
    told: ["shell-lines"],
  },
  {
    what: "lines that begin with a dot or a #, or hold only a semicolon",
    sql: `CREATE TABLE t (a INTEGER DEFAULT\n.5, b TEXT DEFAULT '\n.quit\n#\n;\n'); ${ROWS}
      CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT 1\n;\nUPDATE t SET b = ';\n.quit' WHERE a =\n.5\n;\nEND;
      CREATE VIEW v AS SELECT\n.5 AS half, '\n.help\n' AS text;`,
  },
  {
    what: "line breaks of Windows in every statement, and in texts and names",
    sql: returns(
      `CREATE TABLE t (\n  a INTEGER,\n  b TEXT DEFAULT 'two\nlines', "odd\nname" TEXT\n);\n${ROWS}\nCREATE INDEX i ON t (\n  a\n/\n2\n);\nCREATE VIEW v AS\nSELECT 'a\nb' AS x\n-- a comment\n;\nCREATE TRIGGER g AFTER DELETE ON t BEGIN\n  UPDATE t SET b = 'x\ny';\nEND;`,
    ),
    told: ["commented-semicolon", ...Array.from({ length: 4 }, () => "shell-lines")],
  },
  {
    what: "control characters in the schema",
    sql: `CREATE TABLE t (a INTEGER,\f\n b TEXT DEFAULT '\u0001\u001b[31m\u007f\u0085'); ${ROWS} CREATE VIEW v AS SELECT '\u001b]0;x\u0007' AS "\u0002";`,
  },
  {
    what: "semicolons that a comment swallows behind tables, indexes and views",
    sql: TABLE,
    more: [
      "CREATE TABLE strict (a INTEGER) STRICT -- the table's; comment",
      "INSERT INTO strict VALUES (1), (2)",
      "CREATE TABLE empty (a INTEGER) STRICT -- of DELETE FROM sqlite_sequence",
      "CREATE TABLE n (id INTEGER PRIMARY KEY AUTOINCREMENT)",
      'CREATE INDEX i ON t (a) -- INSERT INTO "t", it\'s',
      "CREATE UNIQUE INDEX j ON t (b) -- the last of them",
      "CREATE VIEW v AS SELECT 1 AS x -- it's the first; comment",
      "CREATE VIEW w AS SELECT ';' AS x\n-- CREATE VIEW third AS\n-- the second",
    ],
    told: Array.from({ length: 6 }, () => "commented-semicolon"),
    needs: "3.37.0",
  },
  {
    what: "a semicolon that a comment swallows behind the last index, with views and triggers behind it",
    sql: TABLE,
    more: [
      "CREATE VIEW v AS SELECT a FROM t",
      "CREATE TRIGGER g INSTEAD OF DELETE ON v BEGIN DELETE FROM t; END",
      "CREATE INDEX i ON t (a) -- it's",
    ],
    told: ["commented-semicolon"],
  },
  {
    what: "lines that begin as statements of a dump do",
    sql: `CREATE TABLE t (a INTEGER, b TEXT DEFAULT '\nINSERT INTO "t" ("a") VALUES(1);\nCREATE VIEW none AS SELECT 1;\nDELETE FROM sqlite_sequence;'); ${ROWS}
      CREATE TABLE "two\nCREATE INDEX lines" ("c\nd" TEXT, e); INSERT INTO "two\nCREATE INDEX lines" VALUES ('x', 1), ('y');
      CREATE TRIGGER g AFTER INSERT ON t BEGIN\nINSERT INTO "t" ("a","b") VALUES(1,'\nCREATE VIEW v');\nEND;
      CREATE VIEW v AS SELECT '\nCREATE TRIGGER x\nEND;' AS x /*\nCREATE TABLE y (a);\n*/;`.replace(
      ", ('y')",
      ", ('y', 2)",
    ),
  },
  {
    what: "AUTOINCREMENT that was used once, its table dropped",
    sql: `CREATE TABLE gone (id INTEGER PRIMARY KEY AUTOINCREMENT); INSERT INTO gone VALUES (7); DROP TABLE gone; ${TABLE}`,
    told: ["lost-sequence"],
  },
  {
    what: "AUTOINCREMENT, and a table with the name that the commands would take",
    sql: `CREATE TABLE n (id INTEGER PRIMARY KEY AUTOINCREMENT); INSERT INTO n VALUES (7); DELETE FROM n; CREATE TABLE d1_nightly_sequence (a); ${TABLE}`,
  },
  {
    what: "foreign keys whose parents are gone",
    sql: `CREATE TABLE parent (id INTEGER PRIMARY KEY, code TEXT UNIQUE); ${TABLE}
      CREATE TABLE child (x INTEGER REFERENCES parent, y TEXT REFERENCES "Parent" (code) ON DELETE SET NULL, z, w, FOREIGN KEY (z, w) REFERENCES other (p, q));
      INSERT INTO child VALUES (NULL, NULL, NULL, 1); DROP TABLE parent; CREATE VIEW parent AS SELECT 1 AS id;`,
    told: ["lost-parent", "lost-parent", "lost-parent"],
  },
  {
    what: "a foreign key whose unique index is gone",
    sql: `${TABLE} CREATE UNIQUE INDEX t_by_b ON t (b); CREATE TABLE child (x TEXT REFERENCES t (b)); INSERT INTO child VALUES (NULL); DROP INDEX t_by_b;`,
    told: ["lost-parent"],
  },
  {
    what: "a child before its parent, and the unique index that it needs",
    sql: `CREATE TABLE child (id INTEGER PRIMARY KEY, b TEXT REFERENCES t (b)); ${TABLE} CREATE UNIQUE INDEX t_by_b ON t (b); INSERT INTO child VALUES (1, 'x'), (2, NULL);`,
  },
  {
    what: "a trigger before its view, and views of views",
    sql: `${TABLE} CREATE VIEW w AS SELECT 1 AS a; CREATE VIEW v AS SELECT * FROM w; CREATE TRIGGER g INSTEAD OF INSERT ON v BEGIN INSERT INTO t VALUES (new.a, 'v'); END;`,
  },
  {
    what: "tables with the names that the commands use",
    sql: `CREATE TABLE counted (name, wanted, found); INSERT INTO counted VALUES (1, 2, 3); CREATE TABLE "values" (column1); INSERT INTO "values" VALUES (1), (2); CREATE TABLE dump (a); CREATE TABLE rows (a); INSERT INTO rows VALUES (1); ${TABLE}`,
  },
  {
    what: "names that no shell likes",
    sql: `CREATE TABLE "it's ""one"" [x] $HOME \\y wow! größe" ("a column" TEXT, [b] BLOB, \`c\` REAL); INSERT INTO "it's ""one"" [x] $HOME \\y wow! größe" VALUES ('', x'00ff', 0.5), (NULL, NULL, 9e999); ${TABLE}`,
  },
  {
    what: "NUL characters in text, few and many",
    sql: `CREATE TABLE t (a INTEGER, b TEXT, "c'd" TEXT); INSERT INTO t VALUES (1, 'a' || char(0) || 'it''s', 'x'), (2, replace(hex(zeroblob(600)), '0', char(0)), 'line' || char(10, 0, 39)), (3, char(0), char(0) || '''' || replace(hex(zeroblob(30)), '00', char(0)));`,
  },
  {
    what: "statistics, and text in double quotes",
    sql: `CREATE TABLE t (a INTEGER, b TEXT DEFAULT "none"); CREATE INDEX i ON t (a); ${ROWS} ANALYZE;`,
    needs: "3.33.0",
  },
  {
    what: "functions and syntax that Debian 12's sqlite3 does not know",
    sql: `CREATE TABLE t (a INTEGER CHECK (octet_length(a) < 100), b TEXT, c TEXT AS (concat_ws('-', a, b)) STORED); ${ROWS}
      CREATE VIEW v AS SELECT group_concat(b, ',' ORDER BY a) AS l FROM t;
      CREATE TRIGGER g BEFORE DELETE ON t BEGIN SELECT RAISE(ABORT, 'a' || old.a); END;`,
    told: ["newer-sqlite", "newer-sqlite", "newer-sqlite", "newer-sqlite"],
    needs: "3.47.0",
  },
  {
    what: "tables, indexes, triggers and views that were created and renamed in odd words",
    sql: `create /* a */ table /* b */ if not exists main.t -- c
      (a INTEGER, b TEXT); ${ROWS} create table 'sq''x' (a); INSERT INTO 'sq''x' VALUES (1); create table [br x] (a); INSERT INTO [br x] VALUES ('/*');
      create table old (a); INSERT INTO old VALUES ('--'); alter table old rename to "ne""w"; INSERT INTO "ne""w" VALUES (2); create table "数 据" (a);
      INSERT INTO "数 据" VALUES (1); alter table t add column "order" default ';'; create unique index if not exists main.i on t ("order", a);
      create view if not exists v as select 1; create trigger if not exists g after insert on t begin select 1; end; create table t$1 as select 1 as x;`,
  },
];
