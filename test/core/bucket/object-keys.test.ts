import { describe, expect, it } from "vitest";
import {
  backupIdOf,
  databaseOfRun,
  folderName,
  folderOf,
  folderOfBackup,
  runIdOf,
  stampOf,
  volumeName,
} from "../../../src/core/bucket/object-keys.ts";
import fc from "fast-check";

describe("names in the bucket", () => {
  it.each([
    [Date.UTC(2026, 10, 21, 3, 0, 0), "20261121T030000Z"],
    [Date.UTC(2026, 0, 1, 0, 0, 0, 999), "20260101T000000Z"],
    [Date.UTC(2028, 1, 29, 23, 59, 59), "20280229T235959Z"],
  ])("stamps %d as %s", (at, stamp) => {
    expect(stampOf(at)).toBe(stamp);
  });

  it.each([
    ["shop", "shop"],
    ["größe 🚀", "größe 🚀"],
    ["a/b", "a%2Fb"],
    ["a\\b", "a%5Cb"],
    ["100%", "100%25"],
    ["..", "%2e."],
    ["_d1-nightly", "%5fd1-nightly"],
    ["line\nbreak", "line%0Abreak"],
  ])("keeps %j inside its folder", (database, folder) => {
    expect(folderName(database)).toBe(folder);
  });

  it("numbers volumes so that their names sort", () => {
    expect([1, 2, 10, 9999].map((number) => volumeName("shop", number, "gzip", false))).toEqual([
      "shop.0001.sql.gz",
      "shop.0002.sql.gz",
      "shop.0010.sql.gz",
      "shop.9999.sql.gz",
    ]);
    expect(volumeName("shop", 1, "none", false)).toBe("shop.0001.sql");
    expect(volumeName("shop", 1, "zstd", false)).toBe("shop.0001.sql.zst");
    expect(volumeName("shop", 1, "gzip", true)).toBe("shop.0001.sql.gz.age");
  });

  it("finds a backup's folder from its id alone, for any name of a database", () => {
    fc.assert(
      fc.property(
        fc.string({ minLength: 1 }),
        fc.date({ min: new Date(0), max: new Date("9999-12-31"), noInvalidDate: true }),
        (database, date) => {
          const stamp = stampOf(date.getTime());
          expect(folderOfBackup("d1/", backupIdOf(database, stamp))).toBe(folderOf("d1/", database, stamp));
        },
      ),
    );
  });

  it.each(["", "shop", "shop.2026", ".20261121T030000Z", "../x.20261121T030000Z", "a/b.20261121T030000Z"])(
    "refuses %j as a backup's id",
    (id) => {
      expect(folderOfBackup("d1/", id)).toBeNull();
    },
  );

  it("finds a run's database from its id alone", () => {
    const id = "0f3c5a1e-3f43-4b8e-9d5e-1a2b3c4d5e6f";
    for (const random of [0, 0.5, 1 - Number.EPSILON])
      expect(databaseOfRun(runIdOf(id, Date.UTC(2026, 10, 21), random))).toBe(id);
    // As it was written before runs had a random part.
    expect(databaseOfRun(`${id}.mwpqqkby`)).toBe(id);
    for (const other of [
      "",
      "x",
      id,
      `${id}.`,
      `${id}.x.y`,
      `${id}.mwpqqkby-`,
      `${id}.mwpqqkby-x`,
      "../../etc.mwpqqkby",
    ])
      expect(databaseOfRun(other)).toBeNull();
  });
});
