import { reset } from "cloudflare:test";
import { beforeEach, describe, expect, it } from "vitest";
import { control, database, emulator } from "../kit/client.ts";

beforeEach(reset);

describe("control routes", () => {
  it("name the field that is wrong", async () => {
    const response = await emulator("/_emulator/databases", {
      method: "POST",
      body: JSON.stringify({ nam: "x" }),
    });
    expect(response.status).toBe(400);
    const { issues } = await response.json<{ issues: { field: string }[] }>();
    expect(issues.map(({ field }) => field)).toContain("name");
  });

  it("say what SQLite says of a seed and know no other databases", async () => {
    await expect(database("CREATE TABLE")).rejects.toThrow("422");
    await expect(control("GET", "/databases/absent/state")).rejects.toThrow("404");
  });
});
