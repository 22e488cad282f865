import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { Trouble } from "../trouble.ts";

/** Proves that the other entries of the folder are ours to delete. */
const MARKER = "made-by-npm-start.txt";
const MARKER_TEXT = `npm start of d1-nightly keeps its local state here: the emulated account, the Worker's storage, and the backups that
it downloaded from the bucket. \`npm start -- --fresh\` deletes all of it and starts over.
`;

const ENTRIES = ["emulator", "worker", "backups", "admin-token", "worker.env", "wrangler.log"] as const;

export interface Deleted {
  readonly path: string;
  readonly bytes: number;
}

/** The folder with the files of `npm start`. Nothing else in that folder is read or deleted. */
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

  /** Throws if files of somebody else have the names of ours, because `--fresh` would delete them one day. */
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

  /** The token of this copy of the project: created once, and readable only by this user. */
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

  /** Writes the Worker's variables to a file that only this user can read: every user can read a command line. */
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
