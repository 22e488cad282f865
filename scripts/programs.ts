import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

// Programs of others that RESTORE.md's commands call, and the packages that hold them.

export interface Program {
  readonly name: string;
  /** Debian's package. */
  readonly debian: string;
  readonly homebrew: string;
}

export const AGE: Program = { name: "age", debian: "age", homebrew: "age" };
export const AWK: Program = { name: "awk", debian: "mawk", homebrew: "gawk" };
export const CURL: Program = { name: "curl", debian: "curl", homebrew: "curl" };
export const GUNZIP: Program = { name: "gunzip", debian: "gzip", homebrew: "gzip" };
export const JQ: Program = { name: "jq", debian: "jq", homebrew: "jq" };
export const PERL: Program = { name: "perl", debian: "perl-base", homebrew: "perl" };
export const SED: Program = { name: "sed", debian: "sed", homebrew: "gnu-sed" };
export const SHA256SUM: Program = { name: "sha256sum", debian: "coreutils", homebrew: "coreutils" };
export const SQLITE3: Program = { name: "sqlite3", debian: "sqlite3", homebrew: "sqlite" };
export const ZSTD: Program = { name: "zstd", debian: "zstd", homebrew: "zstd" };

/** The folders of PATH, in its order. */
export function foldersOfPath(): string[] {
  return (process.env["PATH"] ?? "").split(delimiter).filter((folder) => folder !== "");
}

/** The first of the folders' programs of this name; null when none has one. */
export function findProgram(name: string, folders: readonly string[]): string | null {
  return folders.map((folder) => join(folder, name)).find(isExecutable) ?? null;
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
