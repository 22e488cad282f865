import { describe, expect, it } from "vitest";
import { type ListedObject, listFolder, type Vault } from "../../../src/core/bucket/vault.ts";
import { failed, ok } from "../../../src/core/failure.ts";

const object = (key: string): ListedObject => ({ key, bytes: 1, etag: "e", uploadedAt: 0 });
const gone = { code: "bucket-unavailable", detail: "", hint: "", retryable: true } as const;

/** A bucket whose listing has so many pages of two objects each, of which one may fail. */
function bucketOf(pages: number, failing = -1): Pick<Vault, "list"> {
  return {
    async list(prefix, { cursor }) {
      const page = Number(cursor ?? 0);
      if (page === failing) return failed(gone);
      const objects = [0, 1].map((number) => object(`${prefix}${page}.${number}`));
      return ok({ objects, folders: [], cursor: page + 1 < pages ? `${page + 1}` : null });
    },
  };
}

describe("the objects of a folder", () => {
  it.each([1, 2, 11])("are all listed, over %i pages", async (pages) => {
    const listed = await listFolder("d1/shop/20261125T030000Z/", bucketOf(pages));
    const keys = listed.ok ? listed.value.map(({ key }) => key) : [];
    expect(new Set(keys).size).toBe(2 * pages);
    expect(keys.at(-1)).toBe(`d1/shop/20261125T030000Z/${pages - 1}.1`);
  });

  it("are none where a page of them fails: half a listing looks like a folder without its last files", async () => {
    expect(await listFolder("d1/", bucketOf(3, 1))).toEqual(failed(gone));
  });
});
