import { DEFAULT_RETENTION, type Retention } from "../backup/retention.ts";
import { EVERYTHING, type ExportOptions } from "../d1/export-options.ts";
import type { Schedule } from "../schedule/schedule-schema.ts";
import type { DefaultPolicy, FullPolicy, Policy } from "./policy.ts";

/** The policy of one database: its own keys, then those of the default policy, then the Worker's settings. */
export function effectivePolicy(
  own: Policy,
  settings: { compression: FullPolicy["compression"]; volumeBytes: number },
  shared: Policy = {},
): FullPolicy {
  const { compression, volumeBytes } = settings;
  const retention: Retention = { ...DEFAULT_RETENTION, ...shared.retention, ...own.retention };
  const exportOptions: ExportOptions = { ...EVERYTHING, ...shared.exportOptions, ...own.exportOptions };
  const schedule: Schedule = "trigger";
  const defaults = { compression, volumeBytes, lean: false, maxUnchangedDays: 7, examineDays: 7 };
  return {
    schedule,
    paused: false,
    freshnessMs: null,
    ...defaults,
    ...shared,
    ...own,
    retention,
    exportOptions,
  };
}

/** Whether the default policy's patterns include a database of this name. */
export function isIncluded(name: string, { include = [], exclude = [] }: DefaultPolicy): boolean {
  const named = (wanted: readonly string[]) => wanted.some((pattern) => matches(name, pattern));
  return (include.length === 0 || named(include)) && !named(exclude);
}

/** `*` matches anything, other characters only themselves. Takes time proportional to both lengths, for any pattern. */
function matches(name: string, pattern: string): boolean {
  const [first = "", ...others] = pattern.split("*");
  const last = others.pop();
  if (last === undefined) return name === first;
  if (!name.startsWith(first)) return false;
  let from = first.length;
  for (const part of others) {
    const at = name.indexOf(part, from);
    if (at < 0) return false;
    from = at + part.length;
  }
  return name.length - last.length >= from && name.endsWith(last);
}
