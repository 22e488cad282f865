import { exports } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { call } from "../worker/kit/run-driver.ts";

describe("who may rebuild", () => {
  it("is an admin; a viewer may look", async () => {
    const viewer = { headers: { Authorization: "Bearer viewer-token-for-tests" } };
    const ask = (method: string): Promise<Response> =>
      exports.default.fetch(new Request("http://worker.test/api/catalog/rebuild", { ...viewer, method }));
    expect((await ask("POST")).status).toBe(403);
    expect((await ask("GET")).status).toBe(200);
  });

  it("is told what is wrong with a body", async () => {
    const response = await call("/api/catalog/rebuild", { method: "POST", body: '{"fast": true}' });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ errors: [{ field: "fast" }] });
  });
});
