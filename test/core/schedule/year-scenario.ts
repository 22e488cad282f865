import { DEFAULT_RETENTION, type Retention } from "../../../src/core/backup/retention.ts";
import { at, DAY, spec, type Spec } from "./wall-clock-model.ts";
import type { ModelSchedule } from "./year-model.ts";

/** What happens in the simulated year: to Cloudflare, to the Worker's triggers, and to the databases. */
export const BEGIN = at("2026-01-01T12:00");
export const END = at("2027-01-01T12:00");

/** Nothing fires. */
export const OUTAGES = [
  { from: at("2026-02-14T02:50"), until: at("2026-02-14T03:30") },
  { from: at("2026-05-05T22:00"), until: at("2026-05-06T07:00") },
  { from: at("2026-08-10T10:00"), until: at("2026-08-14T10:00") },
];

export const NIGHTLY = spec({ minutes: [0], hours: [3] });
export const WORKING_DAYS = spec({ minutes: [30], hours: [4], weekdays: [1, 2, 3, 4, 5] });

/** What Cloudflare fires. In June somebody edits the trigger in the dashboard, in September a deploy puts it back. */
export const EDITED = at("2026-06-10T12:00");
export const DEPLOYED = at("2026-09-01T12:00");
export const LOST_FIRE = at("2026-03-03T03:00");
export const DOUBLE_FIRE = at("2026-04-04T03:00");

/** The same as it should be remembered: a removed one for two of its periods after its last fire. */
export const REMEMBERED = [
  { spec: NIGHTLY, from: at("2026-01-02T03:00"), until: at("2026-06-10T03:00") + 2 * DAY },
  { spec: WORKING_DAYS, from: at("2026-06-11T04:30"), until: at("2026-09-01T04:30") + 6 * DAY },
  { spec: NIGHTLY, from: at("2026-09-02T03:00"), until: Number.POSITIVE_INFINITY },
];

const own = (timeZone: string, parts: Partial<Spec>): ModelSchedule => ({ spec: spec(parts), timeZone });
const keep = (parts: Partial<Retention>): Retention => ({
  keepLast: 0,
  keepHourly: 0,
  keepDaily: 0,
  keepWeekly: 0,
  keepMonthly: 0,
  keepYearly: 0,
  keepWithinDays: 0,
  ...parts,
});

const EVERY_30 = { minutes: [0, 30] };
const EVERY_5 = { minutes: Array.from({ length: 12 }, (_, index) => index * 5) };

/** What is done to databases, each by its name and its number among those that bore that name. */
export type Deed =
  | {
      readonly to: string;
      readonly on: string;
      readonly create: "trigger" | ModelSchedule;
      readonly keep: Retention;
    }
  | { readonly to: string; readonly on: string; readonly schedule: "trigger" | ModelSchedule }
  | { readonly to: string; readonly on: string; readonly paused: boolean }
  | { readonly to: string; readonly on: string; readonly keep: Retention }
  | { readonly to: string; readonly on: string; readonly remove: true };

export const DEEDS: Deed[] = [
  { to: "shop", on: "2026-01-01T12:00", create: "trigger", keep: DEFAULT_RETENTION },
  {
    to: "berlin",
    on: "2026-01-03T02:10",
    create: own("Europe/Berlin", { minutes: [30], hours: [2] }),
    keep: keep({ keepDaily: 7, keepWeekly: 5, keepMonthly: 6, keepYearly: 1 }),
  },
  {
    to: "santiago",
    on: "2026-01-05T09:00",
    create: own("America/Santiago", { minutes: [0], hours: [0, 12] }),
    keep: keep({ keepWithinDays: 10, keepMonthly: 3 }),
  },
  {
    to: "howe",
    on: "2026-01-05T09:00",
    create: own("Australia/Lord_Howe", { minutes: [15], hours: [2] }),
    keep: keep({ keepLast: 12 }),
  },
  {
    to: "sundays",
    on: "2026-01-07T00:00",
    create: own("Europe/Berlin", { minutes: [15], hours: [2], weekdays: [0] }),
    keep: keep({}),
  },
  // Half-hourly over both of Berlin's changes, paused between them.
  {
    to: "busy",
    on: "2026-03-20T10:01",
    create: own("Europe/Berlin", EVERY_30),
    keep: keep({ keepLast: 5, keepHourly: 24, keepDaily: 3 }),
  },
  { to: "busy", on: "2026-05-20T10:00", paused: true },
  { to: "busy", on: "2026-10-10T10:00", paused: false },
  { to: "busy", on: "2026-11-10T10:00", schedule: "trigger" },
  // Every five minutes, created, deleted, and created again under the same name with another UUID.
  {
    to: "log",
    on: "2026-04-20T08:02",
    create: own("UTC", EVERY_5),
    keep: keep({ keepLast: 3, keepHourly: 6 }),
  },
  { to: "log", on: "2026-05-10T08:00", remove: true },
  { to: "log#2", on: "2026-05-12T08:03", create: "trigger", keep: keep({ keepDaily: 4 }) },
  { to: "log#2", on: "2026-10-01T00:00", remove: true },
  { to: "log#3", on: "2026-10-01T00:01", create: "trigger", keep: keep({ keepDaily: 2 }) },
  // Paused before the first outage and resumed after it, and the other way round for the third.
  { to: "crm", on: "2026-01-20T00:00", create: "trigger", keep: keep({ keepWeekly: 10 }) },
  { to: "crm", on: "2026-02-01T00:00", paused: true },
  { to: "crm", on: "2026-03-01T18:00", paused: false },
  { to: "crm", on: "2026-08-11T10:00", paused: true },
  { to: "crm", on: "2026-08-20T10:00", paused: false },
  // From one schedule to the next, and to another retention.
  { to: "wiki", on: "2026-01-10T10:00", create: "trigger", keep: keep({ keepDaily: 30 }) },
  {
    to: "wiki",
    on: "2026-04-20T02:59",
    schedule: own("America/New_York", { minutes: [10], hours: [4], days: [1, 15] }),
  },
  { to: "wiki", on: "2026-07-04T12:00", schedule: own("America/New_York", { minutes: [30], hours: [1] }) },
  { to: "wiki", on: "2026-07-20T12:00", keep: keep({ keepDaily: 5, keepMonthly: 4 }) },
  { to: "wiki", on: "2026-12-01T12:00", schedule: "trigger" },
];
