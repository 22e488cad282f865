import { reset } from "cloudflare:test";
import { beforeEach, describe, expect, it } from "vitest";
import { control, database, dump, emulator, exportedUrl, rows, startExport } from "../kit/client.ts";

beforeEach(reset);

type Samples = Record<"shop" | "blog" | "event-log", string>;

describe("the samples", () => {
  it("are created once and left alone after that", { timeout: 60_000 }, async () => {
    const first = await control<Samples>("POST", "/samples");
    await control(
      "POST",
      `/databases/${first.shop}/sql`,
      "UPDATE customers SET name = 'Changed' WHERE id = 1",
    );
    expect(await control<Samples>("POST", "/samples")).toEqual(first);
    expect(await rows(first.shop, "SELECT name FROM customers WHERE id = 1")).toEqual([["Changed"]]);
    const [log] = await rows(
      first["event-log"],
      "SELECT count(*) > 200000, count(DISTINCT kind) > 5 FROM events",
    );
    expect(log).toEqual([1, 1]);
    expect(
      await rows(first.blog, "SELECT count(*) > 10 FROM post_search WHERE post_search MATCH 'restore'"),
    ).toEqual([[1]]);
    expect((await startExport(first.blog)).result.status).toBe("error");
    const dumps = [await dump(first.shop), await dump(first.shop)];
    expect(dumps[0]).toBe(dumps[1]);
  });

  it("have triggers that work", { timeout: 60_000 }, async () => {
    const { shop, blog } = await control<Samples>("POST", "/samples");
    await control("POST", `/databases/${shop}/sql`, "INSERT INTO new_orders VALUES (1, 'through the view')");
    expect(
      await rows(shop, "SELECT customer_id FROM orders WHERE gift_message = 'through the view'"),
    ).toEqual([[1]]);
    await control("POST", `/databases/${blog}/sql`, "UPDATE posts SET body = 'zeppelin' WHERE id = 3");
    expect(await rows(blog, "SELECT rowid FROM post_search WHERE post_search MATCH 'zeppelin'")).toEqual([
      [3],
    ]);
  });
});

describe("a made-up dump", () => {
  it.each([
    [300, true],
    [5_000_000, true],
    [3_000_000, false],
  ])(
    "of %i bytes (compressible: %s) is valid and always the same",
    { timeout: 60_000 },
    async (bytes, compressible) => {
      const uuid = await database();
      const wish = { bytes, seed: 7, compressible };
      const { size, rows: count } = await control<{ size: number; rows: number }>(
        "POST",
        `/databases/${uuid}/synthetic-dump`,
        wish,
      );
      expect(bytes - size).toBeGreaterThanOrEqual(0);
      expect(bytes - size).toBeLessThan(400);
      const text = await dump(uuid);
      expect(text.length).toBe(size);
      expect(await dump(uuid)).toBe(text);
      const copy = await database(text);
      expect(await rows(copy, "SELECT count(*), count(DISTINCT id) FROM events")).toEqual([[count, count]]);
    },
  );

  it("can be had in parts", async () => {
    const uuid = await database();
    await control("POST", `/databases/${uuid}/synthetic-dump`, { bytes: 4_000_000 });
    const text = await dump(uuid);
    const url = await exportedUrl(uuid);
    for (const [first, last] of [
      [0, 99],
      [50, 200],
      [1_700_000, 3_600_000],
      [3_999_000, 3_999_500],
    ] as const) {
      const part = await emulator(url, { headers: { range: `bytes=${first}-${last}` } });
      expect(await part.text()).toBe(text.slice(first, last + 1));
    }
  });

  it("differs with its seed", async () => {
    const uuid = await database();
    const dumps: string[] = [];
    for (const seed of [1, 2]) {
      await control("POST", `/databases/${uuid}/synthetic-dump`, { bytes: 10_000, seed });
      dumps.push(await dump(uuid));
    }
    expect(dumps[0]).not.toBe(dumps[1]);
  });
});
