import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { databaseWith, folderOf } from "../kit/retention-driver.ts";
import { call, holdTheClock } from "../kit/run-driver.ts";

beforeEach(() => holdTheClock());
afterEach(() => vi.useRealTimers());

const SCRIPT = "<script>fetch('/api/policy', { method: 'PUT', body: '{}' })</script>";
const AS_A_PAGE = { httpMetadata: { contentType: "text/html", contentDisposition: "inline" } };

/** A backup into whose folder somebody has put pages, over its own files and beside them. */
async function backupWithPages(): Promise<string> {
  const { ids, database } = await databaseWith(0);
  const folder = folderOf(ids[0] ?? "");
  for (const name of ["RESTORE.md", "SHA256SUMS", `${database.name}.0001.sql.gz`, "page.html", "PINNED"])
    await env.BACKUPS.put(folder + name, SCRIPT, AS_A_PAGE);
  return `/api/backups/${ids[0] ?? ""}/files`;
}

describe("a stored object that somebody else has written", () => {
  it("is never shown as a page: its name says what it is, and it is saved", async () => {
    const files = await backupWithPages();
    const shop = /backups\/(.*)\.\w+\/files/.exec(files)?.[1] ?? "";
    const types: [name: string, type: string][] = [
      ["RESTORE.md", "text/markdown; charset=utf-8"],
      ["SHA256SUMS", "text/plain; charset=utf-8"],
      [`${shop}.0001.sql.gz`, "application/gzip"],
      ["manifest.json", "application/json"],
    ];
    for (const [name, type] of types) {
      for (const method of ["GET", "HEAD"]) {
        const response = await call(`${files}/${name}`, { method });
        await response.body?.cancel();
        const { headers } = response;
        expect([name, response.status, headers.get("Content-Type")]).toEqual([name, 200, type]);
        expect(headers.get("Content-Disposition")).toMatch(/^attachment; /);
        expect(headers.get("Content-Security-Policy")).toBe("sandbox; default-src 'none'");
        expect(headers.get("X-Content-Type-Options")).toBe("nosniff");
      }
    }
  });

  it.each(["page.html", "PINNED", "other.json", "a/b"])(
    "is not given out when the manifest does not name it: %s",
    async (name) => {
      const files = await backupWithPages();
      const response = await call(`${files}/${encodeURIComponent(name)}`);
      expect([response.status, await response.json()]).toEqual([
        404,
        expect.objectContaining({ code: "file-not-found" }),
      ]);
    },
  );
});

describe("an object that is too large to be text of ours", () => {
  it("is not read into memory", async () => {
    const { ids } = await databaseWith(0);
    await env.BACKUPS.put(`${folderOf(ids[0] ?? "")}manifest.json`, new Uint8Array(17 * 1024 * 1024));
    const response = await call(`/api/backups/${ids[0] ?? ""}`);
    expect([response.status, await response.json()]).toEqual([
      500,
      expect.objectContaining({
        code: "stored-object-oversized",
        detail: expect.stringContaining("17825792 bytes"),
      }),
    ]);
  });
});
