import { afterAll, beforeAll, expect, test } from "vitest";
import { CrashRig, IN_PARTS, PARTED_DUMP, type Victims } from "../e2e/crash/crash-rig.ts";
import type { SourceDatabase } from "../e2e/crash/emulated-source.ts";
import { takesParts, WholeBackups } from "../e2e/crash/whole-backups.ts";

let rig: CrashRig;
let database: SourceDatabase;
let backups: WholeBackups;

beforeAll(async () => {
  rig = await CrashRig.start(IN_PARTS);
  database = await rig.createSource("shop", PARTED_DUMP);
  backups = new WholeBackups(rig, database);
});

afterAll(() => rig.close());

async function killAt(moment: string, victims: Victims): Promise<string> {
  const standingStill = rig.killSwitch.standStillAt(moment);
  const runId = await rig.requestBackup(database);
  await standingStill;
  await rig.kill(victims);
  await rig.bringBack();
  return runId;
}

test("a run whose Worker and whose API die in the middle of the export ends as if nothing had happened", async () => {
  await backups.expectOneMore(await killAt("saved as exporting (export begun)", "everything"));
});

test("a run that dies with an open volume gives up its upload and copies that volume anew", async () => {
  const standingStill = rig.killSwitch.standStillAt(
    "saved as copying (folder claimed, 1 volumes, upload open)",
  );
  const runId = await rig.requestBackup(database);
  const moment = await standingStill;
  const upload = moment.kind === "saved" ? moment.upload : null;
  if (upload === null) throw new Error("no upload was saved");
  expect(await takesParts(rig, upload)).toEqual({ accepted: true, refusal: null });
  await rig.kill("everything");
  await rig.bringBack();
  await backups.expectOneMore(runId);
  expect(await takesParts(rig, upload)).toMatchObject({ accepted: false });
});

test("a run that dies between its manifest and the record of it commits once", async () => {
  await backups.expectOneMore(await killAt("before saving that manifest.json was written", "everything"));
});
