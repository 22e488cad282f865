import { z } from "zod";
import { isUuid } from "../../core/bucket/object-keys.ts";
import type { DatabasePage, DatabaseSummary } from "../../core/d1/api.ts";
import { LARGEST_DUMP } from "../../core/d1/limits.ts";

/** What the API tells of a database and of its rows, as far as this product reads it. */

export const databaseSchema = z.object({
  // It becomes a part of addresses and of keys, and names the object that is the database's lock.
  uuid: z.string().toLowerCase().refine(isUuid),
  name: z.string().min(1),
  created_at: z.string().nullish().catch(null),
  // For information alone: a size that no database has counts as one that is not told.
  file_size: z.number().int().nonnegative().max(LARGEST_DUMP).nullish().catch(null),
});

const oddDatabaseSchema = z.object({ uuid: z.unknown(), name: z.unknown() }).partial();

/** What a row of the list of databases says of itself that cannot be read as one. */
function inWords(row: unknown): string {
  const { name, uuid } = oddDatabaseSchema.safeParse(row).data ?? {};
  const [named, identified] = [name, uuid].map((value) => (JSON.stringify(value) ?? "none").slice(0, 100));
  return `name ${named}, UUID ${identified}`;
}

export const schemaRowsSchema = z
  .array(
    z.object({
      success: z.literal(true),
      results: z.array(z.object({ type: z.string(), name: z.string(), sql: z.string().nullable() })),
    }),
  )
  .length(1);

/** It is stored with the run and in the manifest: D1's have 71 characters. */
export const bookmarkText = z.string().max(1_000);

export const bookmarkSchema = z.object({ bookmark: bookmarkText.min(1) });

/** An answer to each statement. */
export const queryRowsSchema = z.array(
  z.object({
    success: z.literal(true),
    results: z.array(z.record(z.string(), z.unknown())),
    meta: z.object({ rows_read: z.number().nonnegative().optional() }).nullish(),
  }),
);

/** One row that cannot be read does not hide the others. */
export function readDatabases(rows: readonly unknown[]): Pick<DatabasePage, "databases" | "unreadable"> {
  const databases: DatabaseSummary[] = [];
  const oddOnes: string[] = [];
  for (const row of rows) {
    const read = databaseSchema.safeParse(row);
    if (read.success) databases.push(summary(read.data));
    else oddOnes.push(inWords(row));
  }
  return { databases, unreadable: oddOnes };
}

export function summary(row: z.infer<typeof databaseSchema>): DatabaseSummary {
  return { id: row.uuid, name: row.name, createdAt: row.created_at ?? null };
}
