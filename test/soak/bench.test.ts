import { execFile } from "node:child_process";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { outcomeOf, timesAsMuch } from "../../bench/harness/outcome.ts";

const root = resolve(import.meta.dirname, "../..");

it("every benchmark runs to its end and prints ratios", { timeout: 300_000 }, async () => {
  const { code, output } = await runShort();
  expect(output).not.toContain("FAILED");
  expect(output).toMatch(/\nTook \d+ s\.\n$/);
  expect(code).toBe(0);
});

describe("a benchmark", () => {
  it.each<[string, () => Promise<string>, object]>([
    ["that prints a ratio is done", async () => "zstd  0.98 ×", { ok: true, text: "zstd  0.98 ×" }],
    [
      "that throws has failed",
      async () => {
        throw new Error("no bucket");
      },
      { ok: false, why: expect.stringContaining("no bucket") },
    ],
    [
      "that hangs has failed",
      () => new Promise(() => {}),
      { ok: false, why: "it was not done after 0.05 s" },
    ],
    [
      "that prints figures without a ratio has failed",
      async () => "× bare: 12 ms",
      { ok: false, why: expect.stringContaining("no ratio") },
    ],
    [
      "that measured nothing to compare with has failed",
      async () => timesAsMuch(12, 0),
      { ok: false, why: expect.stringContaining("give no ratio") },
    ],
  ])("%s", async (_, measure, outcome) => {
    expect(await outcomeOf(50, measure)).toEqual(outcome);
  });
});

function runShort(): Promise<{ code: number | string | null; output: string }> {
  return new Promise((done) => {
    const args = [join(root, "bench/run.ts"), "--short"];
    execFile(process.execPath, args, { cwd: root }, (error, stdout, stderr) =>
      done({ code: error === null ? 0 : (error.code ?? null), output: stdout + stderr }),
    );
  });
}
