import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { LocalState } from "../../../scripts/start/local/local-state.ts";

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "d1-nightly-state-"));
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe("the local state of npm start", () => {
  it("is deleted as a whole, with what is told, and without what somebody else put beside it", async () => {
    const state = new LocalState(folder);
    state.make();
    mkdirSync(join(state.emulator, "v3"), { recursive: true });
    writeFileSync(join(state.emulator, "v3", "a.sqlite"), "x".repeat(1_000));
    mkdirSync(state.backups);
    state.adminToken();
    state.writeVariables({ ADMIN_TOKEN: "t" });
    writeFileSync(join(folder, "notes.txt"), "mine");

    state.requireOurs();
    expect(await state.delete()).toEqual([
      { path: state.emulator, bytes: 1_000 },
      { path: state.backups, bytes: 0 },
      { path: join(folder, "admin-token"), bytes: 65 },
      { path: join(folder, "worker.env"), bytes: 'ADMIN_TOKEN="t"\n'.length },
    ]);
    expect(readdirSync(folder)).toEqual(["notes.txt"]);
    expect(await state.delete()).toEqual([]);
  });

  it.each(["backups", "emulator", "worker", "admin-token"])(
    "is not begun where somebody else's %s is",
    (entry) => {
      mkdirSync(join(folder, entry));
      expect(() => new LocalState(folder).requireOurs()).toThrow(
        new RegExp(`holds ${entry}, which npm start did not make[^]*--data DIR`),
      );
    },
  );

  it("keeps its token, which nobody else may read", () => {
    const state = new LocalState(join(folder, "deeper"));
    state.make();
    const token = state.adminToken();
    expect(token).toMatch(/^[0-9a-f]{64}$/);
    expect(new LocalState(state.folder).adminToken()).toBe(token);
    for (const file of [state.tokenFile, state.writeVariables({ ADMIN_TOKEN: token })])
      expect(statSync(file).mode & 0o077).toBe(0);
    expect(existsSync(state.worker)).toBe(false);
  });
});
