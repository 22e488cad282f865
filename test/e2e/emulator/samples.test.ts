import { mkdtempSync, rmSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { z } from "zod";
import { startWranglerDev, type WranglerDev } from "../../../scripts/wrangler-dev.ts";

const persistTo = mkdtempSync(join(tmpdir(), "d1-nightly-samples-"));
const API = "/client/v4/accounts/emulated-account/d1/database";
const exported = z.object({ result: z.object({ result: z.object({ signed_url: z.string() }) }) });
const rawResults = z.object({
  result: z.array(z.object({ results: z.object({ rows: z.array(z.array(z.unknown())) }) })),
});
let emulator: WranglerDev;

beforeAll(async () => {
  emulator = await startWranglerDev({ config: "emulator/wrangler.jsonc", persistTo });
});

afterAll(async () => {
  await emulator.kill("SIGKILL");
  rmSync(persistTo, { recursive: true, force: true });
});

async function post(path: string, body: object): Promise<unknown> {
  const headers = { authorization: "Bearer t" };
  const response = await fetch(emulator.url + path, { method: "POST", headers, body: JSON.stringify(body) });
  return response.json();
}

it("the shop's tables come back equal in plain SQLite, and only the trigger on a view stands in the way", async () => {
  const { shop } = z.object({ shop: z.string() }).parse(await post("/_emulator/samples", {}));
  const answer = exported.parse(await post(`${API}/${shop}/export`, { output_format: "polling" }));
  const dump = await (await fetch(answer.result.result.signed_url)).text();

  const plain = new DatabaseSync(":memory:", { enableForeignKeyConstraints: false });
  expect(() => plain.exec(`BEGIN; ${dump}`)).toThrow("main.new_orders");
  const names = plain.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").all();
  expect(names.length).toBeGreaterThanOrEqual(6);
  for (const { name } of names) {
    const sql = `SELECT * FROM "${String(name)}" ORDER BY 1, 2`;
    const [theirs] = rawResults.parse(await post(`${API}/${shop}/raw`, { sql })).result;
    const ours = plain
      .prepare(sql)
      .all()
      .map((row) => Object.values(row).map((value) => (value instanceof Uint8Array ? [...value] : value)));
    expect(ours, String(name)).toEqual(theirs?.results.rows);
  }
  plain.close();
});
