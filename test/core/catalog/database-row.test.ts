import { describe, expect, it } from "vitest";
import { afterPolicySet, type DatabaseRow, databaseRow } from "../../../src/core/catalog/database-row.ts";
import { cutOffHazard } from "../../../src/core/run/cut-off.ts";
import { newRun, type Run } from "../../../src/core/run/run.ts";
import { fail } from "../../../src/core/run/transitions.ts";

const startedAt = Date.parse("2026-11-21T03:00:00.500Z");
const now = startedAt + 60_000;
const moment = (at: number): string => new Date(at).toISOString();

const request = {
  trigger: "scheduled",
  label: null,
  pinned: false,
  force: false,
  examine: false,
  key: null,
} as const;
const begun: Run = {
  ...newRun("r", { id: "d", name: "shop", accountId: "a" }, request, startedAt - 1_000),
  startedAt,
};
const over = { ...begun, finishedAt: now };
const complete: Run = { ...over, phase: { at: "complete", backupId: "shop.20261121T030000Z" } };
const unchanged: Run = { ...over, phase: { at: "unchanged", backupId: "shop.20261120T030000Z" } };
const broken = fail(begun, { code: "virtual-tables", detail: "", hint: "", retryable: false }, now);
const ended = { kind: "encryption-ended", table: null, count: null, detail: "no longer" } as const;
const rounded = { kind: "rounded", table: "t", count: 1, detail: "rounded" } as const;

const before: DatabaseRow = {
  id: "d",
  name: "store",
  freshAt: "2026-11-20T03:00:00.000Z",
  lastBackupId: "store.20261120T030000Z",
  lastRunState: "complete",
  lastRunError: null,
  notices: [{ kind: "encryption-ended", detail: "since yesterday" }],
  writtenAt: "2026-11-20T03:01:00.000Z",
};
const nothing = { before: null, lastBackupId: null, unchangedOff: null };
const known = { ...nothing, before, lastBackupId: before.lastBackupId };

describe("the row of a database", () => {
  it("is fresh as of the start of a complete run, and has its name", () => {
    expect(databaseRow(complete, { ...nothing, lastBackupId: "shop.20261121T030000Z" }, now)).toEqual({
      id: "d",
      name: "shop",
      freshAt: moment(startedAt),
      lastBackupId: "shop.20261121T030000Z",
      lastRunState: "complete",
      lastRunError: null,
      notices: [],
      writtenAt: moment(now),
    });
  });

  it("is fresh as of the check that found nothing written", () => {
    const row = databaseRow(unchanged, known, now);
    expect(row).toMatchObject({
      freshAt: moment(now),
      lastBackupId: "shop.20261120T030000Z",
      lastRunState: "unchanged",
    });
  });

  it.each<[string, Parameters<typeof databaseRow>[1], string | null, string | null]>([
    ["as of the backup before", known, before.freshAt, before.lastBackupId],
    ["as of no backup, when there is none", nothing, null, null],
    [
      "as of the backup that an older release has made",
      { ...nothing, lastBackupId: "a.b.20261120T235959Z" },
      "2026-11-20T23:59:59.000Z",
      "a.b.20261120T235959Z",
    ],
  ])("of a failed run is fresh %s", (_, earlier, freshAt, lastBackupId) => {
    const row = databaseRow(broken, earlier, now);
    expect(row).toMatchObject({
      freshAt,
      lastBackupId,
      lastRunState: "failed",
      lastRunError: "virtual-tables",
    });
  });

  it("tells the hazards of its last backup that have to do with the whole, until the next backup", () => {
    const hazards = [cutOffHazard(null), rounded, ended];
    const told = databaseRow({ ...complete, hazards }, nothing, now);
    expect(told.notices).toEqual([
      { kind: "copy-cut-off", detail: hazards[0]?.detail },
      { kind: "encryption-ended", detail: "no longer" },
    ]);
    for (const later of [unchanged, broken]) {
      expect(databaseRow(later, { ...nothing, before: told }, now).notices).toEqual(told.notices);
    }
    expect(databaseRow(complete, { ...nothing, before: told }, now).notices).toEqual([]);
  });

  it.each([
    ["complete", complete],
    ["unchanged", unchanged],
    ["failed", broken],
  ])("tells once that bookmarks are not compared, when a run ends as %s", (_, run) => {
    const off = { kind: "unchanged-off", detail: "another dump" };
    const row = databaseRow(run, { ...nothing, unchangedOff: "another dump" }, now);
    expect(row.notices).toEqual([off]);
    expect(databaseRow(run, { ...nothing, before: row, unchangedOff: "another dump" }, now).notices).toEqual([
      off,
    ]);
    expect(databaseRow(run, { ...nothing, before: row }, now).notices).toEqual([]);
  });

  it.each(["unchanged-off", "copy-cut-off"])(
    "tells %s no longer once its policy was set, and loses nothing else",
    (kind) => {
      const row = { ...before, notices: [...before.notices, { kind, detail: "x" }] };
      expect(afterPolicySet(row, now)).toEqual({ ...before, writtenAt: moment(now) });
    },
  );
});

it("a cancelled run leaves the row as it was: nobody has mended what made the one before it fail", () => {
  const cancelled: Run = { ...over, phase: { at: "cancelled", during: "copying", exporting: false } };
  const failing = { ...before, lastRunState: "failed", lastRunError: "export-lost" } as const;
  expect(databaseRow(cancelled, { ...known, before: failing }, now)).toMatchObject({
    freshAt: before.freshAt,
    lastBackupId: before.lastBackupId,
    lastRunState: "failed",
    lastRunError: "export-lost",
  });
  expect(databaseRow(cancelled, nothing, now)).toMatchObject({ freshAt: null, lastRunState: "cancelled" });
});
