import type { Volume } from "./manifest.ts";

/** The text of SHA256SUMS, as `sha256sum -c` reads it. */
export function checksumsText(volumes: readonly Pick<Volume, "name" | "sha256">[]): string {
  return volumes.map((volume) => `${volume.sha256}  ${volume.name}\n`).join("");
}

export interface ChecksumLine {
  readonly name: string;
  readonly sha256: string;
}

/** The lines of a backup's SHA256SUMS; null for anything that this backup's volumes cannot have given. */
export function readChecksums(text: string, backupId: string): ChecksumLine[] | null {
  const lines = text.split("\n");
  if (lines.pop() !== "" || lines.length === 0) return null;
  const folder = backupId.slice(0, backupId.lastIndexOf("."));
  const sums: ChecksumLine[] = [];
  const extensions = new Set<string>();
  for (const [index, line] of lines.entries()) {
    const stem = `${folder}.${String(index + 1).padStart(4, "0")}.sql`;
    const [, sha256, name] = /^([0-9a-f]{64}) {2}(.+)$/.exec(line) ?? [];
    if (sha256 === undefined || name === undefined || !name.startsWith(stem)) return null;
    sums.push({ name, sha256 });
    extensions.add(name.slice(stem.length));
  }
  const [extension = ""] = extensions;
  return extensions.size === 1 && /^(?:\.gz|\.zst)?(?:\.age)?$/.test(extension) ? sums : null;
}
