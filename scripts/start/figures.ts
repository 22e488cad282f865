/** `1.2 MB`, with 1 MB of 1,000,000 bytes as disks and Cloudflare count. */
export function sizeText(bytes: number): string {
  const [unit, divisor] = bytes >= 1e9 ? ["GB", 1e9] : bytes >= 1e6 ? ["MB", 1e6] : ["kB", 1e3];
  return `${(bytes / divisor).toFixed(1)} ${unit}`;
}

export function durationText(ms: number): string {
  return ms < 60_000
    ? `${(ms / 1_000).toFixed(1)} s`
    : `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1_000)} s`;
}

export function countText(count: number): string {
  return count.toLocaleString("en-US");
}
