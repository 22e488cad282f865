import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { createDatabase } from "../worker/kit/emulated-account.ts";
import { folderOf, rest, TABLE } from "../worker/kit/retention-driver.ts";
import { backUp, call, holdTheClock, manifestOf } from "../worker/kit/run-driver.ts";
import { verify } from "../worker/kit/verification-driver.ts";

beforeEach(holdTheClock);
afterEach(() => vi.useRealTimers());

it.each([
  ["its object keeps it: byte for byte", true],
  ["nobody keeps it: with less in it", false],
])("an encrypted backup's lost manifest is made anew without the key when %s", async (_, kept) => {
  const database = await createDatabase(TABLE);
  const { backupId } = await backUp(database);
  await rest(database.id);
  const folder = folderOf(backupId);
  const lost = await (await env.BACKUPS.get(`${folder}manifest.json`))?.text();
  const { encryption, dump, volumes } = await manifestOf(backupId);
  await env.BACKUPS.delete(`${folder}manifest.json`);
  if (!kept)
    await runInDurableObject(env.DATABASE_BACKUPS.getByName(database.id), (_object, state) =>
      state.storage.kv.delete(`manifest/${folder}`),
    );
  expect((await call(`/api/backups/${backupId}/repair`, { method: "POST" })).status).toBe(202);
  await rest(database.id, 60_000);
  const repair = await (await call(`/api/backups/${backupId}/repair`)).json();
  expect(repair).toMatchObject({ repair: { state: "complete", proven: kept } });
  expect(await verify(backupId ?? "")).toMatchObject({ state: "complete", sound: true });
  if (kept) {
    expect(await (await env.BACKUPS.get(`${folder}manifest.json`))?.text()).toBe(lost);
    return;
  }
  const [volume] = volumes;
  expect(await manifestOf(backupId)).toMatchObject({
    // Of the last backup, its database's object knows the state; of every one, the catalogue knows the dump's size.
    atBookmark: expect.any(String),
    dump: { bytes: dump.bytes, sha256: null, statements: null },
    encryption: { format: encryption?.format, recipients: null },
    tables: null,
    lean: null,
    volumes: [
      { name: volume?.name, bytes: volume?.bytes, sha256: volume?.sha256, dumpBytes: null, dumpSha256: null },
    ],
  });
  expect((await call(`/api/backups/${backupId}/dump.sql`)).status).toBe(409);
});
