import type { SchemaEntry } from "../d1/api.ts";
import type { Failure } from "../failure.ts";
import { CATALOG_TABLES } from "./catalog.ts";

/**
 * A binding does not tell a Worker which database of the account it leads to. The catalogue is left out of backups by
 * its name; should that be another one than the settings say, its own first run finds it out, because a run is written
 * into the catalogue as soon as it is asked for.
 *
 * Whether a database of this schema may be a catalogue.
 */
export function mayBeCatalog(schema: readonly SchemaEntry[]): boolean {
  return CATALOG_TABLES.every((table) => schema.some(({ type, name }) => type === "table" && name === table));
}

/** Asks a database whether it holds this run: a row when it does. No other database can, because ids are random. */
export function holdsRun(runId: string): string {
  return `SELECT 1 AS held FROM runs WHERE id = '${runId.replaceAll("'", "''")}'`;
}

export function ownCatalog(name: string): Failure {
  return {
    code: "own-catalog",
    detail: `${name} is this Worker's own catalogue. It is not backed up, now or later: POST /api/catalog/rebuild fills it from the bucket.`,
    hint: `Set CATALOG_DATABASE_NAME to "${name}"; \`npm run deploy\` does it.`,
    retryable: false,
  };
}
