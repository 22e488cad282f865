import { env } from "cloudflare:workers";
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import type { VerificationView } from "../../../src/core/backup/verification-view.ts";
import { createDatabase, syntheticDump } from "./emulated-account.ts";
import { backUp, holdTheClock, manifestOf, setPolicy } from "./run-driver.ts";
import { blamedIn, verify } from "./verification-driver.ts";
import { allowLog } from "./worker-log.ts";

const MIB = 1024 * 1024;
const BESIDE = ["RUN.json", "SHA256SUMS", "RESTORE.md"];

interface TwoBackups {
  readonly id: string;
  readonly folder: string;
  readonly volumes: readonly string[];
  /** Of the same database, with files of the same names. */
  readonly otherFolder: string;
}

const folderOf = (backupId: string): string => `d1/${backupId.replace(/\.(\w+)$/, "/$1")}/`;

/** Two backups of one database, each of three volumes, with nothing in common but the names. */
async function twoBackups(compression: string, extension: string): Promise<TwoBackups> {
  const database = await createDatabase("");
  await setPolicy(database.id, { compression });
  await syntheticDump(database.id, 2.5 * MIB, false);
  const { backupId: other } = await backUp(database);
  await syntheticDump(database.id, 2.5 * MIB);
  const { backupId: id } = await backUp(database);
  if (id === null || other === null) throw new Error("a backup failed");
  const volumes = (await manifestOf(id)).volumes.map(({ name }) => name);
  expect(volumes).toEqual(["0001", "0002", "0003"].map((number) => `${database.name}.${number}${extension}`));
  return { id, folder: folderOf(id), volumes, otherFolder: folderOf(other) };
}

/** Everything in the bucket, by key and ETag. */
export async function listing(): Promise<string[]> {
  const { objects } = await env.BACKUPS.list({ prefix: "" });
  return objects.map(({ key, etag, uploaded }) => `${key} ${etag} ${uploaded.getTime()}`);
}

async function bytesOf(key: string): Promise<Uint8Array<ArrayBuffer>> {
  const object = await env.BACKUPS.get(key);
  if (object === null) throw new Error(`${key} is not in the bucket`);
  return new Uint8Array(await object.arrayBuffer());
}

/** Every damage to every object of a backup: each has to be found by name, and nothing else may be blamed. */
export function everyDamageIsFound(compression: string, extension: string): void {
  describe(`in a backup of three volumes (${extension})`, () => {
    let two: TwoBackups;

    beforeAll(async () => {
      holdTheClock();
      two = await twoBackups(compression, extension);
    }, 60_000);
    beforeEach(() => allowLog("backup-damaged"));
    afterAll(() => {
      vi.useRealTimers();
    });

    /** Verifies with the damage done, makes it good again, and requires that nothing in the bucket has moved. */
    async function verifiedWith(
      files: readonly string[],
      damage: (keys: string[]) => Promise<void>,
    ): Promise<VerificationView> {
      const keys = files.map((name) => two.folder + name);
      const contents = await Promise.all(keys.map(bytesOf));
      await damage(keys);
      const before = await listing();
      const verification = await verify(two.id);
      expect(await listing()).toEqual(before);
      await Promise.all(keys.map((key, index) => env.BACKUPS.put(key, contents[index] ?? null)));
      return verification;
    }

    const volume =
      (index: number): (() => string) =>
      () =>
        two.volumes[index] ?? "";
    const objects: [string, () => string][] = [
      ["the first volume", volume(0)],
      ["the second volume", volume(1)],
      ["the last volume", volume(2)],
      ...[...BESIDE, "manifest.json"].map((name): [string, () => string] => [name, () => name]),
    ];
    const put = async (key: string, bytes: Uint8Array): Promise<void> => {
      await env.BACKUPS.put(key, bytes);
    };
    const flip = async (key: string, where: (length: number) => number): Promise<void> => {
      const bytes = await bytesOf(key);
      const at = where(bytes.length);
      bytes[at] = (bytes[at] ?? 0) ^ 1;
      await put(key, bytes);
    };
    const damages: [string, string, (key: string) => Promise<void>][] = [
      ["short of a byte", "resized", async (key) => put(key, (await bytesOf(key)).slice(0, -1))],
      ["emptied", "resized", (key) => put(key, new Uint8Array())],
      ["with its first bit flipped", "altered", (key) => flip(key, () => 0)],
      ["with a bit in the middle flipped", "altered", (key) => flip(key, (length) => length >> 1)],
      ["with its last bit flipped", "altered", (key) => flip(key, (length) => length - 1)],
      ["deleted", "missing", (key) => env.BACKUPS.delete(key)],
      [
        "replaced by the other backup's",
        "(resized|altered)",
        async (key) => put(key, await bytesOf(key.replace(two.folder, two.otherFolder))),
      ],
    ];
    const cases = objects.flatMap(([object, nameOf]) =>
      damages.map(([damage, code, apply]) => ({ object, nameOf, damage, code, apply })),
    );
    // Without its manifest, a folder is no backup: verify.test.ts has that.
    const found = cases.filter(({ object, damage }) => object !== "manifest.json" || damage !== "deleted");

    it.each(found)("$object, $damage, is named", async ({ object, nameOf, code, apply }) => {
      const name = nameOf();
      const verification = await verifiedWith([name], async ([key = ""]) => apply(key));
      expect(verification).toMatchObject({ state: "complete", sound: false, error: null });
      const wanted = object === "manifest.json" ? "(resized|altered)" : code;
      expect(blamedIn(verification)).toEqual({
        [name]: expect.stringMatching(new RegExp(`^stored-object-${wanted}$`)),
      });
      const { files } = verification;
      const known = files.filter((file) => file.sound === true).map((file) => file.name);
      expect(known).toEqual(expect.arrayContaining(two.volumes.filter((other) => other !== name)));
      if (object !== "manifest.json") expect(known).toHaveLength(files.length - 1);
    });

    it("two volumes that have changed slots are both named, and each says whose bytes it holds", async () => {
      const [first = "", second = ""] = two.volumes;
      const verification = await verifiedWith([first, second], async ([a = "", b = ""]) => {
        const [bytesA, bytesB] = [await bytesOf(a), await bytesOf(b)];
        await put(a, bytesB);
        await put(b, bytesA);
      });
      expect(Object.keys(blamedIn(verification))).toEqual([first, second]);
      const details = verification.files.flatMap(({ problem }) => (problem === null ? [] : [problem.detail]));
      expect(details).toEqual([expect.stringContaining(second), expect.stringContaining(first)]);
    });

    it("several damages are all named", async () => {
      const [first = "", , last = ""] = two.volumes;
      const names = ["manifest.json", "RESTORE.md", first, last];
      const verification = await verifiedWith(names, async ([manifest = "", guide = "", a = "", b = ""]) => {
        await put(manifest, new Uint8Array());
        await env.BACKUPS.delete([guide, b]);
        await put(a, (await bytesOf(a)).slice(1));
      });
      expect(Object.keys(blamedIn(verification))).toEqual(names);
    });

    it("nothing is named when nothing is damaged", async () => {
      const verification = await verifiedWith([], async () => undefined);
      expect(verification).toMatchObject({ state: "complete", sound: true, error: null });
      expect(verification.files).toEqual(
        ["manifest.json", ...BESIDE, ...two.volumes].map((name) => ({ name, sound: true, problem: null })),
      );
      const sizes = await Promise.all(
        verification.files.map(async ({ name }) => (await bytesOf(two.folder + name)).length),
      );
      const bytes = sizes.reduce((sum, size) => sum + size, 0);
      expect(verification.progress).toEqual({
        filesDone: 7,
        filesTotal: 7,
        bytesDone: bytes,
        bytesTotal: bytes,
      });
    });
  });
}
