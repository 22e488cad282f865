import type { Manifest, UnsealedManifest } from "../../../src/core/backup/manifest.ts";

export const HASH = "a".repeat(64);

export const volume = {
  name: "shop.0001.sql.gz",
  bytes: 10,
  sha256: HASH,
  dumpBytes: 31,
  dumpSha256: HASH,
  firstStatement: 1,
  statements: 1,
};

export const unsealed: UnsealedManifest = {
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
  lean: false,
  encryption: null,
  dump: { bytes: 31, sha256: HASH, statements: 1 },
  volumes: [volume],
  tables: [{ name: "t", rows: 0 }],
  notExported: [],
  loading: null,
  hazards: [],
  sections: [{ kind: "tables", offset: 0, bytes: 31 }],
  missingSemicolons: [],
  examined: null,
  timings: { exportMs: 1, copyMs: 1, verifyMs: 1 },
  previous: null,
};

export const manifest: Manifest = { ...unsealed, files: [], checksum: HASH };
