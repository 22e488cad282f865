import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

// Vitest runs this file before all tests: a run has a temporary folder of its own, and must leave it empty. Whatever
// else happens on the machine meanwhile, what is found there in the end was made by this run.

/** Vitest's global set-up. */
export default function setup(): () => void {
  const folder = mkdtempSync(join(tmpdir(), "d1-nightly-tests-"));
  const remove = (): void => rmSync(folder, { recursive: true, force: true, maxRetries: 10 });
  process.once("exit", remove);
  process.once("SIGTERM", () => process.exit(143));
  process.once("SIGHUP", () => process.exit(129));
  process.env["TMPDIR"] = folder;
  // wrangler looks for a newer release before it prints its name, and keeps the answer in the temporary folder.
  process.env["WRANGLER_HIDE_BANNER"] = "true";
  return () => {
    process.off("exit", remove);
    // The runner ends workerd only after this, which removes its files then.
    process.once("exit", () => {
      const left = readdirSync(folder);
      remove();
      if (left.length === 0) return;
      console.error(`The tests have left in the temporary folder: ${left.join(", ")}`);
      process.exitCode = 1;
    });
  };
}
