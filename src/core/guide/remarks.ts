import type { UnsealedManifest } from "../backup/manifest.ts";
import { block, inSingleQuotes, part, shown, SQLITE } from "./shell.ts";

/** The end of the guide: what the backup lacks, and what a restore may not bring back unchanged. */
export function remarks(manifest: UnsealedManifest): string[] {
  const { hazards, notExported } = manifest;
  const altered = hazards.map(
    ({ table, count, detail }) =>
      `- ${table === null ? "" : `${shown(table)}: `}${shown(detail)}${count === null ? "" : ` (${count})`}`,
  );
  const absent = notExported.map(({ name, kind, reason }) => `- ${shown(`${kind} ${name}: ${reason}`)}`);
  const virtual = virtualTables(manifest);
  return [
    ...(absent.length === 0 ? [] : [part("Not in this backup", absent.join("\n"), ...virtual)]),
    ...(altered.length === 0 ? [] : [part("What to know about this backup", altered.join("\n"))]),
  ];
}

/** D1 cannot dump virtual tables, and without them every write to a table whose trigger uses one fails. */
function virtualTables({ loading, encryption }: UnsealedManifest): string[] {
  const virtual = loading?.virtualTables ?? [];
  if (virtual.length === 0) return [];
  const names = virtual.map(({ name }) => shown(name)).join(", ");
  // A name with a line break does not fit on one line of this file.
  const triggers = [...new Set(virtual.flatMap((table) => table.triggers))].filter(
    (name) => !/\p{Cc}/u.test(name),
  );
  const statement =
    encryption === null
      ? "Its statement is in `manifest.json`, under `notExported`"
      : "Its statement is in `not-exported.sql`, which step 2 has decrypted";
  return [
    `**Virtual tables are missing: ${names}.** Create each again. ${statement}. Then fill it: use \`INSERT INTO name (name) VALUES ('rebuild');\` for a full-text index whose text is in another table, and your own source for any other.`,
    ...(triggers.length === 0
      ? []
      : [
          "Until they exist, these triggers make each write to their tables fail. If you do not need the virtual tables, drop the triggers here, and in the same way in D1:",
          block(
            ...triggers.map(
              (name) =>
                `${SQLITE} restored.db ${inSingleQuotes(`DROP TRIGGER "${name.replaceAll('"', '""')}"`)}`,
            ),
          ),
        ]),
  ];
}
