import { runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { vi } from "vitest";
import { z } from "zod";
import { codecs } from "../../../src/cloudflare/codecs/codecs.ts";
import { manifestText } from "../../../src/core/backup/manifest.ts";
import type { OrphansView, RebuildView } from "../../../src/core/bucket/maintenance.ts";
import { maintenanceJobSchema } from "../../../src/jobs/maintenance/maintenance-job.ts";
import { unsealed } from "../../core/kit/sample-manifest.ts";
import { resetAccount } from "./emulated-account.ts";
import { call } from "./run-driver.ts";

export const care = () => env.BUCKET_MAINTENANCE.getByName("emulated-account");

/** Fires the object's alarm, with the clock moved to when it is due. False when nothing is left to do. */
export async function nextMaintenance(): Promise<boolean> {
  const wakeAt = await runInDurableObject(care(), (_, state) => {
    const job = maintenanceJobSchema.safeParse(state.storage.kv.get("job")).data;
    return job !== undefined && job.finishedAt === null ? job.wakeAt : null;
  });
  if (wakeAt !== null && wakeAt > Date.now()) vi.setSystemTime(wakeAt);
  return runDurableObjectAlarm(care());
}

/** Drives the work on the bucket to its end; returns how many alarms that took. */
export async function driveMaintenance(): Promise<number> {
  for (let alarms = 0; alarms < 400; alarms++) if (!(await nextMaintenance())) return alarms;
  throw new Error("the work on the bucket is still going on after 400 alarms");
}

async function ask(method: string, path: string): Promise<void> {
  const response = await call(path, { method });
  if (response.status !== 202) throw new Error(`${response.status} ${await response.text()}`);
  const { location } = z
    .object({ location: z.string() })
    .parse({ location: response.headers.get("Location") });
  if (location !== path) throw new Error(`it is to be followed at ${location}`);
}

export async function rebuildNow(): Promise<RebuildView> {
  await ask("POST", "/api/catalog/rebuild");
  await driveMaintenance();
  return latestRebuild();
}

export async function latestRebuild(): Promise<RebuildView> {
  const response = await call("/api/catalog/rebuild");
  // the product's own answer
  return ((await response.json()) as { rebuild: RebuildView }).rebuild;
}

export async function orphansNow(method: "POST" | "DELETE"): Promise<OrphansView> {
  await ask(method, "/api/orphans");
  await driveMaintenance();
  return orphansView();
}

export async function orphansView(): Promise<OrphansView> {
  const response = await call("/api/orphans");
  // as above
  return (await response.json()) as OrphansView;
}

/** Gives the object's code another bucket, until it is evicted. */
export async function withBucket(change: (bucket: R2Bucket) => R2Bucket): Promise<void> {
  await runInDurableObject(care(), (instance) => {
    const replaced = Reflect.set(instance, "env", { ...env, BACKUPS: change(env.BACKUPS) });
    if (!replaced) throw new Error("the object keeps its environment");
  });
}

/** A bucket of which one method is another one. */
export function bucketWith<Name extends "list" | "head" | "get">(
  bucket: R2Bucket,
  name: Name,
  method: (real: R2Bucket[Name], ...args: Parameters<R2Bucket[Name]>) => Promise<unknown>,
): R2Bucket {
  return new Proxy(bucket, {
    get(target, member) {
      const real: unknown = Reflect.get(target, member, target);
      if (typeof real !== "function") return real;
      const bound: unknown = real.bind(target);
      if (member !== name) return bound;
      // bound is the bucket's method of this name
      return (...args: Parameters<R2Bucket[Name]>) => method(bound as R2Bucket[Name], ...args);
    },
  });
}

/** As before the first backup: no database in the account, nothing in the bucket and in the catalogue. */
export async function emptyInstallation(): Promise<void> {
  await resetAccount();
  for (const key of await allKeys()) await env.BACKUPS.delete(key);
  await env.CATALOG.exec("DELETE FROM databases; DELETE FROM runs; DELETE FROM backups;");
}

/** The catalogue knows no more of this backup. */
export const forgetRow = (id: string) =>
  env.CATALOG.prepare("DELETE FROM backups WHERE id = ?").bind(id).run();

/** What the bucket holds there; nothing when there is no such object. */
export const textAt = async (key: string): Promise<string> =>
  (await (await env.BACKUPS.get(key))?.text()) ?? "";

/** All keys of the bucket. */
export async function allKeys(): Promise<string[]> {
  const keys: string[] = [];
  for (let cursor: string | undefined; ;) {
    const page = await env.BACKUPS.list(cursor === undefined ? {} : { cursor });
    keys.push(...page.objects.map(({ key }) => key));
    if (!page.truncated) return keys;
    ({ cursor } = page);
  }
}

/** A backup of nothing, as its manifest tells of it. */
export async function putBackup(
  name: string,
  stamp: string,
  more: Partial<typeof unsealed> = {},
): Promise<string> {
  const folder = `d1/${name}/${stamp}/`;
  const text = manifestText(
    {
      ...unsealed,
      backupId: `${name}.${stamp}`,
      database: { ...unsealed.database, id: `id of ${name}`, name },
      files: [],
      ...more,
    },
    codecs(),
  );
  await env.BACKUPS.put(`${folder}RUN.json`, "{}");
  await env.BACKUPS.put(`${folder}manifest.json`, text);
  return text;
}

export async function rows(sql: string): Promise<Record<string, unknown>[]> {
  return (await env.CATALOG.prepare(sql).all()).results;
}

export const backupRows = () => rows("SELECT * FROM backups ORDER BY id");
