import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import type { Manifest } from "../../../src/core/backup/manifest.ts";

/** A program that a printed command calls, and the package that holds it. */
interface Program {
  readonly name: string;
  readonly debian: string;
  readonly homebrew: string;
}

const CURL: Program = { name: "curl", debian: "curl", homebrew: "curl" };
const SHA256SUM: Program = { name: "sha256sum", debian: "coreutils", homebrew: "coreutils" };
const SQLITE3: Program = { name: "sqlite3", debian: "sqlite3", homebrew: "sqlite" };
const AWK: Program = { name: "awk", debian: "mawk", homebrew: "gawk" };
const AGE: Program = { name: "age", debian: "age", homebrew: "age" };
const DECOMPRESSORS = {
  gzip: [{ name: "gunzip", debian: "gzip", homebrew: "gzip" }],
  zstd: [{ name: "zstd", debian: "zstd", homebrew: "zstd" }],
  none: [],
} as const satisfies Record<Manifest["compression"], readonly Program[]>;

/** What the commands of a backup's RESTORE.md call. */
export function programsToRestore({ encryption, compression }: Manifest): readonly Program[] {
  return [SHA256SUM, ...(encryption === null ? [] : [AGE]), ...DECOMPRESSORS[compression], AWK, SQLITE3];
}

export const PROGRAMS_TO_CALL: readonly Program[] = [CURL];

/** Lines that say which of the programs are missing and how to get them; one line when all are there. */
export function needsText(programs: readonly Program[]): string[] {
  const names = joined(programs.map(({ name }) => name));
  const missing = programs.filter(({ name }) => !isOnPath(name));
  if (missing.length === 0)
    return [`Needs ${names}, which ${programs.length === 1 ? "is" : "are"} installed.`];
  const first = missing.length === 1 ? "is not installed" : "are not installed";
  return [
    `Needs ${names}. ${joined(missing.map(({ name }) => name))} ${first}. Before you go on:`,
    ...installation(missing).map((line) => `  ${line}`),
  ];
}

/** How to get the programs on this machine, or on the usual ones where this machine is of another kind. */
function installation(missing: readonly Program[]): string[] {
  const debian = `sudo apt-get install ${missing.map((program) => program.debian).join(" ")}`;
  const homebrew = `brew install ${missing.map((program) => program.homebrew).join(" ")}`;
  if (process.platform === "darwin") return [homebrew];
  if (isOnPath("apt-get")) return [debian];
  const packages = joined(missing.map((program) => program.debian));
  return [`Install ${packages} with your system's package manager; on Debian`, `that is ${debian}`];
}

function isOnPath(name: string): boolean {
  return (process.env["PATH"] ?? "").split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, name), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

function joined(words: readonly string[]): string {
  const last = words.at(-1) ?? "";
  return words.length < 2 ? last : `${words.slice(0, -1).join(", ")} and ${last}`;
}
