import type { UnsealedManifest } from "../backup/manifest.ts";
import { block, inSingleQuotes, part, shown, SQLITE } from "./shell.ts";

/** What stands behind the commands: what the backup lacks, and what may not come back as it was. */
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

/** D1 cannot dump them, and triggers that write to them make every write to their own table fail. */
function virtualTables({ loading, encryption }: UnsealedManifest): string[] {
  const virtual = loading?.virtualTables ?? [];
  if (virtual.length === 0) return [];
  const names = virtual.map(({ name }) => shown(name)).join(", ");
  // A line break cannot stand in a line of this file.
  const triggers = [...new Set(virtual.flatMap((table) => table.triggers))].filter(
    (name) => !/\p{Cc}/u.test(name),
  );
  const statement =
    encryption === null
      ? "Its statement stands in `manifest.json`, under `notExported`"
      : "Its statement stands in `not-exported.sql`, which step 2 has decrypted";
  return [
    `**Virtual tables are missing: ${names}.** Make each anew. ${statement}. Then fill it: a full-text index whose text lies in another table by \`INSERT INTO name (name) VALUES ('rebuild');\`, any other from your own source.`,
    ...(triggers.length === 0
      ? []
      : [
          "Until they are there, these triggers make each write to their tables fail. Drop them if you do without; here, and in the same way in D1:",
          block(
            ...triggers.map(
              (name) =>
                `${SQLITE} restored.db ${inSingleQuotes(`DROP TRIGGER "${name.replaceAll('"', '""')}"`)}`,
            ),
          ),
        ]),
  ];
}
