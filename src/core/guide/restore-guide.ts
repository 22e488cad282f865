import type { UnsealedManifest } from "../backup/manifest.ts";
import { NOT_EXPORTED } from "../bucket/object-keys.ts";
import { partsLeftOut } from "../dump/partial-export.ts";
import { comparisonOf } from "./comparison.ts";
import { cutCommands } from "./cut.ts";
import { intoD1, spareName } from "./into-d1.ts";
import { loadingOf, versionText } from "./load.ts";
import { remarks } from "./remarks.ts";
import { block, part, plural, shellWord, shown, sizeCheck } from "./shell.ts";

/** Runs all commands up to step 5, which loads the backup into D1. */
export const RUN_THE_GUIDE = "sed -n -e '/^## 5/q' -e 's/^    //p' RESTORE.md | sh -e";

/**
 * RESTORE.md: the exact commands for this backup, for somebody who has nothing but its files. You can paste them into
 * a shell or run them with `sh -e`: each stops, or reports it, if something is wrong.
 */
export function restoreGuide(manifest: UnsealedManifest): string {
  const loading = loadingOf(manifest);
  const comparison = comparisonOf(manifest);
  const parts = [
    opening(manifest),
    part("1. Check the files", block(...PLAIN_SHELL, "sha256sum -c SHA256SUMS")),
    part(
      "2. Make dump.sql and cut it into its parts",
      keyText(manifest),
      block(...dumpCommands(manifest)),
      CUT_TEXT,
      block(
        ...nulCommands(manifest),
        ...cutCommands({
          source: "dump.sql",
          misread: manifest.loading?.misreadByShell ?? "nothing",
          spareName: spareName(
            "d1_nightly_sequence",
            manifest.tables.map(({ name }) => name),
          ),
        }),
      ),
    ),
    part(
      "3. Load it into a new SQLite database",
      versionText(manifest),
      loading.why,
      block(...loading.commands),
    ),
    part("4. Compare the row counts", ...comparison.paragraphs),
    part("5. Load it into a new D1 database", ...intoD1(manifest, comparison.files)),
    ...remarks(manifest),
  ];
  return `${parts.join("\n\n")}\n`;
}

/** Resets user settings that would change what the commands do or print. */
const PLAIN_SHELL = [
  "unalias -a; set +C; umask 077; LC_ALL=C; export LC_ALL",
  "unset CDPATH GREP_OPTIONS GZIP PERL5OPT PERL_UNICODE POSIXLY_CORRECT",
];

function opening(manifest: UnsealedManifest): string {
  const { database, volumes, compression, encryption, tables, exportOptions, lean } = manifest;
  const rows = tables.reduce((sum, table) => sum + (table.rows ?? 0), 0);
  const counted = lean ? "rows not counted" : exportOptions.noData ? "no rows" : plural(rows, "row");
  const tools = [
    "sha256sum",
    ...ageOf(encryption?.recipients ?? []),
    ...{ gzip: ["gunzip"], zstd: ["zstd"], none: [] }[compression],
    "awk",
    ...(hasNul(manifest) ? ["perl"] : []),
    "sqlite3",
  ];
  return `# Restore ${shown(database.name)} as of ${manifest.startedAt}
${partialWarning(manifest)}
Backup ${shown(manifest.backupId)}: ${plural(volumes.length, "volume")}, ${plural(manifest.dump.bytes, "byte")} of SQL, ${plural(tables.length, "table")}, ${counted}.

Open a new shell in the folder with this file and paste the commands, block by block. They need ${tools.join(", ")}, and Node's npx for D1; on macOS, use \`shasum -a 256\` instead of \`sha256sum\`. Continue with the next block only if the last one reported no error. Or run steps 1 to 4 in one go: \`${RUN_THE_GUIDE}\``;
}

/** Comes first, so that nobody mistakes such a backup for a complete one. */
function partialWarning({ exportOptions, notExported }: UnsealedManifest): string {
  const parts = partsLeftOut(exportOptions, notExported.length);
  return parts.length === 0
    ? ""
    : `\n**This is a partial backup**, as its database's policy says: ${parts.join("; ")}.\n`;
}

function ageOf(recipients: readonly string[]): string[] {
  if (recipients.length === 0) return [];
  const postQuantum = recipients.some((recipient) => recipient.startsWith("age1pq"));
  return [postQuantum ? "age (1.3 or later for a post-quantum key)" : "age"];
}

function keyText({ encryption }: UnsealedManifest): string | null {
  if (encryption === null) return null;
  return `First put the private key (\`AGE-SECRET-KEY-…\`) of one of these recipients into \`key.txt\`:

${encryption.recipients.map((recipient) => `- ${shown(recipient)}`).join("\n")}

The commands write decrypted files into this folder: delete them when you are done.`;
}

/** Decrypts, decompresses and joins the volumes, and checks the result. */
function dumpCommands({ volumes, compression, encryption, dump, notExported }: UnsealedManifest): string[] {
  const files = volumes.map((volume) => shellWord(volume.name)).join(" ");
  const decompress = { gzip: "gunzip -c", zstd: "zstd -dc", none: "cat" }[compression];
  // age files cannot be joined before they are decrypted; gzip members and zstd frames can be joined first.
  const decrypt = `for file in ${files}; do age -d -i key.txt "$file" || break; done`;
  const decrypted = compression === "none" ? decrypt : `${decrypt} | ${decompress}`;
  const read = encryption === null ? `${decompress} ${files}` : decrypted;
  const check =
    dump.sha256 === null
      ? sizeCheck("dump.sql", dump.bytes)
      : `echo '${dump.sha256}  dump.sql' | sha256sum -c`;
  return [`${read} > dump.sql`, check, ...statementsCommands(notExported.length > 0 && encryption !== null)];
}

/** Decrypts the statements of what the backup leaves out. The rest is restored without them. */
function statementsCommands(sealed: boolean): string[] {
  if (!sealed) return [];
  const file = NOT_EXPORTED;
  return [
    `[ ! -e ${file} ] || age -d -i key.txt ${file} > ${file.replace(/\.age$/, "")} ||`,
    `  echo '${file} cannot be decrypted. The dump is complete without it.' >&2`,
  ];
}

const CUT_TEXT =
  "The next block cuts `dump.sql` into `tables.sql`, `rows.sql`, `indexes.sql`, `views.sql` and `triggers.sql`. They have D1's own statements; if a comment has swallowed a semicolon, the commands add it after the comment:";

function hasNul({ hazards }: UnsealedManifest): boolean {
  return hazards.some(({ kind }) => kind === "nul");
}

/** Replaces NUL characters in text, which neither sqlite3 nor D1 can read. In a lean backup, nobody has looked for them. */
function nulCommands(manifest: UnsealedManifest): string[] {
  if (!hasNul(manifest) && !manifest.lean) return [];
  return [
    `if [ "$(LC_ALL=C tr -d '\\000' < dump.sql | wc -c)" -ne ${manifest.dump.bytes} ]; then`,
    `  PERL5OPT= PERL_UNICODE=0 perl -pi -e '${NUL_TO_SQL}' dump.sql`,
    "fi",
  ];
}

/**
 * Turns a text with NULs into SQL that yields the same text: in hex if there are many, because D1 limits the depth of an
 * expression. Belongs between single quotes of a shell.
 */
const NUL_TO_SQL = [
  String.raw`next unless /\0/; s/("[^"]*")|\x27([^\x27]*(?:\x27\x27[^\x27]*)*)\x27/`,
  String.raw`my ($name, $text) = ($1, $2); if (defined $name) { $name } `,
  String.raw`elsif (($text =~ tr{\0}{}) <= 20) { $text =~ s{\0}{\x27||char(0)||\x27}g; "\x27$text\x27" } `,
  String.raw`else { $text =~ s{\x27\x27}{\x27}g; "CAST(X\x27" . unpack("H*", $text) . "\x27 AS TEXT)" }/ge`,
].join("");
