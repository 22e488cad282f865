import { runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { vi } from "vitest";
import { z } from "zod";
import { R2Vault } from "../../../src/cloudflare/bucket/vault.ts";
import { codecs } from "../../../src/cloudflare/codecs/codecs.ts";
import { sha256Of } from "../../../src/core/bucket/codecs.ts";
import { createDatabase, type Fault } from "./emulated-account.ts";
import { advanceDays, backUp, call, keysOf, moveTo, setPolicy } from "./run-driver.ts";

export const DAY_MS = 86_400_000;

export const TABLE = "CREATE TABLE t (a TEXT); INSERT INTO t VALUES ('one'), ('two');";

/** No rule but these. */
export function only(rules: Record<string, number>): { retention: Record<string, number> } {
  const zeros = { keepLast: 0, keepHourly: 0, keepDaily: 0, keepWeekly: 0, keepMonthly: 0, keepYearly: 0 };
  return { retention: { ...zeros, keepWithinDays: 0, ...rules } };
}

export function folderOf(backupId: string | null): string {
  return `d1/${backupId?.replace(/\.(\w+)$/, "/$1") ?? ""}/`;
}

/** `20261121T030000Z` */
export function stampOf(at: number): string {
  return new Date(at).toISOString().replace(/[-:]|\.\d+/g, "");
}

const manifestSchema = z.looseObject({ database: z.looseObject({}) });

/** Lays a copy of a backup into the bucket, as if it had been made at another time; returns its id. */
export async function copyBackup(
  backupId: string | null,
  at: number,
  { databaseId, name, ...changes }: { databaseId?: string; name?: string; [field: string]: unknown } = {},
): Promise<string> {
  const from = folderOf(backupId);
  const id = `${name ?? backupId?.replace(/\.\w+$/, "")}.${stampOf(at)}`;
  for (const { key } of (await env.BACKUPS.list({ prefix: from })).objects) {
    const text = (await (await env.BACKUPS.get(key))?.text()) ?? "";
    const object = key.slice(from.length);
    if (object === "PINNED") continue;
    const stored = object === "manifest.json" ? changedManifest(text) : text;
    await env.BACKUPS.put(folderOf(id) + (name === undefined ? object : renamed(object, name)), stored);
  }
  return id;

  function changedManifest(text: string): string {
    const manifest = manifestSchema.parse(JSON.parse(text));
    const database = { ...manifest.database, ...(databaseId === undefined ? {} : { id: databaseId }) };
    const told = { backupId: id, startedAt: new Date(at).toISOString() };
    const sealedWith = (checksum: string) =>
      JSON.stringify({ ...manifest, ...told, database, checksum, ...changes });
    return sealedWith(sha256Of(sealedWith("0".repeat(64)), codecs()));
  }
}

/** The volumes of a folder bear the database's name. */
function renamed(object: string, name: string): string {
  return object.replace(/^.*(?=\.\d{4}\.sql)/, name);
}

/** The timestamps of a database's folders, oldest first, and whatever else lies below its name. */
export async function foldersOf(databaseName: string): Promise<string[]> {
  return [...new Set((await keysOf(databaseName)).map((key) => key.split("/")[0] ?? ""))];
}

/** Fires the object's alarms that are due within so many milliseconds, with the clocks moved along; returns how many. */
export async function rest(databaseId: string, forMs = 0): Promise<number> {
  const stub = env.DATABASE_BACKUPS.getByName(databaseId);
  const until = Date.now() + forMs;
  for (let alarms = 0; alarms < 200; alarms++) {
    const next = await runInDurableObject(stub, (_, { storage }) => storage.getAlarm());
    if (next === null || next > until) return alarms;
    await moveTo(next);
    await runDurableObjectAlarm(stub);
  }
  throw new Error("the database's object goes on and on");
}

/** R2 as it refuses to delete these keys, in its own words. */
export function lock(locked: (key: string) => boolean): () => void {
  return refuse(locked, "delete: The object is locked by the bucket policy. (10069)");
}

/** R2 as it deletes these keys and answers with an error all the same. Returns what ends that. */
export function deleteUntold(untold: (key: string) => boolean): () => void {
  return refuse(untold, "delete: We encountered an internal error. (10001)", true);
}

/** R2 as it fails to delete these keys, or only says so. Returns what ends that. */
export function refuse(refused: (key: string) => boolean, says: string, deletes = false): () => void {
  const { remove } = R2Vault.prototype;
  const spy = vi.spyOn(R2Vault.prototype, "remove");
  const bucket = new Proxy(env.BACKUPS, {
    get(target, property) {
      if (property !== "delete") return Reflect.get(target, property) as unknown;
      return async (keys: string | string[]): Promise<void> => {
        const fails = [keys].flat().some(refused);
        if (!fails || deletes) await target.delete(keys);
        if (fails) throw new Error(says);
      };
    },
  });
  spy.mockImplementation((keys) => remove.call(new R2Vault(bucket), keys));
  return () => spy.mockRestore();
}

const viewSchema = z.object({
  pinned: z.boolean(),
  deletion: z.object({ state: z.string(), detail: z.string().nullable(), since: z.string() }).nullable(),
});

/** A backup as the API tells it. */
export async function viewOfBackup(backupId: string | null): Promise<z.infer<typeof viewSchema>> {
  return viewSchema.parse(await (await call(`/api/backups/${backupId ?? "none"}`)).json());
}

const listSchema = z.object({ items: z.array(z.object({ id: z.string(), pinned: z.boolean() })) });

/** The backups that the catalogue lists, newest first. */
export async function listed(databaseId: string): Promise<{ id: string; pinned: boolean }[]> {
  return listSchema.parse(await (await call(`/api/backups?database=${databaseId}`)).json()).items;
}

/** The notices of a database, as its object has told them to the catalogue. */
export async function noticesOf(databaseId: string): Promise<{ kind: string; detail: string }[]> {
  const row = await env.CATALOG.prepare("SELECT notices FROM databases WHERE id = ?")
    .bind(databaseId)
    .first();
  const notices = z.object({ notices: z.string() }).parse(row).notices;
  return z.array(z.object({ kind: z.string(), detail: z.string() })).parse(JSON.parse(notices));
}

export interface Kept {
  readonly database: { readonly id: string; readonly name: string };
  /** The ids of its backups, the oldest first; the last one is real, the others are copies of it. */
  readonly ids: string[];
}

/** A database with a backup of now and of so many nights before, of which nothing was pruned so far. */
export async function databaseWith(nightsBefore: number): Promise<Kept> {
  const database = await createDatabase(TABLE);
  await setPolicy(database.id, only({}));
  const { backupId } = await backUp(database);
  await rest(database.id);
  const nights = Array.from({ length: nightsBefore }, (_, index) => nightsBefore - index);
  const ids = await Promise.all(nights.map((night) => copyBackup(backupId, Date.now() - night * DAY_MS)));
  return { database, ids: [...ids, backupId ?? ""] };
}

export const stampsOf = (ids: readonly string[]): string[] => ids.map((id) => id.replace(/^.*\./, ""));

/** The next night's backup, and all that follows it. */
export async function nextNight({ database }: Kept, faults: readonly Fault[] = []): Promise<string> {
  await advanceDays(1);
  const run = await backUp(database, { force: true }, faults);
  await rest(database.id);
  return run.backupId ?? "";
}
