import type { Manifest } from "../../../src/core/backup/manifest.ts";
import {
  AGE,
  AWK,
  CURL,
  findProgram,
  foldersOfPath,
  GUNZIP,
  type Program,
  SHA256SUM,
  SQLITE3,
  ZSTD,
} from "../../programs.ts";

const DECOMPRESSORS = {
  gzip: [GUNZIP],
  zstd: [ZSTD],
  none: [],
} as const satisfies Record<Manifest["compression"], readonly Program[]>;

/** The programs that a backup's RESTORE.md calls. */
export function programsToRestore({ encryption, compression }: Manifest): readonly Program[] {
  return [SHA256SUM, ...(encryption === null ? [] : [AGE]), ...DECOMPRESSORS[compression], AWK, SQLITE3];
}

export const PROGRAMS_TO_CALL: readonly Program[] = [CURL];

/** Says which programs are missing and how to install them; one line if all are installed. */
export function needsText(programs: readonly Program[]): string[] {
  const names = joined(programs.map(({ name }) => name));
  const missing = programs.filter(({ name }) => !isOnPath(name));
  if (missing.length === 0)
    return [`Needs ${names}, which ${programs.length === 1 ? "is" : "are"} installed.`];
  const first = missing.length === 1 ? "is not installed" : "are not installed";
  return [
    `Needs ${names}. ${joined(missing.map(({ name }) => name))} ${first}. Before you continue:`,
    ...installation(missing).map((line) => `  ${line}`),
  ];
}

/** How to install the programs on this machine, or on Debian if this system is unknown. */
function installation(missing: readonly Program[]): string[] {
  const debian = `sudo apt-get install ${missing.map((program) => program.debian).join(" ")}`;
  const homebrew = `brew install ${missing.map((program) => program.homebrew).join(" ")}`;
  if (process.platform === "darwin") return [homebrew];
  if (isOnPath("apt-get")) return [debian];
  const packages = joined(missing.map((program) => program.debian));
  return [`Install ${packages} with your system's package manager; on Debian`, `that is ${debian}`];
}

function isOnPath(name: string): boolean {
  return findProgram(name, foldersOfPath()) !== null;
}

function joined(words: readonly string[]): string {
  const last = words.at(-1) ?? "";
  return words.length < 2 ? last : `${words.slice(0, -1).join(", ")} and ${last}`;
}
