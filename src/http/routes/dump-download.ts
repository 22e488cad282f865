import type { Manifest, StoredVolume } from "../../core/backup/manifest.ts";
import { acrossPieces, answerOf, type ByteRange, wantedBytes } from "../../core/bucket/byte-range.ts";
import { failed, type Failure, ok, type Result } from "../../core/failure.ts";
import type { Platform } from "../../core/platform.ts";
import type { FoundBackup } from "../find-backup.ts";
import { failureProblem, problem } from "../problem.ts";

/** Larger dumps are not joined into one download: their volumes are better downloaded one by one. */
export const JOINED_LIMIT = 2 * 1024 ** 3;

/** The part of one volume's dump bytes that a download sends. */
interface Slice {
  readonly piece: StoredVolume;
  readonly from: number;
  readonly to: number;
}

/**
 * The plain SQL of all volumes, joined, in full or in ranges.
 *
 * The ETag is the manifest's hash, and the manifest has the hash of each volume. A volume's last byte is sent only
 * after the volume was read from its beginning and its hash was right. So responses with one ETag, in any number of
 * ranges, can only be put together to the dump.
 */
export async function downloadDump(
  platform: Platform,
  found: FoundBackup,
  request: Request,
): Promise<Response> {
  const { manifest, manifestSha256 } = found;
  const refused = refusal(manifest);
  if (refused !== null) return refused;
  const dump = { etag: `"${manifestSha256}"`, bytes: manifest.dump.bytes ?? 0 };
  const wanted = wantedBytes(request, dump);
  const { status, headers } = answerOf(wanted, dump, `${manifest.backupId}.sql`);
  if (wanted.kind !== "whole" && wanted.kind !== "part")
    return inWords(new Response(null, { status, headers }));
  const slices = acrossPieces(wanted, manifest.volumes, (volume) => volume.dumpBytes ?? 0);
  const damage = await damageAtOnce(platform, found, slices);
  if (damage !== null) return damage;
  const init = { status, headers: { ...headers, "Content-Type": "application/sql" } };
  return new Response(request.method === "HEAD" ? null : joined(platform, found, slices, wanted), init);
}

/** Explains a 416, which has no body; returns any other response unchanged. */
export function inWords(response: Response): Response {
  if (response.status !== 416) return response;
  return problem(
    {
      title: "No such range",
      status: 416,
      code: "range-not-satisfiable",
      detail: `The range begins after the end of the file: ${response.headers.get("Content-Range") ?? ""}.`,
      hint: "If the download is complete, nothing is left to do. Otherwise start it again without a range.",
    },
    Object.fromEntries(response.headers),
  );
}

function refusal({ backupId, volumes, dump, encryption }: Manifest): Response | null {
  // Only of encrypted volumes it may be unknown how much of the dump is in them.
  const tooBig = (dump.bytes ?? 0) > JOINED_LIMIT;
  if (!tooBig && encryption === null) return null;
  const files = `/api/backups/${encodeURIComponent(backupId)}/files/`;
  const addresses = volumes.map(({ name }) => files + encodeURIComponent(name));
  return problem({
    title: "The dump cannot be joined",
    status: 409,
    code: encryption === null ? "dump-too-large" : "dump-not-readable-here",
    detail:
      encryption === null
        ? `The dump has ${dump.bytes} bytes; one download may have at most ${JOINED_LIMIT}.`
        : "The volumes are encrypted, and the Worker has no key.",
    hint: `Download the volumes one by one and follow the backup's RESTORE.md: ${addresses.join(" ")}`,
    volumes: volumes.map(({ name }) => name),
  });
}

/** Before the first byte, a response can still explain what is wrong with the first volume. */
async function damageAtOnce(
  { vault }: Platform,
  { folder }: FoundBackup,
  [slice]: readonly Slice[],
): Promise<Response | null> {
  if (slice === undefined) return null;
  const stored = await vault.head(folder + slice.piece.name);
  if (!stored.ok) return failureProblem(stored.failure);
  const damage = damageOf(slice.piece, stored.value?.bytes ?? null);
  if (damage === null) return null;
  const { code, detail, hint } = damage;
  const status = stored.value === null ? 404 : 500;
  return problem({ title: "The backup is damaged", status, code, detail, hint });
}

/** What is wrong with a stored volume, as far as its size shows. */
function damageOf({ name, bytes }: StoredVolume, storedBytes: number | null): Failure | null {
  if (storedBytes === null) return damaged("stored-object-missing", `Volume ${name} is not in the bucket.`);
  if (storedBytes === bytes) return null;
  return damaged("stored-object-altered", `Volume ${name} has ${storedBytes} bytes instead of ${bytes}.`);
}

function damaged(code: "stored-object-missing" | "stored-object-altered", detail: string): Failure {
  const hint =
    "POST /api/backups/ID/verify shows what else is damaged. Download the other volumes from /api/backups/ID/files.";
  return { code, detail, hint, retryable: false };
}

/** The slices as one stream of known length, which breaks if one of them has changed. */
function joined(
  platform: Platform,
  found: FoundBackup,
  slices: readonly Slice[],
  { length }: ByteRange,
): ReadableStream {
  const { readable, writable } = new FixedLengthStream(length);
  const writer = writable.getWriter();
  const pour = async (): Promise<void> => {
    for (const slice of slices) {
      const poured = await pourSlice(platform, found, slice, writer);
      if (poured.ok) continue;
      const { code, detail } = poured.failure;
      console.error({ event: "dump-download-broken-off", backup: found.manifest.backupId, code, detail });
      await writer.abort(new Error(detail));
      return;
    }
    await writer.close();
  };
  pour().catch(ignoreGoneReader);
  return readable;
}

/** Writes one volume's slice, with one piece of the volume in memory at a time. */
async function pourSlice(
  { vault, codecs }: Platform,
  { folder, manifest }: FoundBackup,
  { piece: volume, from, to }: Slice,
  writer: WritableStreamDefaultWriter<Uint8Array>,
): Promise<Result<void>> {
  const opened = await vault.decoded(folder + volume.name, manifest.compression);
  if (!opened.ok) return opened;
  const object = opened.value;
  const damage = damageOf(volume, object?.storedBytes ?? null);
  if (object === null || damage !== null) {
    await object?.cancel();
    return failed(damage ?? damaged("stored-object-missing", `Volume ${volume.name} is gone.`));
  }
  const digest = to === volume.dumpBytes ? codecs.digest() : null;
  try {
    for (let at = 0; at < to;) {
      const read = await object.read();
      if (!read.ok) return read;
      const bytes = read.value;
      if (bytes === null)
        return failed(
          damaged("stored-object-altered", `Volume ${volume.name} ends after ${at} bytes of dump.`),
        );
      digest?.update(bytes);
      const wanted = bytes.subarray(Math.max(from - at, 0), to - at);
      at += bytes.length;
      // Checked before the last byte is sent: without that byte the file is short, and the client notices.
      if (digest !== null && at >= to && (at > to || digest.hex() !== volume.dumpSha256))
        return failed(damaged("stored-object-altered", `Volume ${volume.name} is not what was written.`));
      if (wanted.length > 0) await writer.write(wanted);
    }
    return ok(undefined);
  } finally {
    await object.cancel();
  }
}

/** The client is gone, so nobody can get the error. */
function ignoreGoneReader(): void {}
