import { describe, expect, it } from "vitest";
import { checksumsText, readManifest, type Manifest } from "../../src/core/manifest.ts";

const hash = "a".repeat(64);
const volume = {
  name: "shop.0001.sql.gz",
  bytes: 10,
  sha256: hash,
  dumpBytes: 31,
  dumpSha256: hash,
  firstStatement: 1,
  statements: 1,
};
const manifest: Manifest = {
  formatVersion: 1,
  backupId: "shop.20261121T030000Z",
  runId: "r",
  tool: { name: "d1-nightly", version: "0.1.0" },
  database: { id: "d", name: "shop", accountId: "a", fileSize: 4096 },
  atBookmark: "b",
  startedAt: "2026-11-21T03:00:00.000Z",
  finishedAt: "2026-11-21T03:00:09.000Z",
  trigger: "scheduled",
  label: null,
  exportOptions: { noData: false, noSchema: false, tables: [] },
  compression: "gzip",
  encryption: null,
  dump: { bytes: 31, sha256: hash, statements: 1 },
  volumes: [volume],
  tables: [{ name: "t", rows: 0 }],
  notExported: [],
  hazards: [],
  timings: { exportMs: 1, copyMs: 1, verifyMs: 1 },
  previous: null,
};

describe("a manifest is read", () => {
  it("whole", () => {
    expect(readManifest(JSON.stringify(manifest))).toEqual({ kind: "manifest", manifest });
  });

  it("without minding fields that a later release of the same format adds", () => {
    const later = { ...manifest, mood: "good", volumes: [{ ...volume, colour: "blue" }] };
    expect(readManifest(JSON.stringify(later))).toEqual({ kind: "manifest", manifest });
  });

  it("not at all when its format is newer", () => {
    expect(readManifest(JSON.stringify({ ...manifest, formatVersion: 2 }))).toEqual({
      kind: "newer",
      formatVersion: 2,
    });
  });

  it.each<[string, string, string]>([
    ["no JSON", "{", "it is not JSON"],
    ["nothing", "", "it is not JSON"],
    ["no volumes", JSON.stringify({ ...manifest, volumes: [] }), "volumes"],
    [
      "a hash that is none",
      JSON.stringify({ ...manifest, volumes: [{ ...volume, sha256: "x" }] }),
      "volumes.0.sha256",
    ],
  ])("not with %s", (_, text, problem) => {
    expect(readManifest(text)).toMatchObject({ kind: "invalid", problem: expect.stringContaining(problem) });
  });
});

it("SHA256SUMS has the form that sha256sum -c reads", () => {
  expect(checksumsText([volume])).toBe(`${hash}  shop.0001.sql.gz\n`);
});
