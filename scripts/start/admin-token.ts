import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** The token of this copy of the project: made once, and readable by nobody else. */
export function adminToken(data: string): string {
  const file = join(data, "admin-token");
  try {
    const kept = readFileSync(file, "utf8").trim();
    if (/^[0-9a-f]{64}$/.test(kept)) return kept;
  } catch {
    // There is none yet.
  }
  const token = randomBytes(32).toString("hex");
  writeFileSync(file, `${token}\n`, { mode: 0o600 });
  return token;
}

/** The Worker's variables as a file of the same secrecy: a command line can be read by every user. */
export function writeVariables(data: string, variables: Readonly<Record<string, string>>): string {
  const file = join(data, "worker.env");
  const lines = Object.entries(variables).map(([name, value]) => `${name}="${value}"\n`);
  writeFileSync(file, lines.join(""), { mode: 0o600 });
  return file;
}
