import { z } from "zod";
import { type Codecs, sha256Of } from "../bucket/codecs.ts";
import { COMPRESSIONS } from "../bucket/object-keys.ts";
import { exportOptionsSchema } from "../d1/export-options.ts";
import { partNotExportedSchema } from "../dump/partial-export.ts";
import { hazardSchema } from "../dump/hazards.ts";
import { loadingSchema } from "../dump/loading.ts";
import { SECTIONS } from "../dump/sections.ts";

/** The version of the format that this code writes, and the highest one that it reads. */
export const FORMAT_VERSION = 1;

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
export const count = z.number().int().nonnegative();
const moment = z.iso.datetime();

export const volumeSchema = z.object({
  name: z.string(),
  /** The stored object. */
  bytes: count,
  sha256,
  /** The part of the dump inside. An encrypted one has no hash, because short values could be guessed from it. */
  dumpBytes: count,
  dumpSha256: sha256.nullable(),
  /** The number of its first statement in the entire dump, from 1. */
  firstStatement: count.nullable(),
  statements: count.nullable(),
});
export type Volume = z.infer<typeof volumeSchema>;

export const backupTriggerSchema = z.enum(["scheduled", "manual"]);
export type BackupTrigger = z.infer<typeof backupTriggerSchema>;

/** manifest.json as a run writes it, the last object of a backup: without it there is no backup. See docs/format.md. */
const writtenSchema = z.object({
  formatVersion: z.literal(FORMAT_VERSION),
  backupId: z.string(),
  runId: z.string(),
  tool: z.object({ name: z.string(), version: z.string() }),
  database: z.object({ id: z.string(), name: z.string(), accountId: z.string(), fileSize: count.nullable() }),
  atBookmark: z.string(),
  startedAt: moment,
  finishedAt: moment,
  trigger: backupTriggerSchema,
  label: z.string().nullable(),
  exportOptions: exportOptionsSchema,
  compression: z.enum(COMPRESSIONS),
  /** Nothing was counted, and volumes are cut at fixed sizes, inside statements. */
  lean: z.boolean(),
  encryption: z.object({ format: z.string(), recipients: z.array(z.string()) }).nullable(),
  /** `sha256` is null when there are several volumes, which state their own, and in an encrypted backup. */
  dump: z.object({ bytes: count, sha256: sha256.nullable(), statements: count.nullable() }),
  volumes: z.array(volumeSchema).min(1),
  tables: z.array(z.object({ name: z.string(), rows: count.nullable() })),
  notExported: z.array(partNotExportedSchema),
  hazards: z.array(hazardSchema),
  /** Where each non-empty part begins in the joined dump, in bytes. */
  sections: z.array(z.object({ kind: z.enum(SECTIONS), offset: count, bytes: count })).nullable(),
  /** Offsets in the joined dump at which a semicolon is missing. */
  missingSemicolons: z.array(count).nullable(),
  /** What loading the dump requires, judging by its schema; null if nobody has looked. */
  loading: loadingSchema.nullable().default(null),
  /** When and how the database itself was asked for values that its dump alters. */
  examined: z.object({ at: moment, tables: count, rowsRead: count }).nullable(),
  /** The other objects of the folder, as they were written. */
  files: z.array(z.object({ name: z.string(), bytes: count, sha256 })),
  timings: z.object({ exportMs: count, copyMs: count, verifyMs: count }),
  previous: z.object({ backupId: z.string(), manifestSha256: sha256 }).nullable(),
  /** SHA-256 of this file with 64 zeros in place of this value. */
  checksum: sha256,
});

/** What a manifest that was lost and made anew may lack, a run knows. */
const lackingVolumeSchema = volumeSchema.extend({
  dumpBytes: count.nullable(),
  dumpSha256: sha256.nullable(),
});

/** manifest.json as it is read: one that was made anew says null where nothing has told. */
export const manifestSchema = writtenSchema.extend({
  database: writtenSchema.shape.database.extend({ accountId: z.string().nullable() }),
  atBookmark: z.string().nullable(),
  trigger: backupTriggerSchema.nullable(),
  exportOptions: exportOptionsSchema.nullable(),
  lean: z.boolean().nullable(),
  encryption: z.object({ format: z.string(), recipients: z.array(z.string()).nullable() }).nullable(),
  dump: writtenSchema.shape.dump.extend({ bytes: count.nullable() }),
  volumes: z.array(lackingVolumeSchema).min(1),
  tables: writtenSchema.shape.tables.nullable(),
  notExported: writtenSchema.shape.notExported.nullable(),
  timings: z.object({ exportMs: count.nullable(), copyMs: count.nullable(), verifyMs: count.nullable() }),
  /** Not the run's own manifest, which was lost: when it was made anew, and which fields nothing could tell. */
  remade: z
    .object({ at: moment, unknown: z.array(z.string()) })
    .nullable()
    .optional(),
});
export type Manifest = z.infer<typeof manifestSchema>;
export type StoredVolume = Manifest["volumes"][number];

export type ManifestReading =
  | { readonly kind: "manifest"; readonly manifest: Manifest }
  | { readonly kind: "newer"; readonly formatVersion: number }
  | { readonly kind: "invalid"; readonly problem: string };

/** Reads a stored manifest. Ignores unknown fields, and refuses a higher format version. */
export function readManifest(text: string): ManifestReading {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return { kind: "invalid", problem: "it is not JSON" };
  }
  const version = z.object({ formatVersion: z.number().int().positive() }).safeParse(json);
  if (version.success && version.data.formatVersion > FORMAT_VERSION) {
    return { kind: "newer", formatVersion: version.data.formatVersion };
  }
  const parsed = manifestSchema.safeParse(json);
  if (parsed.success) return { kind: "manifest", manifest: parsed.data };
  const issue = parsed.error.issues[0];
  return { kind: "invalid", problem: `${issue?.path.join(".") ?? ""}: ${issue?.message ?? "unreadable"}` };
}

const ZEROS = "0".repeat(64);

/** The text of manifest.json, including its own checksum. */
export function manifestText(manifest: Omit<Manifest, "checksum">, codecs: Pick<Codecs, "digest">): string {
  const text = (checksum: string): string => `${JSON.stringify({ ...manifest, checksum }, null, 2)}\n`;
  return text(sha256Of(text(ZEROS), codecs));
}

/** Whether a manifest's text is unchanged, by the checksum in it. */
export function checksumHolds(text: string, { checksum }: Manifest, codecs: Pick<Codecs, "digest">): boolean {
  const at = text.lastIndexOf(checksum);
  const unsealed = text.slice(0, at) + ZEROS + text.slice(at + ZEROS.length);
  return at >= 0 && sha256Of(unsealed, codecs) === checksum;
}

/**
 * Reads a manifest that code may act on: it has this format, is in its own folder, and is unchanged. Everything that
 * counts, lists or deletes backups must use this; any other reading is only for display.
 */
export function readSoundManifest(
  text: string,
  backupId: string,
  codecs: Pick<Codecs, "digest">,
): ManifestReading {
  const reading = readManifest(text);
  if (reading.kind !== "manifest") return reading;
  const { manifest } = reading;
  if (manifest.backupId !== backupId)
    return invalid(`it belongs to ${manifest.backupId.slice(0, 200)}, which has another folder`);
  if (!checksumHolds(text, manifest, codecs))
    return invalid("it was altered: its own checksum does not match");
  return reading;
}

function invalid(problem: string): ManifestReading {
  return { kind: "invalid", problem };
}

/** A run's manifest without the facts about the other files, and without its own checksum. */
export type UnsealedManifest = Omit<z.infer<typeof writtenSchema>, "files" | "checksum">;
