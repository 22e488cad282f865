import { z } from "zod";

/** A table as the questions about its values need to know it. */
export interface ExaminedTable {
  readonly name: string;
  /** Those that a dump holds: computed ones are left out. */
  readonly columns: readonly ExaminedColumn[];
  /** How a row's number is called in SQL, where the table has one that no column holds; else null. */
  readonly rowid: string | null;
}

export interface ExaminedColumn {
  readonly name: string;
  readonly affinity: Affinity;
}

/** What SQLite makes of a value that is put into a column (https://sqlite.org/datatype3.html#determination_of_column_affinity). */
export type Affinity = "INTEGER" | "TEXT" | "BLOB" | "REAL" | "NUMERIC";

/**
 * The columns of these tables, a row each. A table that was dropped meanwhile has none. `keyIndex`: the primary key is
 * an index of its own, and so no name of the rowid.
 */
export function columnsQuestion(tables: readonly string[]): string {
  const wanted = JSON.stringify(tables).replaceAll("'", "''");
  return `SELECT t.value AS "table", c.name AS name, c.type AS type, c.hidden AS hidden, c.pk AS pk,
  (SELECT max(l.wr) FROM pragma_table_list(t.value) AS l WHERE l.schema = 'main') AS withoutRowid,
  EXISTS (SELECT 1 FROM pragma_index_list(t.value) AS i WHERE i.origin = 'pk') AS keyIndex
FROM json_each('${wanted}') AS t, pragma_table_xinfo(t.value) AS c`;
}

export const columnSchema = z.object({
  table: z.string(),
  name: z.string(),
  type: z.string(),
  /** 0 for a column that is stored as it was written. */
  hidden: z.number(),
  pk: z.number(),
  withoutRowid: z.number().nullable(),
  keyIndex: z.number(),
});

/** The tables by their names, from the answer to `columnsQuestion`. */
export function examinedTables(columns: readonly z.infer<typeof columnSchema>[]): Map<string, ExaminedTable> {
  const byTable = new Map<string, z.infer<typeof columnSchema>[]>();
  for (const column of columns) {
    const known = byTable.get(column.table);
    if (known === undefined) byTable.set(column.table, [column]);
    else known.push(column);
  }
  return new Map(
    [...byTable].map(([name, all]) => [
      name,
      {
        name,
        columns: all
          .filter(({ hidden }) => hidden === 0)
          .map((column) => ({ name: column.name, affinity: affinityOf(column.type) })),
        rowid: rowidOf(all),
      },
    ]),
  );
}

/** Null too where columns have taken all of its names: then nothing can refer to it. */
function rowidOf(columns: readonly z.infer<typeof columnSchema>[]): string | null {
  const [first] = columns;
  if (first === undefined || first.withoutRowid === 1) return null;
  const hasKey = columns.some(({ pk }) => pk > 0);
  if (hasKey && first.keyIndex === 0) return null;
  const taken = new Set(columns.map(({ name }) => name.toLowerCase()));
  return ["rowid", "_rowid_", "oid"].find((name) => !taken.has(name)) ?? null;
}

/** A STRICT table's ANY keeps what it is given, as no type does; in any other table it means nothing. */
export function affinityOf(type: string): Affinity {
  const declared = type.toUpperCase();
  if (declared.includes("INT")) return "INTEGER";
  if (/CHAR|CLOB|TEXT/.test(declared)) return "TEXT";
  if (declared === "" || declared === "ANY" || declared.includes("BLOB")) return "BLOB";
  return /REAL|FLOA|DOUB/.test(declared) ? "REAL" : "NUMERIC";
}
