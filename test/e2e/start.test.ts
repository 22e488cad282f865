import { type ChildProcess, execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { cpSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify, stripVTControlCharacters } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { HttpClient } from "../../scripts/start/round/http-client.ts";
import { readBack, type StoredBackup } from "../../scripts/start/round/read-back.ts";
import { accepts, freePort, groupMembers, startWranglerDev } from "../../scripts/wrangler-dev.ts";
import { manifestSchema, manifestText } from "../../src/core/backup/manifest.ts";
import type { Digest } from "../../src/core/bucket/codecs.ts";
import { askFile } from "./database-contents.ts";
import { toolbox } from "./restore/guide-runner.ts";

const data = mkdtempSync(join(tmpdir(), "d1-nightly-start-"));
const run = promisify(execFile);
const children: ChildProcess[] = [];
let port: number;
let emulatorPort: number;

interface Started {
  readonly process: ChildProcess;
  readonly pid: number;
  readonly output: () => string;
  readonly exit: Promise<number | null>;
}

/** In a process group of its own, as a terminal runs it. */
function start(...options: string[]): Started {
  const places = ["--data", data, "--port", String(port), "--emulator-port", String(emulatorPort)];
  const child = spawn(process.execPath, ["scripts/start.ts", ...places, ...options], {
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  const collect = (chunk: Buffer): void => void (output += chunk.toString());
  child.stdout.on("data", collect);
  child.stderr.on("data", collect);
  const exit = once(child, "close").then(() => child.exitCode);
  children.push(child);
  return { process: child, pid: child.pid ?? 0, output: () => output, exit };
}

async function waitFor(started: Started, text: string): Promise<void> {
  while (!started.output().includes(text)) {
    if (started.process.exitCode !== null) throw new Error(`ended early:\n${started.output()}`);
    await sleep(50);
  }
}

/** The living processes that were started for our folder, or have a file below it open. */
function processesOf(folder: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => [commandOf(pid), ...openFilesOf(pid)].some((text) => text.includes(folder)));
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return "";
  }
}

function openFilesOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).map((descriptor) => linkedFile(`/proc/${pid}/fd/${descriptor}`));
  } catch {
    return [];
  }
}

function linkedFile(link: string): string {
  try {
    return readlinkSync(link);
  } catch {
    return "";
  }
}

async function expectNothingLeft(): Promise<void> {
  expect(processesOf(data)).toEqual([]);
  expect(await accepts(port)).toBe(false);
  expect(await accepts(emulatorPort)).toBe(false);
}

/** The line of the closing table that belongs to a database. */
function lineOf(output: string, database: string): string {
  const table = output.slice(output.indexOf("  database "));
  return table.split("\n").find((line) => line.startsWith(`  ${database} `)) ?? "";
}

function storedFolder(database: string): string {
  const stamps = readdirSync(join(data, "backups", database)).sort();
  return join(data, "backups", database, stamps.at(-1) ?? "");
}

describe("npm start", () => {
  let first: { output: string; exitCode: number | null };

  beforeAll(async () => {
    [port, emulatorPort] = [await freePort(), await freePort()];
    const started = start("--once");
    const exitCode = await started.exit;
    first = { output: started.output(), exitCode };
  });

  afterAll(() => {
    for (const child of children) child.kill("SIGKILL");
    rmSync(data, { recursive: true, force: true });
  });

  it("backs up each database once, leaves the files behind and nothing running", async () => {
    expect(first.exitCode, first.output).toBe(0);
    expect(lineOf(first.output, "shop")).toMatch(/complete +3,\d{3} /);
    expect(lineOf(first.output, "event-log")).toMatch(/complete +210,000 /);
    expect(lineOf(first.output, "blog")).toMatch(/complete +763 /);
    expect(first.output).toContain("  blog: partial\n");
    expect(readdirSync(storedFolder("shop")).sort()).toEqual([
      "RESTORE.md",
      "RUN.json",
      "SHA256SUMS",
      "manifest.json",
      "shop.0001.sql.gz",
    ]);
    await run("sha256sum", ["-c", "SHA256SUMS"], { cwd: storedFolder("event-log") });
    await expectNothingLeft();
  });

  it("writes one line a step and no escape codes where nobody watches", () => {
    expect(stripVTControlCharacters(first.output)).toBe(first.output);
    const steps = first.output.split("\n").filter((line) => line.startsWith("  event-log  "));
    expect(new Set(steps).size).toBe(steps.length);
    expect(steps.join("\n")).toMatch(/ {2}event-log {2}reading back {2}[\d.]+ MB stored$/m);
  });

  it("says what its commands need before it shows them", () => {
    expect(first.output).toMatch(/Needs sha256sum, gunzip, awk and sqlite3[^]*\| sh -e/);
  });

  it("shows neither the token nor a signed address while it works", () => {
    const token = readFileSync(join(data, "admin-token"), "utf8").trim();
    expect(token).toHaveLength(64);
    expect(first.output).not.toContain(token);
    expect(first.output).not.toMatch(/https?:\/\/\S+\?/);
  });

  it("prints a command that makes equal tables with plain sqlite3, and refuses to share its state", async () => {
    const printed = first.output.split("\n").find((line) => line.includes("| sh -e")) ?? "";
    const folder = join(data, "restored");
    cpSync(storedFolder("shop"), folder, { recursive: true });
    await run("sh", ["-c", printed], { cwd: folder, env: { PATH: toolbox(join(data, "tools")) } });
    const restored = askFile(join(folder, "restored.db"));
    const emulator = await startWranglerDev({
      config: "emulator/wrangler.jsonc",
      port: emulatorPort,
      persistTo: join(data, "emulator"),
    });
    try {
      const original = await originalShop(emulator.url);
      const tables = (await original(tablesQuery)).filter((name) => !name.startsWith("_cf_"));
      expect(tables).toEqual(await restored(tablesQuery));
      expect(tables).toContain("order_items");
      for (const table of tables) {
        const columns = await original(`SELECT name FROM pragma_table_xinfo('${table}') ORDER BY cid`);
        const row = columns.map((column) => `quote("${column}")`).join(" || ',' || ");
        const query = `SELECT ${row} FROM "${table}" ORDER BY 1`;
        expect(await restored(query), table).toEqual(await original(query));
      }

      // Somebody kills wrangler only: its workerd goes on serving, with the state folder open.
      const workerds = groupMembers(emulator.pid).filter((pid) => commandOf(pid).includes("/workerd"));
      const others = groupMembers(emulator.pid).filter((pid) => !workerds.includes(pid));
      for (const pid of others) process.kill(pid, "SIGKILL");
      const second = start("--once");
      expect(await second.exit).toBe(1);
      expect(second.output()).toMatch(/still\s+use\s+the\s+state/);
      expect(workerds.length).toBeGreaterThan(0);
      for (const pid of workerds) expect(second.output()).toContain(`pid ${pid}  workerd serve`);
      expect(groupMembers(emulator.pid)).toEqual(workerds);
    } finally {
      await emulator.kill("SIGKILL");
    }
  });

  it("takes no stored file for good that is not what its manifest says", async () => {
    const flip = (bytes: Buffer): Buffer =>
      Buffer.concat([bytes.subarray(0, -9), Buffer.from([1]), bytes.subarray(-8)]);
    const volume = "shop.0001.sql.gz";
    expect((await reading("", (bytes) => bytes)).manifest.database.name).toBe("shop");
    await expect(reading(volume, flip)).rejects.toThrow(`SHA-256 of ${volume}`);
    await expect(reading(volume, (bytes) => bytes.subarray(1))).rejects.toThrow(
      /has \d+ bytes; the manifest says/,
    );
    await expect(reading("SHA256SUMS", flip)).rejects.toThrow("SHA-256 of SHA256SUMS");
    await expect(
      reading("manifest.json", (bytes) =>
        Buffer.from(bytes.toString().replace(/("dumpSha256": *").{8}/, "$1deadbeef")),
      ),
    ).rejects.toThrow("was altered");
    await expect(reading("manifest.json", ofAnotherDump)).rejects.toThrow(/SHA-256 of the dump/);
  });

  it("begins anew with --fresh, and ends both Workers on Ctrl-C", async () => {
    const token = readFileSync(join(data, "admin-token"), "utf8");
    const started = start("--fresh");
    await waitFor(started, "Press Ctrl-C to stop.");
    for (const entry of ["emulator", "worker", "backups", "admin-token"])
      expect(started.output()).toMatch(new RegExp(`^  ${join(data, entry)}  [\\d.]+ [kM]B$`, "m"));
    expect(lineOf(started.output(), "shop")).toMatch(/complete +3,\d{3} /);
    expect(readFileSync(join(data, "admin-token"), "utf8")).not.toBe(token);
    expect(await accepts(port)).toBe(true);
    expect(started.output()).toContain(`http://localhost:${port}`);
    process.kill(-started.pid, "SIGINT");
    expect(await started.exit, started.output()).toBe(0);
    await expectNothingLeft();
  });

  it("takes its Workers with it when it is killed", async () => {
    const started = start();
    await waitFor(started, "✓");
    process.kill(started.pid, "SIGKILL");
    await started.exit;
    for (let waited = 0; waited < 30_000 && processesOf(data).length > 0; waited += 50) await sleep(50);
    await expectNothingLeft();
  });

  it("says what is wrong with an option, and exits 2", async () => {
    const started = start("--twice");
    expect(await started.exit).toBe(2);
    expect(started.output()).toMatch(/--twice[^]*Usage: npm start/);
  });
});

/** Reads the shop's backup from a server that gives out the stored files, one of them spoilt. */
async function reading(spoilt: string, spoil: (bytes: Buffer) => Buffer): Promise<StoredBackup> {
  const folder = storedFolder("shop");
  const server = createServer((request, response) => {
    const name = basename(request.url ?? "");
    if (!request.url?.includes("/files/"))
      return response.end(JSON.stringify({ id: name, databaseName: "shop" }));
    const bytes = readFileSync(join(folder, name));
    return response.end(name === spoilt ? spoil(bytes) : bytes);
  });
  const ownPort = await freePort();
  server.listen(ownPort, "127.0.0.1");
  try {
    const api = new HttpClient(`http://127.0.0.1:${ownPort}`);
    return await readBack(api, `shop.${basename(folder)}`, join(data, "elsewhere"), () => undefined);
  } finally {
    server.close();
  }
}

/** A manifest that is whole and tells of another dump than there is. */
function ofAnotherDump(manifest: Buffer): Buffer {
  const { checksum: _, ...told } = manifestSchema.parse(JSON.parse(manifest.toString()));
  const volumes = told.volumes.map((volume) => ({ ...volume, dumpSha256: "0".repeat(64) }));
  const digest = (): Digest => {
    const hash = createHash("sha256");
    return { update: (bytes) => void hash.update(bytes), hex: () => hash.digest("hex") };
  };
  return Buffer.from(manifestText({ ...told, volumes }, { digest }));
}

const tablesQuery = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name";

/** Queries the shop where it was exported from: the emulator's own database. Gives the first column. */
async function originalShop(emulator: string): Promise<(query: string) => Promise<string[]>> {
  const samples = await fetch(`${emulator}/_emulator/samples`, { method: "POST" });
  const { shop } = z.object({ shop: z.string() }).parse(await samples.json());
  const answer = z.object({
    result: z.array(z.object({ results: z.object({ rows: z.array(z.array(z.string())) }) })),
  });
  return async (sql) => {
    const url = `${emulator}/client/v4/accounts/emulated-account/d1/database/${shop}/raw`;
    const headers = { Authorization: "Bearer emulated-token", "Content-Type": "application/json" };
    const response = await fetch(url, { method: "POST", headers, body: JSON.stringify({ sql }) });
    const { result } = answer.parse(await response.json());
    return (result[0]?.results.rows ?? []).map(([first]) => first ?? "");
  };
}
