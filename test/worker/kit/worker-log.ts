import { afterEach, beforeEach, type MockInstance, vi } from "vitest";

// What the Worker logs while a test runs. A test that provokes an error knows of it: it looks at the run that failed, or
// says which events it expects. Everything else that is logged is printed, and all of it when the test fails.

interface Logged {
  readonly event?: unknown;
  readonly runId?: unknown;
}

let spy: MockInstance<typeof console.error>;
let logged: Logged[] = [];
const expected = new Set<string>();
const allowed = new Set<string>();
const lookedAt = new Set<string>();

/** These events are logged while the test runs; it fails when one of them is not. */
export function expectLog(...events: readonly string[]): void {
  for (const event of events) expected.add(event);
}

/** These events may be logged while the test runs: for many tests, of which only some provoke them. */
export function allowLog(...events: readonly string[]): void {
  for (const event of events) allowed.add(event);
}

/** The test knows how this run ended. */
export function lookAtRun(runId: string): void {
  lookedAt.add(runId);
}

/** For each test of a file: Vitest calls this from its set-up. */
export function watchWorkerLog(): void {
  beforeEach(() => {
    logged = [];
    expected.clear();
    allowed.clear();
    lookedAt.clear();
    spy = vi.spyOn(console, "error").mockImplementation((...words: unknown[]) => {
      const [first] = words;
      logged.push(typeof first === "object" && first !== null ? first : { event: words.join(" ") });
    });
  });

  afterEach(({ task }) => {
    spy.mockRestore();
    const known = ({ event, runId }: Logged): boolean => {
      if (typeof event !== "string") return false;
      if (event === "run-failed" && typeof runId === "string" && lookedAt.has(runId)) return true;
      return expected.has(event) || allowed.has(event);
    };
    const failed = task.result?.state === "fail";
    for (const line of logged) if (failed || !known(line)) console.error(line);
    const missing = [...expected].filter((event) => !logged.some((line) => line.event === event));
    if (missing.length > 0) throw new Error(`not logged: ${missing.join(", ")}`);
  });
}
