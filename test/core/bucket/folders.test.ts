import { describe, expect, it } from "vitest";
import {
  type BucketFolder,
  groupPage,
  isOurs,
  suspicionOf,
  partsOfKey,
  startOfFolder,
  volumesAmong,
} from "../../../src/core/bucket/folders.ts";
import { folderName } from "../../../src/core/bucket/object-keys.ts";
import type { ListedObject } from "../../../src/core/bucket/vault.ts";

const ID = "00000000-0000-4000-8000-00000000000a";
const STAMP = "20261121T030000Z";
const NIGHT = Date.UTC(2026, 10, 21, 3);
const HOUR = 3_600_000;

const object = (key: string, bytes = 1, uploadedAt = NIGHT): ListedObject => ({
  key,
  bytes,
  etag: "e",
  uploadedAt,
});

describe("a key of the bucket", () => {
  it.each([
    [`d1/shop/${STAMP}/RUN.json`, { kind: "folder", folder: `d1/shop/${STAMP}/`, file: "RUN.json" }],
    [`d1/shop/${STAMP}/a/b`, { kind: "folder", folder: `d1/shop/${STAMP}/`, file: "a/b" }],
    [`d1/shop/${STAMP}/`, { kind: "folder", folder: `d1/shop/${STAMP}/`, file: "" }],
    [`d1/_d1-nightly/${ID}.json`, { kind: "record", databaseId: ID }],
    ["d1/_d1-nightly/policy.json", null],
    [`d1/_d1-nightly/${ID}.txt`, null],
    [`d1/_d1-nightly/${STAMP}/RUN.json`, null],
    [`d1/shop/${STAMP}`, null],
    ["d1/shop/20261121T030000/RUN.json", null],
    ["d1/shop/20261321T030000Z/RUN.json", null],
    [`d1//${STAMP}/RUN.json`, null],
    [`d1/../${STAMP}/RUN.json`, null],
    [`d1/a\\b/${STAMP}/RUN.json`, null],
    [`other/shop/${STAMP}/RUN.json`, null],
    ["d1/", null],
  ])("%s is in a place of ours, or not", (key, place) => {
    expect(partsOfKey("d1/", key)).toEqual(place);
  });

  it.each(["shop", "wiki/ä%", ".", "..", "_d1-nightly", "a b\n", "日本"])(
    "has a folder for the name %j",
    (name) => {
      const folder = `${folderName(name)}/${STAMP}/`;
      expect(partsOfKey("", `${folder}x`)).toEqual({ kind: "folder", folder, file: "x" });
      expect(startOfFolder("", folder)).toBe(NIGHT);
    },
  );

  it("is no folder by itself unless it is one of ours", () => {
    for (const folder of ["d1/shop/", `d1/shop/${STAMP}/more/`, `d1/shop/${STAMP}`, `shop/${STAMP}/`])
      expect(startOfFolder("d1/", folder)).toBeNull();
  });
});

describe("a listing", () => {
  const keys = [
    "d1/00readme",
    ...["RUN.json", "manifest.json", "shop.0001.sql"].map((name) => `d1/shop/${STAMP}/${name}`),
    `d1/_d1-nightly/${ID}.json`,
    ...["PINNED", "RUN.json"].map((name) => `d1/wiki/${STAMP}/${name}`),
    "d1/zebra",
  ];
  const objects = keys.map((key, i) => object(key, i + 1, NIGHT + i));
  const folders: BucketFolder[] = [
    {
      folder: `d1/shop/${STAMP}/`,
      objects: 3,
      bytes: 9,
      newestAt: NIGHT + 3,
      manifest: 3,
      claim: 2,
      pinned: false,
      volumes: 1,
      finished: false,
    },
    {
      folder: `d1/wiki/${STAMP}/`,
      objects: 2,
      bytes: 13,
      newestAt: NIGHT + 6,
      manifest: null,
      claim: 7,
      pinned: true,
      volumes: 0,
      finished: false,
    },
  ];

  it.each([1, 2, 3, 5, 100])("gives the same folders in pages of %i", (size) => {
    const found: BucketFolder[] = [];
    const records: string[] = [];
    let open: BucketFolder | null = null;
    for (let from = 0; from < objects.length; from += size) {
      const last = from + size >= objects.length;
      const page = groupPage("d1/", open, objects.slice(from, from + size), last);
      found.push(...page.complete);
      records.push(...page.records.map(({ databaseId }) => databaseId));
      ({ open } = page);
    }
    expect(open).toBeNull();
    expect(found).toEqual(folders);
    expect(records).toEqual([ID]);
  });
});

describe("a folder that was left behind", () => {
  const folder = (more: Partial<BucketFolder> = {}): BucketFolder => ({
    folder: `d1/shop/${STAMP}/`,
    objects: 1,
    bytes: 1,
    newestAt: NIGHT,
    manifest: null,
    claim: 60,
    pinned: false,
    volumes: 1,
    finished: false,
    ...more,
  });

  it.each<[string, Partial<BucketFolder>, number, "orphan" | "damaged" | null]>([
    ["is an orphan when it is a day old", {}, 24 * HOUR + 1, "orphan"],
    ["is left alone when it is not quite a day old", {}, 24 * HOUR, null],
    ["is left alone when it was written to today", { newestAt: NIGHT + 30 * HOUR }, 48 * HOUR, null],
    ["is left alone when it is of the future", { newestAt: 0 }, -HOUR, null],
    ["is neither when it is a backup", { manifest: 1, finished: true }, 99 * HOUR, null],
    ["is no orphan when it was never claimed", { claim: null }, 99 * HOUR, null],
    ["is neither when it is none of ours", { folder: "d1/shop/x/", finished: true }, 99 * HOUR, null],
    ["is damaged when every volume had been read back", { finished: true }, 24 * HOUR + 1, "damaged"],
    ["is damaged without its claim, by its volumes", { finished: true, claim: null }, 99 * HOUR, "damaged"],
    ["is neither with checksums alone", { finished: true, claim: null, volumes: 0 }, 99 * HOUR, null],
    ["is not damaged while its run may work", { finished: true }, 24 * HOUR, null],
  ])("%s", (_, more, age, suspicion) => {
    expect(suspicionOf("d1/", folder(more), NIGHT + age)).toBe(suspicion);
  });

  it("holds what a run writes, and what it does not", () => {
    const ours = ["RUN.json", "SHA256SUMS", "RESTORE.md", "PINNED", "manifest.json"];
    const volumes = ["shop.0001.sql", "shop.0002.sql.gz", "shop.10000.sql.zst.age", "shop.0003.sql.age"];
    const others = [
      "shop.1.sql",
      "shop.sql",
      "wiki.0001.sql",
      "shop.0001.sql.bz2",
      "a/shop.0001.sql",
      "notes",
      "",
    ];
    const at = `d1/shop/${STAMP}/`;
    expect([...ours, ...volumes, ...others].filter((file) => isOurs(at, file))).toEqual([
      ...ours,
      ...volumes,
    ]);
    expect(volumesAmong(at, [...ours, ...volumes, ...others])).toEqual(volumes);
  });
});
