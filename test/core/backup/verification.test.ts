import { describe, expect, it } from "vitest";
import { codecs } from "../../../src/cloudflare/codecs/codecs.ts";
import { checksumsText, readChecksums } from "../../../src/core/backup/checksums.ts";
import { manifestText, type Volume } from "../../../src/core/backup/manifest.ts";
import {
  checksBy,
  checksWithout,
  type FileCheck,
  checkFile,
  checkManifest,
  type ManifestFinding,
  soundness,
  type StoredFile,
} from "../../../src/core/backup/verification.ts";
import { unsealed, volume } from "../kit/sample-manifest.ts";

const hasher = codecs();
const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);
const hash = (bytes: Uint8Array): string => {
  const digest = hasher.digest();
  digest.update(bytes);
  return digest.hex();
};

/** As the bucket gives it. */
function stored(content: string | Uint8Array): StoredFile {
  const bytes = typeof content === "string" ? bytesOf(content) : content;
  return {
    bytes: bytes.length,
    sha256: hash(bytes),
    opening: bytes.slice(0, 64),
    text: new TextDecoder().decode(bytes),
  };
}

const ID = unsealed.backupId;
const DATABASE = "00000000-0000-4000-8000-00000000000a";
const RUN = `${DATABASE}.mgzzzzzz`;
const claim = (runId: string, databaseId = DATABASE): string => `${JSON.stringify({ runId, databaseId })}\n`;
const written = (name: string, content: string) => ({
  name,
  bytes: bytesOf(content).length,
  sha256: hash(bytesOf(content)),
});
const volumeOf = (name: string, content: string): Volume => ({ ...volume, ...written(name, content) });

/** A backup in two volumes; `extension` is that of an encrypted one, or not. */
function backup(extension = ".sql.gz", contents = ["first volume", "second one"], runId = RUN) {
  const volumes = contents.map((content, index) => volumeOf(`shop.000${index + 1}${extension}`, content));
  const beside = {
    "RUN.json": claim(runId),
    SHA256SUMS: checksumsText(volumes),
    "RESTORE.md": "# Restore shop\n",
  };
  const encryption = extension.endsWith(".age") ? { format: "age-encryption.org/v1", recipients: [] } : null;
  const files = Object.entries(beside).map(([name, content]) => written(name, content));
  const database = { ...unsealed.database, id: DATABASE };
  const manifest = { ...unsealed, runId, database, label: "für \uFFFD", volumes, encryption, files };
  const objects: Record<string, string | Uint8Array> = {
    ...beside,
    ...Object.fromEntries(volumes.map(({ name }, index) => [name, contents[index] ?? ""])),
  };
  return { manifest, text: manifestText(manifest, hasher), objects };
}

const judged = (content: string | Uint8Array, known: string | null = null): ManifestFinding =>
  checkManifest(stored(content), { backupId: ID, sha256: known }, hasher);

/** Verifies what lies in a folder, as the job does it: the names that are blamed, and those that cannot be judged. */
function verified(
  manifest: string | Uint8Array,
  objects: Record<string, string | Uint8Array>,
): { blamed: Record<string, string>; unchecked: string[]; sound: boolean | null } {
  const finding = judged(manifest);
  if (finding.kind === "newer") throw new Error("this is about manifests of this format");
  const sums = readChecksums(stored(objects["SHA256SUMS"] ?? "").text ?? "", ID);
  const checks =
    finding.kind === "sound"
      ? checksBy(finding.manifest, hasher)
      : checksWithout(finding.witness, sums, hasher);
  const verdicts = checks.map((check): [string, ReturnType<typeof checkFile>] => {
    const content = objects[check.name];
    return [check.name, checkFile(check, content === undefined ? null : stored(content), ID, null)];
  });
  if (finding.kind === "damaged") verdicts.unshift(["manifest.json", finding.verdict]);
  return {
    blamed: Object.fromEntries(
      verdicts.flatMap(([name, { problem }]) => (problem === null ? [] : [[name, problem.code]])),
    ),
    unchecked: verdicts.flatMap(([name, { sound }]) => (sound === null ? [name] : [])),
    sound: soundness(verdicts.map(([, verdict]) => verdict)),
  };
}

describe("a folder as it was written", () => {
  it("is sound", () => {
    const { text, objects } = backup();
    expect(verified(text, objects)).toEqual({ blamed: {}, unchecked: [], sound: true });
  });

  it("is sound with fields and files that a later release of the format adds", () => {
    const { manifest, objects } = backup();
    const files = [...manifest.files, written("NOTES.md", "later")];
    const later = { ...manifest, files, mood: "good" };
    const text = manifestText(later, hasher);
    expect(verified(text, { ...objects, "NOTES.md": "later" })).toMatchObject({ sound: true });
    expect(verified(text, objects).blamed).toEqual({ "NOTES.md": "stored-object-missing" });
  });
});

describe("of a damaged file", () => {
  const whole = backup();
  const other = backup(".sql.gz", ["another first", "another second"], RUN.replace("mgzzzzzz", "mh000000"));
  const names = Object.keys(whole.objects);
  const content = (name: string): Uint8Array => {
    const object = whole.objects[name] ?? "";
    return typeof object === "string" ? bytesOf(object) : object;
  };
  const flipped = (name: string, at: number): Uint8Array =>
    content(name).map((byte, index) => (index === at ? byte ^ 1 : byte));

  it.each(
    names.flatMap((name): [string, string, string, string | Uint8Array | null][] => [
      [name, "gone", "stored-object-missing", null],
      [name, "emptied", "stored-object-resized", ""],
      [name, "shorter by a byte", "stored-object-resized", content(name).slice(0, -1)],
      [name, "longer by a byte", "stored-object-resized", new Uint8Array([...content(name), 10])],
      [name, "with its first bit flipped", "stored-object-altered", flipped(name, 0)],
      [name, "with its last bit flipped", "stored-object-altered", flipped(name, content(name).length - 1)],
    ]),
  )("%s, %s, it is told: %s", (name, _, code, damage) => {
    const { [name]: _old, ...rest } = whole.objects;
    const objects = damage === null ? rest : { ...rest, [name]: damage };
    expect(verified(whole.text, objects)).toEqual({ blamed: { [name]: code }, unchecked: [], sound: false });
  });

  it.each(["RUN.json", "SHA256SUMS", "shop.0001.sql.gz", "shop.0002.sql.gz"])(
    "%s, replaced by another backup's, it is told",
    (name) => {
      const objects = { ...whole.objects, [name]: other.objects[name] ?? "" };
      expect(Object.keys(verified(whole.text, objects).blamed)).toEqual([name]);
    },
  );

  it("it is told whose bytes it holds", () => {
    const finding = judged(whole.text);
    const checks = finding.kind === "sound" ? checksBy(finding.manifest, hasher) : [];
    const first = checks.find(({ kind }) => kind === "volume");
    if (first === undefined) throw new Error("there is no volume");
    const verdict = checkFile(first, stored("second one"), ID, "shop.0002.sql.gz");
    expect(verdict.problem?.detail).toBe(
      "It has 10 bytes instead of 12. It has the content of shop.0002.sql.gz.",
    );
  });
});

describe("an encrypted volume", () => {
  const age = "age-encryption.org/v1\n-> X25519 …";
  it.each<[string, string, object]>([
    ["an age file", age, {}],
    ["plain text", "PRAGMA defer_foreign_keys=TRUE;", { "shop.0001.sql.gz.age": "stored-object-readable" }],
  ])("that was written as %s", (_, opening, blamed) => {
    const { text, objects } = backup(".sql.gz.age", [opening, age]);
    expect(verified(text, objects).blamed).toEqual(blamed);
    const damagedText = text.replace('"trigger": "scheduled"', '"trigger": "manual"');
    expect(verified(damagedText, objects).blamed).toEqual({
      "manifest.json": "stored-object-altered",
      ...blamed,
    });
  });
});

describe("a file beside the volumes that was to be encrypted", () => {
  it.each<[string, string, object]>([
    ["an age file", "age-encryption.org/v1\n-> X25519 …", {}],
    ["plain text", "CREATE TABLE t (a);", { "not-exported.sql.age": "stored-object-readable" }],
  ])("and was written as %s", (_, content, blamed) => {
    const { manifest, objects } = backup();
    const files = [...manifest.files, written("not-exported.sql.age", content)];
    const text = manifestText({ ...manifest, files }, hasher);
    expect(verified(text, { ...objects, "not-exported.sql.age": content }).blamed).toEqual(blamed);
  });
});

describe("RUN.json", () => {
  it.each<[string, string, string]>([
    ["names another run", claim(`${DATABASE}.mh000000`), "It names a different run from the manifest."],
    [
      "names another database",
      claim(RUN.replace("a", "b"), DATABASE.replace("a", "b")),
      "It names a different run from the manifest.",
    ],
    ["names a run of another database", claim(RUN, "x"), "It should name a run, but does not."],
    ["names no run", "{}", "It should name a run, but does not."],
    ["is no JSON", "{", "It should name a run, but does not."],
  ])("that %s is blamed, whatever hash the manifest gives it", (_, content, detail) => {
    const { manifest, objects } = backup();
    const files = [written("RUN.json", content), ...manifest.files.slice(1)];
    const finding = judged(manifestText({ ...manifest, files }, hasher));
    if (finding.kind !== "sound") throw new Error("the manifest was to be sound");
    const check = checksBy(finding.manifest, hasher).find(({ kind }) => kind === "claim");
    expect(check && checkFile(check, stored(content), ID, null).problem).toMatchObject({
      code: "stored-object-altered",
      detail,
    });
    expect(verified(manifestText(manifest, hasher), { ...objects, "RUN.json": content }).sound).toBe(false);
  });
});

describe("a damaged manifest", () => {
  const { manifest, text, objects } = backup();
  const foreign = manifestText({ ...manifest, backupId: "shop.20261122T030000Z" }, hasher);

  it.each<[string, string | Uint8Array, string]>([
    ["emptied", "", "It is empty."],
    ["cut", text.slice(0, -3), "It cannot be read: it is not JSON."],
    ["turned into other JSON", "{}", "It cannot be read: formatVersion:"],
    ["no text", bytesOf(text).map((byte) => (byte === 0xef ? 0xff : byte)), "It is not a manifest"],
    ["begun with a byte order mark", new Uint8Array([0xef, 0xbb, 0xbf, ...bytesOf(text)]), "not a manifest"],
    ["edited", text.replace('"rows": 0', '"rows": 1'), "Its own checksum does not match"],
    ["of another backup", foreign, "It is the manifest of another backup, shop.20261122T030000Z."],
    [
      "edited, and sealed again, with another checksum of a volume",
      manifestText({ ...manifest, volumes: manifest.volumes.toReversed() }, hasher),
      "It contradicts itself",
    ],
    ["of a format that is not there yet, not sealed", text.replace('n": 1', 'n": 3'), "Its own checksum"],
  ])("%s, is blamed for it, and nothing else is", (_, content, detail) => {
    expect(judged(content)).toMatchObject({
      kind: "damaged",
      verdict: { problem: { detail: expect.stringContaining(detail) } },
    });
    expect(Object.keys(verified(content, objects).blamed)).toEqual(["manifest.json"]);
  });

  it("is told by the catalogue when whoever altered it has sealed it again", () => {
    const resealed = manifestText({ ...manifest, label: "mine" }, hasher);
    expect(judged(resealed)).toMatchObject({ kind: "sound" });
    expect(judged(resealed, hash(bytesOf(text)))).toMatchObject({ kind: "damaged" });
    expect(judged(text, hash(bytesOf(text)))).toMatchObject({ kind: "sound" });
  });

  it("is found whatever bit of it is flipped, and no other file is blamed for it", () => {
    const bytes = bytesOf(text);
    const missed: string[] = [];
    for (let at = 0; at < bytes.length; at++) {
      for (let bit = 0; bit < 8; bit++) {
        const altered = bytes.slice();
        altered[at] = (bytes[at] ?? 0) ^ (1 << bit);
        const { blamed } = verified(altered, objects);
        if (Object.keys(blamed).join() !== "manifest.json") missed.push(`bit ${bit} of byte ${at}`);
      }
    }
    expect(missed).toEqual([]);
  }, 60_000);

  it("is found wherever it is cut", () => {
    const kinds = Array.from({ length: text.length }, (_, end) => judged(text.slice(0, end)).kind);
    expect(new Set(kinds)).toEqual(new Set(["damaged"]));
  });

  it.each<[string, string, string[]]>([
    ["can be read after all", text.replace('"rows": 0', '"rows": 1'), []],
    ["cannot be read", text.slice(0, -3), ["RUN.json", "SHA256SUMS", "RESTORE.md"]],
  ])("that %s leaves so much unchecked", (_, content, unchecked) => {
    expect(verified(content, objects)).toMatchObject({ unchecked, sound: false });
  });

  it.each<[string, string, Record<string, string | undefined>, string[]]>([
    ["an altered volume", text.slice(0, -3), { "shop.0002.sql.gz": "second 1ne" }, ["shop.0002.sql.gz"]],
    ["a missing volume", text.slice(0, -3), { "shop.0002.sql.gz": undefined }, ["shop.0002.sql.gz"]],
    ["a guide that is emptied", text.slice(0, -3), { "RESTORE.md": "" }, ["RESTORE.md"]],
    ["a RUN.json of no use", text.slice(0, -3), { "RUN.json": "?" }, ["RUN.json"]],
    [
      "cut checksums",
      text.slice(0, -3),
      { SHA256SUMS: checksumsText(manifest.volumes).slice(0, 90) },
      ["SHA256SUMS"],
    ],
    ["missing checksums", text.slice(0, -3), { SHA256SUMS: undefined }, ["SHA256SUMS"]],
    [
      "checksums short of a line, and a missing volume that only the manifest names",
      text.replace('"rows": 0', '"rows": 1'),
      { SHA256SUMS: checksumsText(manifest.volumes.slice(0, 1)), "shop.0002.sql.gz": undefined },
      ["shop.0002.sql.gz"],
    ],
  ])("does not hide %s", (_, content, changes, names) => {
    const changed = Object.fromEntries(
      Object.entries({ ...objects, ...changes }).flatMap(([name, object]) =>
        object === undefined ? [] : [[name, object]],
      ),
    );
    expect(Object.keys(verified(content, changed).blamed)).toEqual(["manifest.json", ...names]);
  });
});

describe("a manifest of a later format", () => {
  const { manifest } = backup();
  const sameShape = manifestText({ ...manifest, formatVersion: 1 }, hasher);
  const later = sealedAs(2);
  function sealedAs(formatVersion: number): string {
    const zeros = "0".repeat(64);
    const content = (checksum: string): string =>
      `${JSON.stringify({ ...manifest, formatVersion, checksum }, null, 2)}\n`;
    return content(hash(bytesOf(content(zeros))));
  }
  const otherShape = '{ "formatVersion": 2, "kind": "backup" }';

  it.each<[string, string, string | null, string]>([
    ["sealed as ours are", later, null, "newer"],
    ["of another shape", otherShape, null, "newer"],
    ["of another shape that the catalogue knows", otherShape, hash(bytesOf(otherShape)), "newer"],
    ["of another shape that the catalogue does not know so", otherShape, "f".repeat(64), "damaged"],
    ["that the catalogue does not know so", later, "f".repeat(64), "damaged"],
    ["that is ours with a flipped bit", sameShape.replace('n": 1', 'n": 3'), null, "damaged"],
  ])("%s", (_, content, known, kind) => {
    expect(judged(content, known).kind).toBe(kind);
  });
});

describe("SHA256SUMS is read", () => {
  const sums = checksumsText(backup().manifest.volumes);
  const [first = "", second = ""] = sums.split(/(?<=\n)/);

  it("line by line", () => {
    expect(readChecksums(sums, ID)?.map(({ name }) => name)).toEqual([
      "shop.0001.sql.gz",
      "shop.0002.sql.gz",
    ]);
  });

  it.each<[string, string]>([
    ["empty", ""],
    ["cut in a line", sums.slice(0, -1)],
    ["in another order", second + first],
    ["without its first line", second],
    ["of another database", sums.replaceAll("shop", "blog")],
    ["of mixed kinds", first + second.replace(".gz", ".zst")],
    ["of a kind that is none", sums.replaceAll(".gz", ".gx")],
    ["with a hash that is none", sums.replace(/^./, "g")],
  ])("not when it is %s", (_, text) => {
    expect(readChecksums(text, ID)).toBeNull();
  });
});

it("all is sound only when each file is, and not when one cannot be judged", () => {
  const verdict = (sound: boolean | null) => ({ sound, problem: null });
  expect(
    [
      [true, true],
      [true, null],
      [null, false],
    ].map((all) => soundness(all.map(verdict))),
  ).toEqual([true, null, false]);
});

/** So that a check that was stored by this release is read by the next one. */
it("a volume's check says all that is to be compared", () => {
  const [check] = checksBy({ ...unsealed, files: [], checksum: "" }, hasher).slice(-1);
  expect(check).toEqual({
    name: "shop.0001.sql.gz",
    kind: "volume",
    written: [{ bytes: volume.bytes, sha256: volume.sha256 }],
    certain: true,
    encrypted: false,
    run: null,
  } satisfies FileCheck);
});
