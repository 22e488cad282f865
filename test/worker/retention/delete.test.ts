import { runDurableObjectAlarm } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { R2Vault } from "../../../src/cloudflare/bucket/vault.ts";
import { D1Catalog } from "../../../src/cloudflare/catalog/catalog.ts";
import { D1Rest } from "../../../src/cloudflare/d1/d1-rest.ts";
import { createDatabase, runSql } from "../kit/emulated-account.ts";
import {
  copyBackup,
  DAY_MS,
  folderOf,
  listed,
  lock,
  noticesOf,
  only,
  refuse,
  rest,
  TABLE,
  viewOfBackup,
} from "../kit/retention-driver.ts";
import {
  advanceDays,
  backUp,
  call,
  drive,
  holdTheClock,
  isOver,
  keysOf,
  manifestOf,
  setPolicy,
  startBackup,
  viewOf,
} from "../kit/run-driver.ts";
import { allowLog } from "../kit/worker-log.ts";

beforeEach(() => {
  holdTheClock();
  allowLog("deletion-failed", "retention-failed");
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

function remove(backupId: string, headers: Record<string, string> = {}): Promise<Response> {
  return call(`/api/backups/${backupId}`, { method: "DELETE", headers });
}

async function problemOf(response: Response): Promise<unknown> {
  return { status: response.status, ...(await response.json<Record<string, unknown>>()) };
}

interface Made {
  readonly database: { readonly id: string; readonly name: string };
  /** Of two nights. */
  readonly first: string;
  readonly second: string;
}

async function twoBackups(): Promise<Made> {
  const database = await createDatabase(TABLE);
  await setPolicy(database.id, only({}));
  const first = await backUp(database);
  await rest(database.id);
  await advanceDays(1);
  await runSql(database.id, "INSERT INTO t VALUES ('three')");
  const second = await backUp(database);
  await rest(database.id);
  return { database, first: first.backupId ?? "", second: second.backupId ?? "" };
}

const STARTS = { first: "2126-11-21T03:00:00.000Z", second: "2126-11-22T03:00:00.000Z" };

/** What the catalogue says of a database. */
async function rowOf(databaseId: string): Promise<unknown> {
  const sql = "SELECT fresh_at, last_backup_id FROM databases WHERE id = ?";
  return env.CATALOG.prepare(sql).bind(databaseId).first();
}

describe("DELETE /api/backups/:id", () => {
  it("deletes a backup, whole, and its row", async () => {
    const { database, first, second } = await twoBackups();
    const response = await remove(first);
    expect([response.status, await response.text()]).toEqual([204, ""]);
    expect(
      (await keysOf(database.name)).filter((key) => folderOf(first).endsWith(`/${key.slice(0, 17)}`)),
    ).toEqual([]);
    expect((await listed(database.id)).map(({ id }) => id)).toEqual([second]);
    expect(await problemOf(await remove(first))).toMatchObject({ status: 404, code: "backup-not-found" });
    expect(await rowOf(database.id)).toEqual({ fresh_at: STARTS.second, last_backup_id: second });
  });

  it("leaves what others have put into its folder", async () => {
    const { database, first } = await twoBackups();
    await env.BACKUPS.put(`${folderOf(first)}notes.txt`, "mine");
    expect((await remove(first)).status).toBe(204);
    const left = (await keysOf(database.name)).map((key) => `d1/${database.name}/${key}`);
    expect(left.filter((key) => key.startsWith(folderOf(first)))).toEqual([`${folderOf(first)}notes.txt`]);
  });

  it("is for admins", async () => {
    const { database, first } = await twoBackups();
    const viewer = { Authorization: "Bearer viewer-token-for-tests" };
    expect((await remove(first, viewer)).status).toBe(403);
    expect(await listed(database.id)).toHaveLength(2);
  });

  it.each(["none", "shop.20261121T030000Z", "../shop.20261121T030000Z"])(
    "answers 404 for %s, which is no backup",
    async (id) => {
      expect((await remove(encodeURIComponent(id))).status).toBe(404);
    },
  );

  it("makes the newest that is left the latest one, for freshness and for the next run", async () => {
    const { database, first, second } = await twoBackups();
    expect((await remove(second)).status).toBe(204);
    expect(await rowOf(database.id)).toEqual({ fresh_at: STARTS.first, last_backup_id: first });
    await rest(database.id);
    expect(await (await call(`/api/databases/${database.id}`)).json()).toMatchObject({ lastBackupId: first });
    await advanceDays(1);
    // Written to since the first one, so that nothing passes for unchanged.
    const third = await backUp(database, {});
    expect(third).toMatchObject({ state: "complete" });
    expect(await manifestOf(third.backupId)).toMatchObject({ previous: { backupId: first } });
  });

  it("leaves nothing when the only one goes: the next run is a full one without one before it", async () => {
    const database = await createDatabase(TABLE);
    const { backupId } = await backUp(database);
    await rest(database.id);
    expect((await remove(`${backupId ?? ""}?last=true`)).status).toBe(204);
    expect(await keysOf(database.name)).toEqual([]);
    expect(await rowOf(database.id)).toEqual({ fresh_at: null, last_backup_id: null });
    await rest(database.id);
    expect(await (await call(`/api/databases/${database.id}`)).json()).toMatchObject({
      lastBackupId: null,
      unchanged: null,
    });
    const next = await backUp(database, {});
    expect(next).toMatchObject({ state: "complete" });
    expect(await manifestOf(next.backupId)).toMatchObject({ previous: null });
  });

  it("does not make one that is dated later than now the latest", async () => {
    const { database, first, second } = await twoBackups();
    await copyBackup(first, Date.now() + 30 * DAY_MS);
    expect((await remove(second)).status).toBe(204);
    expect(await rowOf(database.id)).toEqual({ fresh_at: STARTS.first, last_backup_id: first });
  });

  it("during a preflight that has just found it to stand: the run does not end as unchanged", async () => {
    const { database, second } = await twoBackups();
    await advanceDays(1 / 24);
    await startBackup(database.id, {});
    await drive(database.id, ({ phase }) => phase.at === "preflight");
    const { bookmark } = D1Rest.prototype;
    const deleted: number[] = [];
    vi.spyOn(D1Rest.prototype, "bookmark").mockImplementation(async function (this: D1Rest, id) {
      if (deleted.length === 0) deleted.push((await remove(second)).status);
      return bookmark.call(this, id);
    });
    const run = await drive(database.id, isOver);
    expect(deleted).toEqual([204]);
    expect(await viewOf(run.id)).toMatchObject({ state: "complete" });
    expect(await rowOf(database.id)).not.toMatchObject({ last_backup_id: second });
  });

  it("while a run copies: the run ends as ever, after the one that is left", async () => {
    const { database, first, second } = await twoBackups();
    await startBackup(database.id);
    await drive(database.id, ({ phase }) => phase.at === "copying");
    expect((await remove(second)).status).toBe(204);
    const run = await drive(database.id, isOver);
    const { backupId } = await viewOf(run.id);
    expect(await manifestOf(backupId)).toMatchObject({ previous: { backupId: first } });
  });

  it("of a pinned one answers 409 with what to do, and deletes nothing", async () => {
    const { database, first } = await twoBackups();
    await env.BACKUPS.put(`${folderOf(first)}PINNED`, "");
    const keys = await keysOf(database.name);
    expect(await problemOf(await remove(first))).toMatchObject({
      status: 409,
      code: "backup-pinned",
      hint: expect.stringContaining(`PUT /api/backups/${first}/pin`),
    });
    expect(await keysOf(database.name)).toEqual(keys);
  });

  it.each<[string, Record<string, unknown>, number, string]>([
    ["of a newer format", { formatVersion: 2 }, 409, "format-newer"],
    ["that cannot be read", { volumes: "none" }, 500, "manifest-invalid"],
    ["that is a copy of another", { backupId: "shop.20261121T030000Z" }, 409, "manifest-conflict"],
  ])("answers why it does not delete one %s", async (_, changes, status, code) => {
    const { database, first } = await twoBackups();
    const strange = await copyBackup(first, Date.now() + DAY_MS, changes);
    const keys = await keysOf(database.name);
    expect(await problemOf(await remove(strange))).toMatchObject({ status, code });
    expect(await keysOf(database.name)).toEqual(keys);
  });

  it("of one that a lock rule protects answers 409 in the bucket's words, for good (failure mode 28)", async () => {
    const { database, first } = await twoBackups();
    const keys = await keysOf(database.name);
    const unlock = lock((key) => key.startsWith(folderOf(first)));
    expect(await problemOf(await remove(first))).toMatchObject({
      status: 409,
      code: "stored-object-locked",
      detail: expect.stringContaining("The object is locked by the bucket policy. (10069)"),
    });
    expect(await viewOfBackup(first)).toMatchObject({ deletion: null });
    unlock();
    // Who asked was told no: it is not done on a later day.
    await rest(database.id, 3 * DAY_MS);
    expect(await keysOf(database.name)).toEqual(keys);
    expect((await remove(first)).status).toBe(204);
  });

  it("of one whose volumes alone are locked answers 202, and is finished on a later day", async () => {
    const { database, first, second } = await twoBackups();
    const unlock = lock((key) => key.startsWith(folderOf(first)) && key.endsWith(".gz"));
    const response = await remove(first);
    expect(await problemOf(response)).toMatchObject({
      status: 202,
      id: first,
      deletion: { state: "refused", detail: expect.stringContaining("locked") },
    });
    expect((await call(`/api/backups/${first}`)).status).toBe(404);
    expect((await listed(database.id)).map(({ id }) => id)).toEqual([second]);
    await rest(database.id);
    expect((await noticesOf(database.id)).map(({ kind }) => kind)).toEqual(["deletion-refused"]);
    unlock();
    await rest(database.id, 2 * DAY_MS);
    expect((await keysOf(database.name)).some((key) => folderOf(first).includes(key.slice(0, 16)))).toBe(
      false,
    );
    expect(await noticesOf(database.id)).toEqual([]);
  });

  it("that fails answers 202, is shown, and goes on by itself (failure mode 8)", async () => {
    const { database, first, second } = await twoBackups();
    const mend = refuse(() => true, "internal error (10001)");
    expect(await problemOf(await remove(first))).toMatchObject({
      status: 202,
      deletion: { state: "pending", detail: expect.stringContaining("internal error") },
    });
    expect(await viewOfBackup(first)).toMatchObject({ deletion: { state: "pending" } });
    mend();
    await rest(database.id, 60_000);
    expect((await call(`/api/backups/${first}`)).status).toBe(404);
    expect((await listed(database.id)).map(({ id }) => id)).toEqual([second]);
  });

  it("does not need the catalogue, which is told when it is back", async () => {
    const { database, first, second } = await twoBackups();
    const failure = { code: "catalog-unavailable", detail: "down", hint: "", retryable: true } as const;
    const down = vi.spyOn(D1Catalog.prototype, "removeBackup").mockResolvedValue({ ok: false, failure });
    expect((await remove(first)).status).toBe(204);
    expect(await listed(database.id)).toHaveLength(2);
    down.mockRestore();
    await rest(database.id, 60_000);
    expect((await listed(database.id)).map(({ id }) => id)).toEqual([second]);
  });

  it("of a backup that the catalogue was never told of leaves no row behind", async () => {
    const database = await createDatabase(TABLE);
    const failure = { code: "catalog-unavailable", detail: "down", hint: "", retryable: true } as const;
    const down = vi.spyOn(D1Catalog.prototype, "saveBackup").mockResolvedValue({ ok: false, failure });
    const { backupId } = await backUp(database);
    expect((await remove(`${backupId ?? ""}?last=true`)).status).toBe(204);
    down.mockRestore();
    await rest(database.id, 60 * 60_000);
    expect(await listed(database.id)).toEqual([]);
  });

  it("says when the bucket does not answer, and deletes nothing", async () => {
    const { database, first } = await twoBackups();
    const keys = await keysOf(database.name);
    const failure = { code: "bucket-unavailable", detail: "down", hint: "", retryable: true } as const;
    vi.spyOn(R2Vault.prototype, "head").mockResolvedValue({ ok: false, failure });
    expect((await remove(first)).status).toBe(503);
    vi.restoreAllMocks();
    await runDurableObjectAlarm(env.DATABASE_BACKUPS.getByName(database.id));
    expect(await keysOf(database.name)).toEqual(keys);
  });
});

describe("a refusal of the bucket", () => {
  it.each<[string, string]>([
    ["delete: The object is locked by the bucket policy. (10069)", "stored-object-locked"],
    ["delete: Object is locked. It is under a retention policy.", "stored-object-locked"],
    ["delete: We encountered an internal error. Please try again. (10001)", "bucket-unavailable"],
    ["delete: internal error: database is locked", "bucket-unavailable"],
  ])("that says %s is %s", async (says, code) => {
    const mend = refuse(() => true, says);
    const removed = await new R2Vault(env.BACKUPS).remove(["d1/shop/20261121T030000Z/manifest.json"]);
    mend();
    expect(removed).toMatchObject({ ok: false, failure: { code, detail: expect.stringContaining(says) } });
  });
});

describe("the last backup of a database", () => {
  it("is deleted only by who says so, and health tells of it at once", async () => {
    const { first, second, database } = await twoBackups();
    expect((await remove(first)).status).toBe(204);
    expect(await problemOf(await remove(second))).toMatchObject({ status: 409, code: "last-backup" });
    expect(await keysOf(database.name)).not.toEqual([]);
    expect((await remove(`${second}?last=true`)).status).toBe(204);
    expect(await keysOf(database.name)).toEqual([]);
    await rest(database.id);
    expect(await noticesOf(database.id)).toMatchObject([{ kind: "no-backup-left" }]);
    await backUp(database, { force: true });
    await rest(database.id);
    expect(await noticesOf(database.id)).toEqual([]);
  });

  it("is left when both that there are are to be deleted at once", async () => {
    const { first, second, database } = await twoBackups();
    const statuses = await Promise.all([remove(first), remove(second)]);
    expect(statuses.map(({ status }) => status).toSorted()).toEqual([204, 409]);
    expect(await keysOf(database.name)).not.toEqual([]);
  });
});
