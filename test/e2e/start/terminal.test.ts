import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { Writable } from "node:stream";
import { stripVTControlCharacters } from "node:util";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { needsText, PROGRAMS_TO_CALL } from "../../../scripts/start/terminal/programs.ts";
import { progressDisplay, type Stage } from "../../../scripts/start/terminal/progress.ts";

const copying: Stage = {
  state: "copying",
  step: "copying",
  bytesDone: 12_300_000,
  bytesTotal: 50_300_000,
  message: null,
};

/** A terminal of so many columns, or a file. */
class Written extends Writable {
  readonly isTTY: boolean;
  readonly columns: number;
  text = "";

  constructor(columns: number | null) {
    super({
      write: (chunk, _encoding, done) => {
        this.text += String(chunk);
        done();
      },
    });
    this.isTTY = columns !== null;
    this.columns = columns ?? 80;
  }
}

beforeEach(() => {
  vi.stubEnv("CI", "");
  vi.stubEnv("TERM", "xterm");
});

afterEach(() => {
  vi.unstubAllEnvs();
});

describe("the progress of backups", () => {
  it.each([
    { columns: 80, says: /^ {2}shop +[━─=-]+ +copying +12\.3 of 50\.3 MB of SQL$/m },
    { columns: 52, says: /^ {2}shop +copying +12\.3 of 50\.3 MB of SQL$/m },
    { columns: 200, says: /^ {2}shop +[━─=-]{24} +copying +12\.3 of 50\.3 MB of SQL$/m },
  ])("fits $columns columns and says what its numbers are", ({ columns, says }) => {
    const output = new Written(columns);
    const bars = progressDisplay(
      ["shop", columns === 52 ? "blog" : "a-database-with-a-name-of-many-characters"],
      output,
    );
    bars.show("shop", copying);
    bars.close();
    const lines = stripVTControlCharacters(output.text).split(/[\r\n]+/);
    expect(lines.join("\n")).toMatch(says);
    for (const line of lines) expect(line.length, line).toBeLessThan(columns);
  });

  it("never goes back when a step counts no bytes", () => {
    const output = new Written(80);
    const bars = progressDisplay(["shop"], output);
    bars.show("shop", { ...copying, state: "verifying", step: "verifying", bytesDone: 4, bytesTotal: 4 });
    bars.show("shop", {
      state: "verifying",
      step: "committing",
      bytesDone: null,
      bytesTotal: null,
      message: null,
    });
    bars.close();
    expect(stripVTControlCharacters(output.text)).toMatch(/ [━=]{20}[─-]{4} {2}committing/);
  });

  it.each([
    { where: "a file", columns: null, env: {} },
    { where: "a CI's terminal", columns: 80, env: { CI: "true" } },
    { where: "a terminal that cannot move its cursor", columns: 80, env: { TERM: "dumb" } },
  ])("is one line a step and nothing else in $where", ({ columns, env }) => {
    for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value);
    const output = new Written(columns);
    const lines = progressDisplay(["shop", "event-log"], output);
    for (const bytesDone of [0, 1, 2]) lines.show("shop", { ...copying, bytesDone });
    lines.show("event-log", { ...copying, state: "failed", step: "failed", message: "dump-truncated" });
    lines.close();
    expect(output.text).toBe(
      "  shop       copying       50.3 MB of SQL\n  event-log  failed        dump-truncated\n",
    );
  });
});

describe("the programs that a command needs", () => {
  it("are said to be there, or how to get them", () => {
    const bin = mkdtempSync(join(tmpdir(), "d1-nightly-bin-"));
    try {
      vi.stubEnv("PATH", [join(bin, "none"), bin].join(delimiter));
      expect(needsText(PROGRAMS_TO_CALL).join("\n")).toMatch(/^Needs curl\. curl is not installed\./);
      install(bin, "curl");
      expect(needsText(PROGRAMS_TO_CALL)).toEqual(["Needs curl, which is installed."]);
      install(bin, "apt-get");
      const missing = { name: "sqlite3", debian: "sqlite3", homebrew: "sqlite" };
      vi.stubGlobal("process", { ...process, platform: "linux", env: process.env });
      expect(needsText([...PROGRAMS_TO_CALL, missing])).toEqual([
        "Needs curl and sqlite3. sqlite3 is not installed. Before you continue:",
        "  sudo apt-get install sqlite3",
      ]);
      vi.stubGlobal("process", { ...process, platform: "darwin", env: process.env });
      expect(needsText([missing])[1]).toBe("  brew install sqlite");
    } finally {
      vi.unstubAllGlobals();
      rmSync(bin, { recursive: true, force: true });
    }
  });
});

function install(bin: string, name: string): void {
  writeFileSync(join(bin, name), "");
  chmodSync(join(bin, name), 0o755);
}
