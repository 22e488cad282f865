import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { R2Vault } from "../../../src/cloudflare/bucket/vault.ts";

/** The bucket under a lock rule: what is there can neither be written nor deleted, as R2 says it. */
const locked = new R2Vault(
  new Proxy(env.BACKUPS, {
    get(bucket, name: keyof R2Bucket) {
      if (name !== "put" && name !== "delete") return bucket[name].bind(bucket);
      return async (key: string | string[], ...rest: [never, never]) => {
        for (const wanted of [key].flat())
          if ((await bucket.head(wanted)) !== null)
            throw new Error(`${name}: The object is locked by the bucket policy. (10069)`);
        return name === "put" && typeof key === "string" ? bucket.put(key, ...rest) : bucket.delete(key);
      };
    },
  }),
);

describe("a bucket under a lock rule", () => {
  it("tells that a key is taken, so that a step that is repeated finds its own claim", async () => {
    expect(await locked.create("locked/RUN.json", "{}")).toEqual({ ok: true, value: "created" });
    expect(await locked.create("locked/RUN.json", "{}")).toEqual({ ok: true, value: "taken" });
  });

  it("takes the same text twice, and no other one", async () => {
    expect(await locked.put("locked/SHA256SUMS", "sums")).toMatchObject({ ok: true });
    expect(await locked.put("locked/SHA256SUMS", "sums")).toMatchObject({ ok: true });
    expect(await locked.put("locked/SHA256SUMS", "other")).toMatchObject({ ok: false });
    expect(await (await env.BACKUPS.get("locked/SHA256SUMS"))?.text()).toBe("sums");
  });

  it("says that it is a rule that refuses to delete", async () => {
    await locked.put("locked/volume", "rows");
    expect(await locked.remove(["locked/volume"])).toMatchObject({
      ok: false,
      failure: { code: "stored-object-locked", retryable: false },
    });
    expect(await locked.remove(["locked/nothing"])).toMatchObject({ ok: true });
  });
});
