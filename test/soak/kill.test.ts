import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import {
  CrashRig,
  IN_FIVE_VOLUMES,
  IN_PARTS,
  PARTED_DUMP,
  type CrashRigOptions,
} from "../e2e/crash/crash-rig.ts";
import { FIVE_MEBIBYTES_OF_ROWS, type SourceContents } from "../e2e/crash/emulated-source.ts";
import { Killings } from "../e2e/crash/killings.ts";
import { abortUpload, openUpload, takesParts, WholeBackups } from "../e2e/crash/whole-backups.ts";

const MEBIBYTE = 1024 * 1024;
const RANDOM_KILLS = 10;

/** One of them is like the next: the first and the last will do. */
const MIDDLE_VOLUMES = /\.000[2-5]\.sql/;

const seed = Number(process.env["SEED"] ?? Date.now() % 1_000_000);

async function startKillings(options: CrashRigOptions, contents: SourceContents): Promise<Killings> {
  const rig = await CrashRig.start(options);
  const database = await rig.createSource("shop", contents);
  return new Killings(rig, database, new WholeBackups(rig, database));
}

async function endKillings({ rig, recoveries }: Killings): Promise<void> {
  await rig.close();
  console.table(recoveries);
}

describe("a database of five volumes and more", () => {
  let killings: Killings;
  let undisturbed: Awaited<ReturnType<Killings["undisturbed"]>>;

  beforeAll(async () => {
    killings = await startKillings(IN_FIVE_VOLUMES, { sql: FIVE_MEBIBYTES_OF_ROWS });
    undisturbed = await killings.undisturbed();
  });
  afterAll(() => endKillings(killings));

  test("the run that nobody kills passes through at least five volumes", () => {
    expect([...undisturbed.saved]).toContain("saved as copying (folder claimed, 4 volumes)");
    expect([...undisturbed.saved].at(-1)).toBe("saved as complete");
  });

  test("dying right after the request was accepted loses nothing", async () => {
    const runId = await killings.rig.requestBackup(killings.database);
    await killings.killNow("when the request was accepted", "everything", runId);
  });

  test("dying after any save changes nothing", async () => {
    for (const moment of undisturbed.saved) await killings.killAt(moment);
  });

  test("dying between any effect and its save changes nothing", async () => {
    const { moments, saved } = undisturbed;
    const effects = moments.filter((moment) => !saved.has(moment) && !MIDDLE_VOLUMES.test(moment));
    expect(effects).toHaveLength(9);
    for (const moment of effects) await killings.killAt(moment);
  });

  test("the Worker dying alone changes nothing", async () => {
    await killings.killAt("saved as exporting (export begun)", "the Worker");
    await killings.killAt("saved as copying (folder claimed, 2 volumes)", "the Worker");
    await killings.killAt("before saving that manifest.json was written", "the Worker");
  });

  test(`dying at random moments changes nothing (SEED=${seed})`, async () => {
    const random = randomNumbers(seed);
    const { rig, database } = killings;
    // Measured anew: the machine may be faster or slower by now, and a kill after the run's end tells little.
    const typicalMs = (await killings.undisturbed()).ms;
    for (let kill = 1; kill <= RANDOM_KILLS; kill++) {
      const after = Math.round(random() * typicalMs);
      const again = random() < 0.4 ? Math.round(random() * typicalMs) : null;
      const runId = await rig.requestBackup(database);
      await pause(after);
      if (again !== null) {
        await rig.kill("everything");
        await rig.bringBack();
        await pause(again);
      }
      const when = again === null ? `${after} ms` : `${after} ms, and ${again} ms after its return`;
      await killings.killNow(`after ${when}`, "everything", runId);
    }
  });
});

describe("a database whose volumes are small", () => {
  let killings: Killings;

  beforeAll(async () => {
    killings = await startKillings(IN_FIVE_VOLUMES, { sql: FIVE_MEBIBYTES_OF_ROWS });
  });
  afterAll(() => endKillings(killings));

  test("dying three times at the same volume makes the run lean, and later ones begin so", async () => {
    const { rig, database, backups } = killings;
    const moment = "before saving that shop.0003.sql.gz was written";
    let standingStill = rig.killSwitch.standStillAt(moment);
    const runId = await rig.requestBackup(database);
    for (let death = 1; death <= 3; death++) {
      await standingStill;
      await rig.kill("everything");
      if (death < 3) standingStill = rig.killSwitch.standStillAt(moment);
      await rig.bringBack();
    }
    const manifest = await backups.expectOneMore(runId);
    expect(manifest).toMatchObject({ lean: true, compression: "none" });
    expect(manifest.hazards.map(({ kind }) => kind)).toEqual(["copy-cut-off", "not-scanned"]);
    const later = await backups.expectOneMore(await rig.requestBackup(database));
    expect(later.lean).toBe(true);
  });
});

describe("a database whose volumes go through multipart uploads", () => {
  let killings: Killings;
  let moments: string[];

  beforeAll(async () => {
    killings = await startKillings(IN_PARTS, PARTED_DUMP);
    ({ moments } = await killings.undisturbed());
  });
  afterAll(() => endKillings(killings));

  test("a resumed step first aborts the upload whose id was saved", async () => {
    const { rig } = killings;
    const opened = moments.filter((moment) => moment.includes("upload open"));
    expect(opened).toHaveLength(3);
    const bystander = await openUpload(rig, "elsewhere/an upload of somebody else");
    for (const moment of opened) {
      let stale = { key: "", uploadId: "" };
      await killings.killAt(moment, "everything", async (saved) => {
        if (saved.kind !== "saved" || saved.upload === null) throw new Error(`no upload at ${moment}`);
        stale = saved.upload;
        expect(await takesParts(rig, stale)).toEqual({ accepted: true, refusal: null });
      });
      expect(await takesParts(rig, stale)).toMatchObject({ accepted: false });
      expect(await takesParts(rig, bystander), "it is not the crash that ends an upload").toMatchObject({
        accepted: true,
      });
    }
    await abortUpload(rig, bystander);
    expect(await takesParts(rig, bystander)).toMatchObject({ accepted: false });
  });

  test("dying again right after the abort, before it is saved, changes nothing", async () => {
    const { rig, database } = killings;
    const open = rig.killSwitch.standStillAt("saved as copying (folder claimed, 1 volumes, upload open)");
    const runId = await rig.requestBackup(database);
    await open;
    const aborted = rig.killSwitch.standStillAt("before saving that the old upload was aborted");
    await rig.kill("everything");
    await rig.bringBack();
    await aborted;
    await killings.killNow("before saving that the old upload was aborted", "everything", runId);
  });

  test("dying after parts were sent leaves no half object", async () => {
    const { rig, database } = killings;
    await rig.stallNextDownload(database, 14 * MEBIBYTE);
    rig.killSwitch.takeMoments();
    const runId = await rig.requestBackup(database);
    await rig.runUntil(runId, ({ progress }) => (progress.bytesDone ?? 0) > 13 * MEBIBYTE);
    const moment = rig.killSwitch.takeMoments().at(-1);
    if (moment?.kind !== "saved" || moment.upload === null) throw new Error("no upload is open");
    expect(moment).toMatchObject({ at: "copying", volumes: 0 });
    await killings.killNow("with two parts of the first volume sent", "everything", runId);
    expect(await takesParts(rig, moment.upload)).toMatchObject({ accepted: false });
  });
});

describe("requests that a crash cuts off", () => {
  let killings: Killings;

  beforeAll(async () => {
    killings = await startKillings(IN_FIVE_VOLUMES, {
      sql: "CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1);",
    });
  });
  afterAll(() => endKillings(killings));

  test("a request whose answer was lost has made one run or none", async () => {
    const { rig, database, backups } = killings;
    const latest = z.object({ latestRun: z.object({ id: z.string() }).nullable() });
    const latestRun = async (): Promise<string | null> =>
      latest.parse(await rig.json(`/api/databases/${database.id}`)).latestRun?.id ?? null;
    for (const after of [5, 20, 60]) {
      const before = await latestRun();
      const answer = rig.requestBackup(database).catch(() => "no answer");
      await pause(after);
      await rig.kill("everything");
      await answer;
      await rig.bringBack();
      const runId = await latestRun();
      if (runId !== null && runId !== before) await backups.expectOneMore(runId);
    }
    await backups.expectOneMore(await rig.requestBackup(database));
  });

  test("a request for every database is finished for each of them, once", async () => {
    const { rig, database } = killings;
    const other = await rig.createSource("blog", { sql: "CREATE TABLE posts (id INTEGER PRIMARY KEY);" });
    const answer = z.object({ runs: z.array(z.object({ id: z.string(), databaseId: z.string() })) });
    const { runs } = answer.parse(await rig.json("/api/backups", { method: "POST", body: '{"force":true}' }));
    expect(runs.map(({ databaseId }) => databaseId).sort()).toEqual([database.id, other.id].sort());
    await rig.kill("everything");
    await rig.bringBack();
    for (const { id } of runs) expect(await rig.runToItsEnd(id)).toMatchObject({ state: "complete" });
    const listed = z.object({ items: z.array(z.object({ id: z.string(), databaseId: z.string() })) });
    const { items } = listed.parse(await rig.json(`/api/runs?database=${other.id}`));
    expect(items.map(({ id }) => id)).toEqual(
      runs.filter(({ databaseId }) => databaseId === other.id).map(({ id }) => id),
    );
  });
});

/** mulberry32: the same seed gives the same kills. */
function randomNumbers(start: number): () => number {
  let state = start >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
