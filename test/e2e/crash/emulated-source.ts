import { createHash } from "node:crypto";
import { z } from "zod";

/** A database whose dump is known before anybody backs it up. */
export interface SourceDatabase {
  readonly id: string;
  readonly name: string;
  readonly dump: { readonly bytes: number; readonly sha256: string };
}

/** Rows in a real database, or a dump that is made up. */
export type SourceContents = { readonly sql: string } | { readonly syntheticBytes: number };

export const ACCOUNT = "emulated-account";

/** About 5.5 MiB of dump in rows of 8 KiB, each different from the others. */
export const FIVE_MEBIBYTES_OF_ROWS = `
  CREATE TABLE pages (id INTEGER PRIMARY KEY, title TEXT NOT NULL, body TEXT NOT NULL);
  CREATE INDEX pages_by_title ON pages (title);
  WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 700)
    INSERT INTO pages SELECT n, 'It''s page ' || n || '; the one', replace(hex(zeroblob(512)), '00', printf('%08x', n * 2654435761 % 4294967296)) || replace(hex(zeroblob(256)), '00', printf('%016x', n * 40503)) FROM numbers;
  CREATE VIEW titles AS SELECT title FROM pages;
`;

const created = z.object({ uuid: z.string() });
const exported = z.object({
  result: z.object({
    at_bookmark: z.string(),
    status: z.enum(["active", "complete"]),
    result: z.object({ signed_url: z.string() }).optional(),
  }),
});

/** Creates the database, and takes the dump that all backups of it must equal. */
export async function createSource(
  emulator: string,
  name: string,
  contents: SourceContents,
): Promise<SourceDatabase> {
  const sql = "sql" in contents ? contents.sql : "";
  const { uuid } = created.parse(await post(`${emulator}/_emulator/databases`, { name, sql }));
  if ("syntheticBytes" in contents) {
    const wish = { bytes: contents.syntheticBytes, compressible: false };
    await post(`${emulator}/_emulator/databases/${uuid}/synthetic-dump`, wish);
  }
  return { id: uuid, name, dump: await measured(await exportByHand(emulator, uuid)) };
}

/** The size and SHA-256 of a body, which is read piece by piece. */
export async function measured(response: Response): Promise<{ bytes: number; sha256: string }> {
  if (!response.ok || response.body === null)
    throw new Error(`${response.url} answered ${response.status}: ${await response.text()}`);
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const piece of response.body) {
    hash.update(piece);
    bytes += piece.length;
  }
  return { bytes, sha256: hash.digest("hex") };
}

async function exportByHand(emulator: string, uuid: string): Promise<Response> {
  const address = `${emulator}/client/v4/accounts/${ACCOUNT}/d1/database/${uuid}/export`;
  let bookmark: string | undefined;
  for (;;) {
    const { result } = exported.parse(
      await post(address, { output_format: "polling", current_bookmark: bookmark }),
    );
    if (result.result !== undefined) return fetch(result.result.signed_url);
    bookmark = result.at_bookmark;
  }
}

async function post(url: string, body: unknown): Promise<unknown> {
  const headers = { "Content-Type": "application/json", Authorization: "Bearer emulated-token" };
  const response = await fetch(url, { method: "POST", headers, body: JSON.stringify(body) });
  if (!response.ok) throw new Error(`POST ${url} answered ${response.status}: ${await response.text()}`);
  return response.json();
}
