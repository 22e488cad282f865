import type { UnsealedManifest } from "../backup/manifest.ts";
import { NOT_EXPORTED } from "../bucket/object-keys.ts";
import { partsLeftOut } from "../dump/partial-export.ts";
import { comparisonOf } from "./comparison.ts";
import { cutCommands } from "./cut.ts";
import { intoD1, spareName } from "./into-d1.ts";
import { loadingOf, versionText } from "./load.ts";
import { remarks } from "./remarks.ts";
import { block, part, plural, shellWord, shown, sizeCheck } from "./shell.ts";

/** Runs all commands that come before the way back into D1. */
export const RUN_THE_GUIDE = "sed -n -e '/^## 5/q' -e 's/^    //p' RESTORE.md | sh -e";

/**
 * RESTORE.md: the literal commands for this one backup, for somebody who has nothing but its files. They are meant
 * to be pasted into a shell or run by `sh -e`: each stops, or says so, when something is wrong.
 */
export function restoreGuide(manifest: UnsealedManifest): string {
  const loading = loadingOf(manifest);
  const comparison = comparisonOf(manifest);
  const parts = [
    opening(manifest),
    part("1. Check that the files are whole", block(...PLAIN_SHELL, "sha256sum -c SHA256SUMS")),
    part(
      "2. Make dump.sql, and cut it into its parts",
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
    part("4. Compare the rows with those that were counted", ...comparison.paragraphs),
    part("5. Back into D1, into a new database", ...intoD1(manifest, comparison.files)),
    ...remarks(manifest),
  ];
  return `${parts.join("\n\n")}\n`;
}

/** What a user may have set for himself would change what the commands below do, or what they print. */
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

Paste the commands into a new shell, block by block, in the folder that holds this file. They need ${tools.join(", ")}, and Node's npx for D1; on macOS write \`shasum -a 256\` for \`sha256sum\`. Go on to the next block only when the last one said nothing of an error. Or run 1 to 4 at once: \`${RUN_THE_GUIDE}\``;
}

/** The first thing that anybody reads: such a backup must not be taken for the whole database. */
function partialWarning({ exportOptions, notExported }: UnsealedManifest): string {
  const parts = partsLeftOut(exportOptions, notExported.length);
  return parts.length === 0
    ? ""
    : `\n**This is not a whole backup**, by its database's policy: ${parts.join("; ")}.\n`;
}

function ageOf(recipients: readonly string[]): string[] {
  if (recipients.length === 0) return [];
  const postQuantum = recipients.some((recipient) => recipient.startsWith("age1pq"));
  return [postQuantum ? "age (1.3 or later for a post-quantum key)" : "age"];
}

function keyText({ encryption }: UnsealedManifest): string | null {
  if (encryption === null) return null;
  return `Put the private key (\`AGE-SECRET-KEY-…\`) of one of these recipients into \`key.txt\` first:

${encryption.recipients.map((recipient) => `- ${shown(recipient)}`).join("\n")}

What these commands make is readable by anybody who gets at this folder: delete it when you are done.`;
}

/** Decrypts, decompresses and joins the volumes, and checks what came out. */
function dumpCommands({ volumes, compression, encryption, dump, notExported }: UnsealedManifest): string[] {
  const files = volumes.map((volume) => shellWord(volume.name)).join(" ");
  const decompress = { gzip: "gunzip -c", zstd: "zstd -dc", none: "cat" }[compression];
  // age files cannot be joined before they are decrypted; gzip members and zstd frames can before they are read.
  const decrypt = `for file in ${files}; do age -d -i key.txt "$file" || break; done`;
  const decrypted = compression === "none" ? decrypt : `${decrypt} | ${decompress}`;
  const read = encryption === null ? `${decompress} ${files}` : decrypted;
  const check =
    dump.sha256 === null
      ? sizeCheck("dump.sql", dump.bytes)
      : `echo '${dump.sha256}  dump.sql' | sha256sum -c`;
  return [`${read} > dump.sql`, check, ...statementsCommands(notExported.length > 0 && encryption !== null)];
}

/** What the backup leaves out, for whoever wants to make it anew: the rest is restored without it. */
function statementsCommands(sealed: boolean): string[] {
  if (!sealed) return [];
  const file = NOT_EXPORTED;
  return [
    `[ ! -e ${file} ] || age -d -i key.txt ${file} > ${file.replace(/\.age$/, "")} ||`,
    `  echo '${file} cannot be decrypted. The dump is whole without it.' >&2`,
  ];
}

const CUT_TEXT =
  "`tables.sql`, `rows.sql`, `indexes.sql`, `views.sql` and `triggers.sql` hold its statements as D1 wrote them, with the semicolons that a comment has swallowed put behind it:";

function hasNul({ hazards }: UnsealedManifest): boolean {
  return hazards.some(({ kind }) => kind === "nul");
}

/** NUL characters in text, which neither sqlite3 nor D1 reads; looked for where nothing has told of them (lean). */
function nulCommands(manifest: UnsealedManifest): string[] {
  if (!hasNul(manifest) && !manifest.lean) return [];
  return [
    `if [ "$(LC_ALL=C tr -d '\\000' < dump.sql | wc -c)" -ne ${manifest.dump.bytes} ]; then`,
    `  PERL5OPT= PERL_UNICODE=0 perl -pi -e '${NUL_TO_SQL}' dump.sql`,
    "fi",
  ];
}

/**
 * From a text with NULs to SQL that gives the same text: in hex where there are many, because D1 bounds how deep an
 * expression may be. Stands between single quotes of a shell.
 */
const NUL_TO_SQL = [
  String.raw`next unless /\0/; s/("[^"]*")|\x27([^\x27]*(?:\x27\x27[^\x27]*)*)\x27/`,
  String.raw`my ($name, $text) = ($1, $2); if (defined $name) { $name } `,
  String.raw`elsif (($text =~ tr{\0}{}) <= 20) { $text =~ s{\0}{\x27||char(0)||\x27}g; "\x27$text\x27" } `,
  String.raw`else { $text =~ s{\x27\x27}{\x27}g; "CAST(X\x27" . unpack("H*", $text) . "\x27 AS TEXT)" }/ge`,
].join("");
