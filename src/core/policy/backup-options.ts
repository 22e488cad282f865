import { z } from "zod";
import { COMPRESSIONS } from "../bucket/object-keys.ts";
import { EVERYTHING, exportOptionsSchema } from "../d1/export-options.ts";
import { type FullPolicy, MIB } from "./policy.ts";

/** The bytes of a lean volume, which one step hashes: one part of an upload, and some milliseconds of CPU. */
export const LEAN_VOLUME_BYTES = 6 * MIB;

/** The same when it is encrypted as well, which costs some milliseconds a volume, and as much as hashing a byte. */
export const LEAN_ENCRYPTED_VOLUME_BYTES = 2 * MIB;

/** What a run does with its dump: settled when its work begins, and unchanged until its end. */
export const backupOptionsSchema = z.object({
  compression: z.enum(COMPRESSIONS),
  volumeBytes: z.number().int().positive(),
  lean: z.boolean(),
  /** The age recipients; if there are none, the dump is not encrypted. */
  recipients: z.array(z.string()),
  /** What D1 is asked to dump. Earlier releases stored none, and dumped everything. */
  exportOptions: exportOptionsSchema.default(EVERYTHING),
});

export type BackupOptions = z.infer<typeof backupOptionsSchema>;

export function backupOptions(policy: FullPolicy, recipients: readonly string[]): BackupOptions {
  const options = {
    lean: false,
    compression: policy.compression,
    volumeBytes: policy.volumeBytes,
    recipients: [...recipients],
    exportOptions: { ...policy.exportOptions, tables: [...new Set(policy.exportOptions.tables)] },
  };
  return policy.lean ? leanOptions(options) : options;
}

/** The same with the least possible CPU per step. */
export function leanOptions(options: BackupOptions): BackupOptions {
  const most = options.recipients.length > 0 ? LEAN_ENCRYPTED_VOLUME_BYTES : LEAN_VOLUME_BYTES;
  return {
    ...options,
    lean: true,
    compression: "none",
    volumeBytes: Math.min(options.volumeBytes, most),
  };
}
