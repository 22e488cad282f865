import type { UnsealedManifest } from "./build-manifest.ts";

/** RESTORE.md: the literal commands for this one backup, for somebody who has nothing but its files. */
export function restoreGuide(manifest: UnsealedManifest): string {
  const { database, volumes, compression, tables } = manifest;
  const files = volumes.map((volume) => shellQuote(volume.name)).join(" ");
  const read = compression === "gzip" ? `gunzip -c ${files}` : `cat ${files}`;
  const rows = tables.reduce((sum, table) => sum + (table.rows ?? 0), 0);
  return `# Restore ${database.name} as of ${manifest.startedAt}

${volumes.length === 1 ? "One volume" : `${volumes.length} volumes`}, ${manifest.dump.bytes} bytes of SQL, ${tables.length} tables, ${rows} rows.
Run these in the folder that holds this file.

Check that the files are whole:

    sha256sum -c SHA256SUMS

Load them into a new SQLite database:

    ${read} | sqlite3 restored.db

\`sqlite3\` says "no such table" for an INSTEAD OF trigger, because D1's dumps put triggers before views: its
table rows are not affected; create such triggers again from the dump's text.

Compare the rows with what the backup counted:

${tables.map((table) => `    sqlite3 restored.db ${shellQuote(`SELECT count(*) FROM ${sqlName(table.name)}`)}   # ${table.rows ?? "not counted"}`).join("\n")}

Load them back into D1, into a new database:

    ${read} > dump.sql
    npx wrangler d1 create restored
    npx wrangler d1 execute restored --remote --file dump.sql
`;
}

/** A word of a shell's command that is a file's name or an argument, and never an option. */
function shellQuote(text: string): string {
  if (text.startsWith("-")) return shellQuote(`./${text}`);
  return /^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

function sqlName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
