import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { Trouble } from "../trouble.ts";

/** Proves that the other entries of the folder are ours to delete. */
const MARKER = "made-by-npm-start.txt";
const MARKER_TEXT = `npm start of d1-nightly keeps its local state here: the emulated account, the Worker's storage, and the backups that
it fetched from the bucket. \`npm start -- --fresh\` deletes all of that and begins anew.
`;

const ENTRIES = ["emulator", "worker", "backups", "admin-token", "worker.env", "wrangler.log"] as const;

export interface Deleted {
  readonly path: string;
  readonly bytes: number;
}

/** The folder in which `npm start` keeps what it makes. Nothing else in that folder is read or deleted. */
export class LocalState {
  readonly folder: string;
  readonly emulator: string;
  readonly worker: string;
  readonly backups: string;

  constructor(folder: string) {
    this.folder = folder;
    this.emulator = join(folder, "emulator");
    this.worker = join(folder, "worker");
    this.backups = join(folder, "backups");
  }

  /** Throws when files that somebody else made have the names of ours: `--fresh` would delete them one day. */
  requireOurs(): void {
    if (existsSync(this.#path(MARKER))) return;
    const foreign = ENTRIES.filter((entry) => existsSync(this.#path(entry)));
    if (foreign.length === 0) return;
    throw new Trouble(
      `${this.folder} holds ${foreign.join(", ")}, which npm start did not make (${MARKER} is missing). ` +
        "Nothing was changed. Move them away, or choose another folder:\n\n  npm start -- --data DIR",
    );
  }

  /** Makes the folder. May run twice. */
  make(): void {
    mkdirSync(this.folder, { recursive: true });
    writeFileSync(this.#path(MARKER), MARKER_TEXT);
  }

  /** Deletes what `npm start` made here, the marker last, and returns what it deleted. Call requireOurs() first. */
  async delete(): Promise<Deleted[]> {
    const paths = ENTRIES.map((entry) => this.#path(entry)).filter((path) => existsSync(path));
    const deleted = await Promise.all(paths.map(async (path) => ({ path, bytes: await bytesIn(path) })));
    for (const path of [...paths, this.#path(MARKER)]) rmSync(path, { recursive: true, force: true });
    return deleted;
  }

  /** The token of this copy of the project: made once, and readable by nobody else. */
  adminToken(): string {
    const file = this.tokenFile;
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

  get tokenFile(): string {
    return this.#path("admin-token");
  }

  /** The Worker's variables as a file of the same secrecy: a command line can be read by every user. */
  writeVariables(variables: Readonly<Record<string, string>>): string {
    const file = this.#path("worker.env");
    const lines = Object.entries(variables).map(([name, value]) => `${name}="${value}"\n`);
    writeFileSync(file, lines.join(""), { mode: 0o600 });
    return file;
  }

  #path(entry: string): string {
    return join(this.folder, entry);
  }
}

async function bytesIn(path: string): Promise<number> {
  if (!statSync(path).isDirectory()) return statSync(path).size;
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  return files.reduce((sum, file) => sum + statSync(join(file.parentPath, file.name)).size, 0);
}
