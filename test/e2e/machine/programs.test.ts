import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { AGE, GUNZIP, SQLITE3, ZSTD } from "../../../scripts/programs.ts";
import { type Machine, pathOf, whatToInstall } from "../../kit/programs.ts";

/** A machine with these programs, on which packages bring these others, and what it was asked to install. */
function machineWith(
  programs: readonly string[],
  brings: readonly string[],
  obstacle: string | null = null,
): Machine & { readonly asked: (readonly string[])[] } {
  const there = new Set(programs);
  const asked: (readonly string[])[] = [];
  return {
    asked,
    has: (program) => there.has(program),
    install(packages) {
      asked.push(packages);
      for (const program of brings) there.add(program);
      return obstacle;
    },
  };
}

const PROGRAMS = [AGE, GUNZIP, SQLITE3, ZSTD];

describe("the programs that tests call", () => {
  it("are left alone where all of them are there", () => {
    const machine = machineWith(["age", "gunzip", "sqlite3", "zstd"], []);
    expect(whatToInstall(machine, PROGRAMS)).toBeNull();
    expect(machine.asked).toEqual([]);
  });

  it("are installed by the names of Debian's packages where one is missing", () => {
    const machine = machineWith(["age", "zstd"], ["gunzip", "sqlite3"]);
    expect(whatToInstall(machine, PROGRAMS)).toBeNull();
    expect(machine.asked).toEqual([["gzip", "sqlite3"]]);
  });

  it("are named in one line, for each system, where they cannot be installed", () => {
    const machine = machineWith(["gunzip"], ["zstd"], "only root may install them");
    expect(whatToInstall(machine, PROGRAMS)).toBe(
      "The tests need age, sqlite3 (only root may install them). Debian, Ubuntu: `sudo apt-get install age sqlite3`. macOS: `brew install age sqlite`. Elsewhere: the packages that hold these programs.",
    );
  });
});

describe("a program's path", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "d1-nightly-programs-"));
    vi.stubEnv("PATH", folder);
  });
  afterEach(() => {
    vi.unstubAllEnvs();
    rmSync(folder, { recursive: true });
  });

  it("is the one in PATH, before those in the usual folders", () => {
    expect(pathOf("sed")).toMatch(/^\/.*\/sed$/);
    writeFileSync(join(folder, "sed"), "");
    expect(pathOf("sed")).not.toBe(join(folder, "sed"));
    chmodSync(join(folder, "sed"), 0o755);
    expect(pathOf("sed")).toBe(join(folder, "sed"));
  });

  it("is asked for in vain when it is not installed", () => {
    expect(() => pathOf("no-such-program")).toThrow("no-such-program is not installed");
  });
});
