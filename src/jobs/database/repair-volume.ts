import type { StoredVolume } from "../../core/backup/manifest.ts";
import { opensAsAge } from "../../core/bucket/age-file.ts";
import { type Scanned, Tally } from "../../core/dump/tally.ts";
import { failed, type Failure, ok, type Result } from "../../core/failure.ts";
import type { Platform } from "../../core/platform.ts";
import { StatementScanner } from "../../core/sql/statements.ts";
import type { RepairSource, WantedVolume } from "./repair-source.ts";

/** What the volumes before have come to. */
export interface ReadSoFar {
  readonly dumpBytes: number;
  readonly statements: number;
  /** Null when it cannot be counted: the volumes are encrypted, or cut inside of statements. */
  readonly scanned: Scanned | null;
}

export interface ReadVolume {
  readonly volume: StoredVolume;
  readonly scanned: Scanned | null;
}

/** Reads one volume back, whatever the bucket says of it. One that is not as it was written is a failure. */
export async function readVolume(
  folder: string,
  wanted: WantedVolume,
  source: RepairSource,
  before: ReadSoFar,
  platform: Platform,
): Promise<Result<ReadVolume>> {
  const measured = await platform.vault.measure(folder + wanted.name);
  if (!measured.ok) return measured;
  const { name } = wanted;
  if (measured.value === null)
    return failed(wrong("stored-object-missing", `Volume ${name} is not in the bucket.`));
  const { bytes, sha256, opening } = measured.value;
  if (sha256 !== wanted.sha256 || (wanted.bytes !== null && wanted.bytes !== bytes))
    return failed(
      wrong("stored-object-altered", `The SHA-256 of volume ${name} is not that of what was written.`),
    );
  const stored = {
    name,
    bytes,
    sha256,
    dumpBytes: null,
    dumpSha256: null,
    firstStatement: null,
    statements: null,
  };
  if (source.kind === "text") return ok({ volume: stored, scanned: null });
  if (!source.encrypted) return readDump(folder, stored, source, before, platform);
  if (!opensAsAge(opening))
    return failed(wrong("stored-object-readable", `Volume ${name} is to be encrypted, and is no age file.`));
  return ok({ volume: stored, scanned: null });
}

/** Counts and hashes the part of the dump in a volume. */
async function readDump(
  folder: string,
  stored: StoredVolume,
  { compression }: Extract<RepairSource, { kind: "files" }>,
  before: ReadSoFar,
  { vault, codecs }: Platform,
): Promise<Result<ReadVolume>> {
  const opened = await vault.decoded(folder + stored.name, compression);
  if (!opened.ok) return opened;
  const object = opened.value;
  if (object === null)
    return failed(wrong("stored-object-missing", `Volume ${stored.name} is not in the bucket.`));
  const digest = codecs.digest();
  const tally = before.scanned === null ? null : new Tally(before.scanned, before.dumpBytes);
  const scanner = tally === null ? null : new StatementScanner(tally.count);
  let dumpBytes = 0;
  try {
    for (;;) {
      const read = await object.read();
      if (!read.ok) return read;
      if (read.value === null) break;
      digest.update(read.value);
      dumpBytes += read.value.length;
      scanner?.scan(read.value);
    }
  } finally {
    await object.cancel();
  }
  scanner?.end();
  const counted = scanner !== null && (scanner.betweenStatements || scanner.endsInCommentedSemicolon);
  const volume = { ...stored, dumpBytes, dumpSha256: digest.hex() };
  if (tally === null || !counted) return ok({ volume, scanned: null });
  const numbers = { firstStatement: before.statements + 1, statements: tally.statements };
  return ok({ volume: { ...volume, ...numbers }, scanned: tally.scanned });
}

function wrong(
  code: "stored-object-missing" | "stored-object-altered" | "stored-object-readable",
  detail: string,
): Failure {
  return {
    code,
    detail: `${detail} The manifest was not made anew.`,
    hint: "Nothing was changed. Put the volume back if a copy exists elsewhere, and ask again; RESTORE.md says how to restore what is left.",
    retryable: false,
  };
}
