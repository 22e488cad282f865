import { z } from "zod";
import { opensAsAge } from "../bucket/age-file.ts";
import { readClaim } from "../bucket/claim.ts";
import { type Codecs, sha256Of } from "../bucket/codecs.ts";
import { CHECKSUMS, CLAIM, RESTORE_GUIDE } from "../bucket/object-keys.ts";
import type { FailureCode } from "../failure.ts";
import { type ChecksumLine, checksumsText, readChecksums } from "./checksums.ts";
import { checksumHolds, FORMAT_VERSION, type Manifest, manifestSchema, readManifest } from "./manifest.ts";

/**
 * Compares the stored objects of a backup with what is known about them.
 *
 * A sound manifest decides about every other object. A damaged one is only evidence, and so is SHA256SUMS then: an
 * object that matches a hash in either is sound, and none is reported as damaged because of a damaged manifest alone.
 */

/** An object as it is in the bucket. */
export interface StoredFile {
  readonly bytes: number;
  readonly sha256: string;
  /** The first bytes, up to 64 of them. */
  readonly opening: Uint8Array;
  /** Of what is read as text; null of what is not, or is too long to be what it should be. */
  readonly text: string | null;
}

const problemSchema = z.object({ code: z.string(), detail: z.string(), hint: z.string() });

export const verdictSchema = z.object({
  /** Null when nothing sound is left to compare it with. */
  sound: z.boolean().nullable(),
  problem: problemSchema.nullable(),
});
export type Verdict = z.infer<typeof verdictSchema>;

const KINDS = ["claim", "checksums", "guide", "volume", "other"] as const;

const count = z.number().int().nonnegative();

/** One object to read and compare. */
export const fileCheckSchema = z.object({
  name: z.string(),
  kind: z.enum(KINDS),
  /** What was written under this name, by each that knows: to equal one of them is enough. */
  written: z.array(z.object({ bytes: count.nullable(), sha256: z.string() })),
  /** Whether these are reliable: only then a different object is reported as damaged. */
  certain: z.boolean(),
  encrypted: z.boolean(),
  /** The run that RUN.json has to name, when that is known. */
  run: z.object({ runId: z.string(), databaseId: z.string() }).nullable(),
});
export type FileCheck = z.infer<typeof fileCheckSchema>;

export type ManifestFinding =
  | { readonly kind: "sound"; readonly manifest: Manifest }
  /** `witness` is what can be read of it after all. */
  | { readonly kind: "damaged"; readonly verdict: Verdict; readonly witness: Manifest | null }
  /** Written by a later release, and unchanged as far as this release can check. */
  | { readonly kind: "newer"; readonly formatVersion: number };

type Hasher = Pick<Codecs, "digest">;

/** A manifest, whatever format it claims to be of: a single flipped bit makes a 3 of a 1. */
const claimsAnyFormat = manifestSchema.extend({
  formatVersion: z
    .number()
    .int()
    .transform((): typeof FORMAT_VERSION => FORMAT_VERSION),
});

/**
 * Checks manifest.json by itself, by its folder, and by the catalogue's record of it; `sha256` is null if the catalogue
 * has none.
 */
export function checkManifest(
  stored: Omit<StoredFile, "opening">,
  known: { readonly backupId: string; readonly sha256: string | null },
  codecs: Hasher,
): ManifestFinding {
  const { text } = stored;
  if (stored.bytes === 0) return damaged("It is empty.", null, "stored-object-resized");
  // Read as text, a damaged byte may turn into the original character.
  if (text === null || sha256Of(text, codecs) !== stored.sha256) return damaged("It is not a manifest.");
  const reading = readManifest(text);
  const manifest = readAnyFormat(text);
  const sealed = manifest !== null && checksumHolds(text, manifest, codecs);
  if (reading.kind === "newer") {
    const genuine = known.sha256 === null ? manifest === null || sealed : known.sha256 === stored.sha256;
    if (genuine) return { kind: "newer", formatVersion: reading.formatVersion };
  }
  if (manifest === null) {
    const why = reading.kind === "invalid" ? reading.problem : "it is of another format";
    return damaged(`It cannot be read: ${why}.`);
  }
  if (!sealed)
    return damaged("Its own checksum does not match: it was altered after it was written.", manifest);
  if (manifest.backupId !== known.backupId)
    return damaged(`It is the manifest of another backup, ${manifest.backupId.slice(0, 200)}.`);
  if (known.sha256 !== null && known.sha256 !== stored.sha256)
    return damaged("It differs from the one that the catalogue has recorded for this backup.", manifest);
  const listed = manifest.files.find(({ name }) => name === CHECKSUMS);
  if (listed !== undefined && listed.sha256 !== sha256Of(checksumsText(manifest.volumes), codecs))
    return damaged("It contradicts itself: its SHA256SUMS does not match its volumes.", manifest);
  return { kind: "sound", manifest };
}

function readAnyFormat(text: string): Manifest | null {
  try {
    return claimsAnyFormat.safeParse(JSON.parse(text)).data ?? null;
  } catch {
    return null;
  }
}

function damaged(
  detail: string,
  witness: Manifest | null = null,
  code: FailureCode = "stored-object-altered",
): ManifestFinding {
  const hint =
    "You can still restore the volumes that match SHA256SUMS, as RESTORE.md says. Make a new backup, and find out what else writes to the bucket.";
  return { kind: "damaged", verdict: blamed(code, detail, hint), witness };
}

/** The other objects of a backup whose manifest is sound. */
export function checksBy(manifest: Manifest, codecs: Hasher): FileCheck[] {
  const { runId, volumes, encryption } = manifest;
  const sums = checksumsText(volumes);
  const beside = besideNames(manifest).map((name): FileCheck => {
    const written =
      name === CHECKSUMS
        ? [{ bytes: new TextEncoder().encode(sums).length, sha256: sha256Of(sums, codecs) }]
        : entriesOf(manifest, name);
    const run = name === CLAIM ? { runId, databaseId: manifest.database.id } : null;
    return { ...besideCheck(name, written), certain: written.length > 0, run };
  });
  return [
    ...beside,
    ...volumes.map((volume): FileCheck => volumeCheck(volume.name, [volume], true, encryption !== null)),
  ];
}

/**
 * The other objects of a backup whose manifest is damaged: `witness` is what can be read of that, `sums` are the
 * lines of SHA256SUMS, if it is well-formed.
 */
export function checksWithout(
  witness: Manifest | null,
  sums: readonly ChecksumLine[] | null,
  codecs: Hasher,
): FileCheck[] {
  const beside = besideNames(null).map((name): FileCheck => {
    const written = witness === null ? [] : entriesOf(witness, name);
    if (name === CHECKSUMS && witness !== null)
      written.push({ bytes: null, sha256: sha256Of(checksumsText(witness.volumes), codecs) });
    return besideCheck(name, written);
  });
  const volumes = witness?.volumes ?? [];
  const summed = (sums ?? []).map(({ name, sha256 }) => {
    const written = [{ bytes: null, sha256 }, ...volumes.filter((volume) => volume.name === name)];
    return volumeCheck(name, written, true, name.endsWith(".age"));
  });
  // SHA256SUMS may be damaged as well, and short of its last lines.
  const rest = volumes
    .slice(summed.length)
    .map((volume) => volumeCheck(volume.name, [volume], false, volume.name.endsWith(".age")));
  return [...beside, ...summed, ...rest];
}

/** The files beside the volumes: always these three, and those that a later release of this format adds. */
function besideNames(manifest: Manifest | null): string[] {
  const known = [CLAIM, CHECKSUMS, RESTORE_GUIDE];
  return [...new Set([...known, ...(manifest?.files ?? []).map(({ name }) => name)])];
}

type Written = FileCheck["written"];

function entriesOf(manifest: Manifest, wanted: string): Written {
  return manifest.files.filter(({ name }) => name === wanted).map(({ bytes, sha256 }) => ({ bytes, sha256 }));
}

function besideCheck(name: string, written: Written): FileCheck {
  const kinds: Record<string, FileCheck["kind"]> = {
    [CLAIM]: "claim",
    [CHECKSUMS]: "checksums",
    [RESTORE_GUIDE]: "guide",
  };
  const kind = kinds[name] ?? "other";
  return { name, kind, written, certain: false, encrypted: name.endsWith(".age"), run: null };
}

function volumeCheck(name: string, written: Written, certain: boolean, encrypted: boolean): FileCheck {
  const known = written.map(({ bytes, sha256 }) => ({ bytes, sha256 }));
  return { name, kind: "volume", written: known, certain, encrypted, run: null };
}

/**
 * Checks one object, or null if it does not exist. `owner` is the file of this backup to which these bytes belong, if
 * there is one.
 */
export function checkFile(
  check: FileCheck,
  stored: StoredFile | null,
  backupId: string,
  owner: string | null,
): Verdict {
  const hint = check.kind === "volume" ? VOLUME_HINT : BESIDE_HINT;
  if (stored === null) return blamed("stored-object-missing", "It is not in the bucket.", hint);
  const matches = check.written.some(
    ({ bytes, sha256 }) => sha256 === stored.sha256 && (bytes === null || bytes === stored.bytes),
  );
  const wanted = check.written.find(({ bytes }) => bytes !== null)?.bytes ?? null;
  if (!matches && (check.certain || stored.bytes === 0)) {
    const holds = owner === null ? "" : ` It has the content of ${owner}.`;
    if (wanted !== null && wanted !== stored.bytes)
      return blamed(
        "stored-object-resized",
        `It has ${plural(stored.bytes)} instead of ${wanted}.${holds}`,
        hint,
      );
    if (stored.bytes === 0) return blamed("stored-object-resized", "It is empty.", hint);
    return blamed("stored-object-altered", `Its SHA-256 differs from what was written.${holds}`, hint);
  }
  const malformed = malformation(check, stored, backupId);
  if (malformed !== null) return blamed("stored-object-altered", malformed, hint);
  if (check.encrypted && !opensAsAge(stored.opening)) {
    return blamed(
      "stored-object-readable",
      "It should be encrypted, but is not an age file.",
      "Anybody who can read the bucket may be able to read the dump. Check who can, and delete the object when you have another backup. If d1-nightly wrote it like this, that is a bug; please report it.",
    );
  }
  return { sound: matches ? true : null, problem: null };
}

/** The problem with an object whose content is impossible for its name, in any backup. */
function malformation({ kind, run }: FileCheck, { text }: StoredFile, backupId: string): string | null {
  if (kind === "claim") {
    const named = readClaim(text);
    if (named === null) return "It should name a run, but does not.";
    const another = run !== null && (named.runId !== run.runId || named.databaseId !== run.databaseId);
    return another ? "It names a different run from the manifest." : null;
  }
  const sums = kind !== "checksums" || (text !== null && readChecksums(text, backupId) !== null);
  return sums ? null : "It is not a list of this backup's volumes and their checksums.";
}

/** The result of all verdicts: null if nothing is wrong but not everything could be compared. */
export function soundness(verdicts: readonly Verdict[]): boolean | null {
  if (verdicts.some(({ sound }) => sound === false)) return false;
  return verdicts.every(({ sound }) => sound === true) ? true : null;
}

const VOLUME_HINT =
  "The dump is incomplete without it. If you have a copy, put it back under this name and verify again; otherwise make a new backup. Check whether a lifecycle rule or another tool changes the bucket.";
const BESIDE_HINT =
  "This file does not affect the dump: if all volumes are sound, so is the dump. Check whether a lifecycle rule or another tool changes the bucket.";

function blamed(code: FailureCode, detail: string, hint: string): Verdict {
  return { sound: false, problem: { code, detail, hint } };
}

function plural(bytes: number): string {
  return bytes === 1 ? "1 byte" : `${bytes} bytes`;
}
