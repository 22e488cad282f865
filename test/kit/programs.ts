import { spawnSync } from "node:child_process";
import {
  AGE,
  AWK,
  CURL,
  findProgram,
  foldersOfPath,
  GUNZIP,
  JQ,
  PERL,
  type Program,
  SED,
  SHA256SUM,
  SQLITE3,
  ZSTD,
} from "../../scripts/programs.ts";

// RESTORE.md's commands call programs of others, and tests run them as they are. `npm test` and `npm run soak` run this
// file first, so that what is missing is said at once; Vitest runs it before such tests, whoever has started it.

/** Besides sh and what coreutils hold. */
const PROGRAMS: readonly Program[] = [AGE, AWK, CURL, GUNZIP, JQ, PERL, SED, SHA256SUM, SQLITE3, ZSTD];

/** Where systems put programs, whatever the PATH of whoever calls us says. */
const USUAL_FOLDERS = ["/usr/local/bin", "/usr/bin", "/bin", "/sbin", "/opt/homebrew/bin", "/opt/local/bin"];
/** apt-get finds dpkg by it. */
const PATH_OF_ROOT = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** The machine that the tests run on. */
export interface Machine {
  has(program: string): boolean;
  /** Installs packages of Debian; returns why they were not installed, or null. */
  install(packages: readonly string[]): string | null;
}

/** Installs what is missing where that can be done unasked; else returns one line that says what to install. */
export function whatToInstall(machine: Machine, programs: readonly Program[] = PROGRAMS): string | null {
  const missing = (): readonly Program[] => programs.filter(({ name }) => !machine.has(name));
  const before = missing();
  if (before.length === 0) return null;
  const obstacle = machine.install(before.map(({ debian }) => debian));
  const still = missing();
  if (still.length === 0) return null;
  const list = (words: readonly string[]): string => words.join(" ");
  return (
    `The tests need ${still.map(({ name }) => name).join(", ")}${obstacle === null ? "" : ` (${obstacle})`}. ` +
    `Debian, Ubuntu: \`sudo apt-get install ${list(still.map(({ debian }) => debian))}\`. ` +
    `macOS: \`brew install ${list(still.map(({ homebrew }) => homebrew))}\`. ` +
    "Elsewhere: the packages that hold these programs."
  );
}

/** The program's path. Throws when it is not installed. */
export function pathOf(program: string): string {
  const found = find(program);
  if (found === null) throw new Error(`${program} is not installed`);
  return found;
}

function find(program: string): string | null {
  return findProgram(program, [...foldersOfPath(), ...USUAL_FOLDERS]);
}

const thisMachine: Machine = {
  has: (program) => find(program) !== null,
  install(packages) {
    const apt = find("apt-get");
    if (apt === null) return "there is no apt-get to install them with";
    const asRoot = commandOfRoot();
    if (asRoot === null) return "only root may install them";
    console.log(`Installing ${packages.join(", ")} …`);
    const environment = ["env", `PATH=${PATH_OF_ROOT}`, "DEBIAN_FRONTEND=noninteractive"];
    for (const words of [["update"], ["install", "-y", "--no-install-recommends", ...packages]]) {
      const quietly = ["-qq", "-o", "DPkg::Lock::Timeout=120"];
      const [command = "", ...args] = [...asRoot, ...environment, apt, ...quietly, ...words];
      const ran = spawnSync(command, args, { encoding: "utf8", stdio: ["ignore", "ignore", "pipe"] });
      if (ran.status !== 0) return `apt-get ${words[0]}: ${ran.stderr.trim().split("\n", 1).join("")}`;
    }
    return null;
  },
};

/** What runs a command as root; null where that would have to be asked for. Only CI uses sudo unasked. */
function commandOfRoot(): string[] | null {
  if (process.getuid?.() === 0) return [];
  const sudo = find("sudo");
  if (sudo === null || process.env["CI"] === undefined) return null;
  return spawnSync(sudo, ["-n", "true"], { stdio: "ignore" }).status === 0 ? [sudo, "-n"] : null;
}

/** Vitest's global set-up. */
export default function setup(): void {
  const line = whatToInstall(thisMachine);
  if (line === null) return;
  console.error(line);
  process.exit(1);
}

if (import.meta.main) setup();
