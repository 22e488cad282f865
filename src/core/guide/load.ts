import type { UnsealedManifest } from "../backup/manifest.ts";
import { neededSqlite, releaseNumber } from "../dump/sqlite-features.ts";
import { shellFileOf, type Part } from "./cut.ts";
import { AWK, inSingleQuotes, SED, shown, SQLITE } from "./shell.ts";

/** The text and the commands of step 3. */
export interface Loading {
  readonly why: string;
  readonly commands: readonly string[];
}

/** Loads everything into restored.db, or names what is missing and ends with an error. */
export function loadingOf(manifest: UnsealedManifest): Loading {
  return manifest.exportOptions.noSchema ? rowsLoading() : wholeLoading(manifest);
}

// Since 3.41, sqlite3 no longer accepts "text" in double quotes as a text in a table's DEFAULT; D1 does.
const SETTINGS = "'.dbconfig dqs_ddl on' 'PRAGMA foreign_keys = OFF'";

function wholeLoading(manifest: UnsealedManifest): Loading {
  const misread = manifest.loading?.misreadByShell ?? "nothing";
  const read = (parts: readonly Part[]): string =>
    parts.map((part) => `'.read ${shellFileOf(part, misread)}'`).join(" ");
  const into = (file: string): string => `${SQLITE} -bail ${file} ${SETTINGS} BEGIN`;
  return {
    why: "This loads everything in one transaction: tables first, then rows, and triggers last, because D1 writes triggers before their views. If sqlite3 refuses something, the commands load each row separately, after all indexes. Then `restored.db` has all rows except those that are reported, and the block ends with an error.",
    commands: [
      ...versionCheck(manifest),
      ...refuseExisting("[ -s restored.db ]", "restored.db already exists: move it away first."),
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

/** For a dump without CREATE statements. */
function rowsLoading(): Loading {
  const counters = `/^INSERT INTO "sqlite_sequence"/`;
  const ready = "SELECT count(*) > 0 AND sum(type = 'trigger') = 0 FROM sqlite_master";
  return {
    why: "This backup has only rows. First create `restored.db` with empty tables, from your own schema or from a backup that has one, and without triggers, which would fire. The rows are loaded in one transaction. If sqlite3 refuses some, the commands load each row separately and report those; after any other error `restored.db` is unchanged. The backup's AUTOINCREMENT counters replace those in `restored.db`. Run ANALYZE for statistics.",
    commands: [
      `${SED} -n '${counters}p' rows.sql > sequence.sql`,
      "{",
      `  ${SED} -e '${counters}d' -e '/^INSERT INTO "sqlite_stat/d' rows.sql`,
      "  if [ -s sequence.sql ]; then echo 'DELETE FROM sqlite_sequence;'; cat sequence.sql; fi",
      "} > rows-only.sql",
      "mv rows-only.sql rows.sql",
      ...refuseExisting(
        `[ "$(${SQLITE} -list -noheader restored.db "${ready}")" != 1 ]`,
        "restored.db must have the tables, and no triggers.",
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

/** How many of sqlite3's error messages are shown. */
const REASONS = 20;

/**
 * Loads each row in its own transaction, because a table may say ON CONFLICT ROLLBACK. Moves refused rows from rows.sql
 * to refused.sql, so that D1 does not get them either. Always ends with an error.
 */
function rowByRow(rows: string, before: string, behind: string | null): string[] {
  const quick = ["synchronous = OFF", "journal_mode = MEMORY", "foreign_keys = OFF"];
  const pragmas = quick.map((pragma) => `-cmd 'PRAGMA ${pragma}'`).join(" ");
  const named = String.raw`match($0, /^INSERT INTO "([^"]|"")*"/)`;
  return [
    "  echo 'sqlite3 refused something. Loading each row separately:' >&2",
    "  rm -f partial.db partial.db-journal",
    // The refused load has left restored.db half written, beside a journal that would undo whatever takes its place.
    `  ${SQLITE} restored.db 'SELECT count(*) FROM sqlite_master' > /dev/null &&`,
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
    '      print refused + 0 " refused: see refused.sql, and refused.txt for the reasons. restored.db has all other rows, as the dump has them."',
    "    }",
    "  ' refused.txt rows.sql >&2 &&",
    `  mv accepted.sql rows.sql && mv partial.db restored.db && head -n ${REASONS} refused.txt >&2`,
    "  false",
  ];
}

/** Warns of an old sqlite3 program first: parts of the schema may load anyway. */
function versionCheck({ loading }: UnsealedManifest): string[] {
  const features = loading?.features ?? [];
  if (features.length === 0) return [];
  const needed = neededSqlite(features);
  const message = `This sqlite3 is older than ${needed}, which the schema needs (see above). It may refuse to load the schema, or be unable to use it afterwards. Get a newer one from https://sqlite.org/download.html, or continue with step 5, which does not use sqlite3.`;
  const number = `split($1, v, "."); exit !(v[1] * 1000000 + v[2] * 1000 + v[3] >= ${releaseNumber(needed)})`;
  return [`${SQLITE} -version | ${AWK} '{ ${number} }' ||`, `  echo ${inSingleQuotes(message)} >&2`];
}

/** The sqlite3 version that the schema needs; null if any will do. */
export function versionText({ loading }: UnsealedManifest): string | null {
  const features = loading?.features ?? [];
  if (features.length === 0) return null;
  const list = features.map(({ feature, since, usedBy }) => {
    const [first = "", ...others] = usedBy;
    const more = others.length === 0 ? "" : ` and ${others.length} more`;
    return `- ${shown(feature)}, since ${shown(since)}: ${shown(first)}${more}`;
  });
  return `The schema needs sqlite3 ${neededSqlite(features)} or later (\`sqlite3 --version\` shows yours):\n\n${list.join("\n")}`;
}
