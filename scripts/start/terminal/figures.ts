const UNITS = [
  { name: "GB", bytes: 1e9 },
  { name: "MB", bytes: 1e6 },
] as const;
const SMALLEST = { name: "kB", bytes: 1e3 } as const;

/** `1.2 MB`, with 1 MB of 1,000,000 bytes as disks and Cloudflare count. */
export function sizeText(bytes: number): string {
  const unit = unitOf(bytes);
  return `${inUnit(bytes, unit)} ${unit.name}`;
}

/** `1.2 of 50.3 MB`: both in the unit of the whole. */
export function sharedSizeText(done: number, total: number): string {
  const unit = unitOf(total);
  return `${inUnit(done, unit)} of ${inUnit(total, unit)} ${unit.name}`;
}

export function durationText(ms: number): string {
  return ms < 60_000
    ? `${(ms / 1_000).toFixed(1)} s`
    : `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1_000)} s`;
}

export function countText(count: number): string {
  return count.toLocaleString("en-US");
}

type Unit = { readonly name: string; readonly bytes: number };

function unitOf(bytes: number): Unit {
  return UNITS.find((unit) => bytes >= unit.bytes) ?? SMALLEST;
}

function inUnit(bytes: number, unit: Unit): string {
  return (bytes / unit.bytes).toFixed(1);
}
