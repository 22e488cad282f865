import type { UnsealedManifest } from "../backup/manifest.ts";
import { neededSqlite, releaseNumber } from "../dump/sqlite-features.ts";
import { shellFileOf, type Part } from "./cut.ts";
import { AWK, inSingleQuotes, SED, shown, SQLITE } from "./shell.ts";

/** What step 3 says, and does. */
export interface Loading {
  readonly why: string;
  readonly commands: readonly string[];
}

/** Into restored.db: all or nothing; and what is not all of it is said, and ends with an error. */
export function loadingOf(manifest: UnsealedManifest): Loading {
  return manifest.exportOptions.noSchema ? rowsLoading() : wholeLoading(manifest);
}

// sqlite3 since 3.41 no longer takes "text" as a text in a table's DEFAULT, as D1 does.
const SETTINGS = "'.dbconfig dqs_ddl on' 'PRAGMA foreign_keys = OFF'";

function wholeLoading(manifest: UnsealedManifest): Loading {
  const misread = manifest.loading?.misreadByShell ?? "nothing";
  const read = (parts: readonly Part[]): string =>
    parts.map((part) => `'.read ${shellFileOf(part, misread)}'`).join(" ");
  const into = (file: string): string => `${SQLITE} -bail ${file} ${SETTINGS} BEGIN`;
  return {
    why: "In one transaction. Tables first, then rows, and triggers last, because D1 writes triggers before their views. Should sqlite3 refuse something, each row is loaded by itself, behind all indexes: then `restored.db` holds all but the rows that are named, and the block ends with an error.",
    commands: [
      ...versionCheck(manifest),
      ...refuseExisting("[ -s restored.db ]", "restored.db exists already: move it away first."),
      `elif ! ${into("restored.db")} ${read(LOAD_ORDER)} COMMIT > /dev/null; then`,
      ...rowByRow(
        shellFileOf("rows", misread),
        `${into("partial.db")} ${read(["tables", "indexes"])} COMMIT > /dev/null`,
        `${into("partial.db")} ${read(["views", "triggers"])} COMMIT > /dev/null`,
      ),
      "fi",
    ],
  };
}

const LOAD_ORDER: readonly Part[] = ["tables", "rows", "indexes", "views", "triggers"];

/** Of a dump without CREATE statements. */
function rowsLoading(): Loading {
  const counters = `/^INSERT INTO "sqlite_sequence"/`;
  const ready = "SELECT count(*) > 0 AND sum(type = 'trigger') = 0 FROM sqlite_master";
  return {
    why: "This backup holds rows only. So `restored.db` has to hold the tables first: empty, and without triggers, which would fire. Make it from your own schema, or from a backup that holds one. In one transaction: after an error it is as it was, unless sqlite3 refuses single rows, which are named then. The counters of AUTOINCREMENT, which SQLite makes by itself, are replaced; its statistics are left to ANALYZE.",
    commands: [
      `${SED} -n '${counters}p' rows.sql > sequence.sql`,
      "{",
      `  ${SED} -e '${counters}d' -e '/^INSERT INTO "sqlite_stat/d' rows.sql`,
      "  if [ -s sequence.sql ]; then echo 'DELETE FROM sqlite_sequence;'; cat sequence.sql; fi",
      "} > rows-only.sql",
      "mv rows-only.sql rows.sql",
      ...refuseExisting(
        `[ "$(${SQLITE} -list -noheader restored.db "${ready}")" != 1 ]`,
        "restored.db has to hold the tables, and no triggers.",
      ),
      `elif ! ${SQLITE} -bail restored.db 'PRAGMA foreign_keys = OFF' BEGIN '.read rows.sql' COMMIT > /dev/null; then`,
      ...rowByRow("rows.sql", "cp restored.db partial.db", null),
      "fi",
    ],
  };
}

function refuseExisting(condition: string, message: string): string[] {
  return [`if ${condition}; then echo ${inSingleQuotes(message)} >&2; false`];
}

/** How many of sqlite3's reasons are shown. */
const REASONS = 20;

/**
 * Loads each row in a transaction of its own, because a table may say ON CONFLICT ROLLBACK. What is refused goes from
 * rows.sql to refused.sql, so that D1 is not asked to take it either. Ends with an error in any case.
 */
function rowByRow(rows: string, before: string, behind: string | null): string[] {
  const quick = ["synchronous = OFF", "journal_mode = MEMORY", "foreign_keys = OFF"];
  const pragmas = quick.map((pragma) => `-cmd 'PRAGMA ${pragma}'`).join(" ");
  const named = String.raw`match($0, /^INSERT INTO "([^"]|"")*"/)`;
  return [
    "  echo 'sqlite3 refused something. Each row is loaded by itself now:' >&2",
    "  rm -f partial.db partial.db-journal",
    `  ${before} &&`,
    `  { ${SQLITE} ${pragmas} partial.db < ${rows} > /dev/null 2> refused.txt || true; } &&`,
    ...(behind === null ? [] : [`  ${behind} &&`]),
    `  ${AWK} '`,
    '    BEGIN { printf "" > "refused.sql"; printf "" > "accepted.sql" }',
    '    FILENAME == "refused.txt" { if (match($0, /near line [0-9]+/)) no[substr($0, RSTART + 10, RLENGTH - 10)] = 1; next }',
    "    FNR in no {",
    '      print > "refused.sql"; refused++',
    `      if (${named}) count[substr($0, 13, RLENGTH - 12)]++; else count["other statements"]++; next`,
    "    }",
    '    { print > "accepted.sql" }',
    "    END {",
    '      for (table in count) print "Refused in " table ": " count[table]',
    '      print refused + 0 " refused: see refused.sql, and refused.txt for the reasons. restored.db has all the rest."',
    "    }",
    "  ' refused.txt rows.sql >&2 &&",
    `  mv accepted.sql rows.sql && mv partial.db restored.db && head -n ${REASONS} refused.txt >&2`,
    "  false",
  ];
}

/** Tells of a program that is too old, before it does: some of the schema may load all the same. */
function versionCheck({ loading }: UnsealedManifest): string[] {
  const features = loading?.features ?? [];
  if (features.length === 0) return [];
  const needed = neededSqlite(features);
  const message = `This sqlite3 is older than ${needed}, which the schema asks for (see above): what comes now may be refused, or cannot be used when it is loaded. Get a newer one from https://sqlite.org/download.html, or go on with step 5, which needs none.`;
  const number = `split($1, v, "."); exit !(v[1] * 1000000 + v[2] * 1000 + v[3] >= ${releaseNumber(needed)})`;
  return [`${SQLITE} -version | ${AWK} '{ ${number} }' ||`, `  echo ${inSingleQuotes(message)} >&2`];
}

/** Which program the schema asks for, in words; null when any does. */
export function versionText({ loading }: UnsealedManifest): string | null {
  const features = loading?.features ?? [];
  if (features.length === 0) return null;
  const list = features.map(({ feature, since, usedBy }) => {
    const [first = "", ...others] = usedBy;
    const more = others.length === 0 ? "" : ` and ${others.length} more`;
    return `- ${shown(feature)}, since ${shown(since)}: ${shown(first)}${more}`;
  });
  return `The schema asks for sqlite3 ${neededSqlite(features)} or later (\`sqlite3 --version\` tells yours):\n\n${list.join("\n")}`;
}
