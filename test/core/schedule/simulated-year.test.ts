import { beforeAll, describe, expect, it } from "vitest";
import { retain, type RetainedBackup, type Retention } from "../../../src/core/backup/retention.ts";
import { giveSameSlots, sawTrigger, type Trigger } from "../../../src/core/schedule/cron-triggers.ts";
import {
  anchorAfterChange,
  dueAt,
  freshnessLimitMs,
  type Plan,
  serve,
  soundAnchor,
} from "../../../src/core/schedule/schedule.ts";
import { at, cronOf, DAY, HOUR, MINUTE, type Spec } from "./wall-clock-model.ts";
import {
  keptOf,
  type ModelBackup,
  type ModelSchedule,
  type Start,
  type Stretch,
  YearModel,
} from "./year-model.ts";
import {
  BEGIN,
  type Deed,
  DEEDS,
  DEPLOYED,
  DOUBLE_FIRE,
  EDITED,
  END,
  LOST_FIRE,
  NIGHTLY,
  OUTAGES,
  REMEMBERED,
  WORKING_DAYS,
} from "./year-scenario.ts";

/**
 * A year on a virtual clock, through the code that the Worker runs: triggers, what is due, freshness, retention. Beside
 * it a model that knows the rules and none of that code says what should have come of it.
 */
/** One database: what the Worker keeps of it, what became of it, and what the model knows. */
interface Simulated {
  readonly id: string;
  plan: Plan;
  wanted: "trigger" | ModelSchedule;
  retention: Retention;
  anchor: number;
  due: number | null;
  exists: boolean;
  backups: RetainedBackup[];
  starts: Start[];
  committedAt: number | null;
  /** The model's: all backups, the policy that they were last pruned by, and the schedule's stretches. */
  history: ModelBackup[];
  prunedBy: Retention | null;
  stretches: Stretch[];
}

/** A number below `count` that a text always gives: the world's dice. */
function dice(text: string, count: number): number {
  return [...text].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % 999_983, 7) % count;
}

const model = new YearModel(REMEMBERED, BEGIN, at("2028-03-01T00:00"));
const databases = new Map<string, Simulated>();
const beats: number[] = [];
const differences: string[] = [];
const tally = { fresh: 0, late: 0, days: 0, kept: 0, removed: 0, failed: 0 };
let triggers: Trigger[] = [];
let commits: { database: Simulated; startedAt: number; doneAt: number }[] = [];

function planOf(wanted: "trigger" | ModelSchedule, paused: boolean): Plan {
  return {
    paused,
    schedule: wanted === "trigger" ? wanted : { cron: cronOf(wanted.spec), timeZone: wanted.timeZone },
  };
}

function perform(deed: Deed, now: number): void {
  if ("create" in deed) {
    const plan = planOf(deed.create, false);
    databases.set(deed.to, {
      id: `uuid-of-${deed.to}`,
      plan,
      wanted: deed.create,
      retention: deed.keep,
      anchor: now,
      due: null,
      exists: true,
      backups: [],
      starts: [],
      committedAt: null,
      history: [],
      prunedBy: null,
      stretches: [{ from: now, until: END, schedule: deed.create }],
    });
  } else {
    const database = databases.get(deed.to);
    if (database === undefined) throw new Error(`there is no ${deed.to}`);
    if ("keep" in deed) database.retention = deed.keep;
    else if ("remove" in deed) database.exists = false;
    else {
      database.wanted = "schedule" in deed ? deed.schedule : database.wanted;
      const plan = planOf(database.wanted, "paused" in deed ? deed.paused : database.plan.paused);
      database.anchor = anchorAfterChange(database.plan, plan, database.anchor, now);
      database.plan = plan;
    }
    if (!("keep" in deed)) {
      const running = database.stretches.at(-1);
      if (running !== undefined && running.until === END)
        database.stretches.splice(-1, 1, { ...running, until: now });
      if (database.exists && !database.plan.paused)
        database.stretches.push({ from: now, until: END, schedule: database.wanted });
    }
  }
  replan(now);
}

function replan(now: number): void {
  for (const database of databases.values()) {
    database.anchor = soundAnchor(database.plan, triggers, database.anchor, now);
    database.due = database.exists ? dueAt(database.id, database.plan, triggers, database.anchor) : null;
  }
}

/** A trigger wakes the Worker: a heartbeat, or any other. */
function fire(cron: string, scheduledTime: number, now: number): void {
  const before = triggers;
  triggers = sawTrigger(triggers, cron, scheduledTime);
  if (!giveSameSlots(before, triggers)) replan(now);
  for (const database of databases.values()) {
    if (database.due === null || database.due > now) continue;
    const served = serve(database.plan, triggers, database.anchor, now);
    if (served === null) throw new Error(`${database.id} is due, and nothing is to be served`);
    database.starts.push({ slot: served.slot, startedAt: now });
    database.anchor = served.anchor;
    database.due = dueAt(database.id, database.plan, triggers, database.anchor);
    // Some runs fail, now and then three in a row. The others take some minutes.
    const run = `${database.id} ${served.slot}`;
    const bad =
      dice(run, 50) === 0 || dice(`${database.id} ${Math.floor(served.slot / (3 * DAY))}`, 40) === 0;
    if (bad) tally.failed++;
    else commits.push({ database, startedAt: now, doneAt: now + (1 + dice(run, 4)) * MINUTE });
  }
}

function commit(until: number): void {
  for (const { database, startedAt, doneAt } of commits.filter((run) => run.doneAt <= until)) {
    const id = `${database.id}.${startedAt}`;
    const backup = { id, startedAt, pinned: dice(id, 97) === 0 };
    const plan = retain([...database.backups, backup], database.retention, doneAt);
    const kept = new Set(plan.keep.map(({ backupId }) => backupId));
    database.backups = [...database.backups, backup].filter((one) => kept.has(one.id));
    database.committedAt = startedAt;
    tally.removed += plan.remove.length;
    // Under another policy the model's past is what the one before it has left.
    if (database.prunedBy !== null && database.prunedBy !== database.retention) {
      const left = keptOf(database.history, database.prunedBy);
      database.history = database.history.filter((one) => left.has(one.id));
    }
    database.history.push(backup);
    database.prunedBy = database.retention;
  }
  commits = commits.filter((run) => run.doneAt > until);
}

function compareFreshness(now: number): void {
  for (const { id, plan, wanted, exists, committedAt, history } of databases.values()) {
    if (!exists || plan.paused || committedAt === null) continue;
    const limit = freshnessLimitMs({ schedule: plan.schedule, freshnessMs: null }, triggers, now);
    const fresh = now - committedAt <= limit;
    const age = now - Math.max(...history.slice(-1).map(({ startedAt }) => startedAt));
    const expected = age <= model.limit(wanted, now);
    tally[fresh ? "fresh" : "late"]++;
    if (fresh !== expected || limit !== model.limit(wanted, now))
      differences.push(
        `${id} at ${new Date(now).toISOString()}: fresh ${fresh}, limit ${limit / HOUR} hours`,
      );
  }
}

/** Of the databases to which nothing was added, the model's answer stays. */
const keptByModel = new Map<string, Set<string>>();

function compareKept(now: number): void {
  tally.days++;
  for (const { id, backups, history, prunedBy } of databases.values()) {
    if (prunedBy === null) continue;
    const key = JSON.stringify([id, history.length, prunedBy]);
    const expected = keptByModel.get(key) ?? keptOf(history, prunedBy);
    keptByModel.set(key, expected);
    const found = new Set(backups.map((backup) => backup.id));
    tally.kept += found.size;
    const other = [...new Set([...expected, ...found])].filter(
      (one) => !expected.has(one) || !found.has(one),
    );
    if (other.length > 0)
      differences.push(`${id} on ${new Date(now).toISOString()}: ${other.join(", ")} kept by one of both`);
  }
}

const down = (moment: number): boolean => OUTAGES.some(({ from, until }) => from <= moment && moment < until);

function fires(wanted: Spec, moment: number): boolean {
  const date = new Date(moment);
  return (
    wanted.minutes.includes(date.getUTCMinutes()) &&
    (wanted.hours ?? []).includes(date.getUTCHours()) &&
    (wanted.weekdays ?? [0, 1, 2, 3, 4, 5, 6]).includes(date.getUTCDay())
  );
}

beforeAll(() => {
  const deeds = [...DEEDS].sort((a, b) => at(a.on) - at(b.on));
  for (let minute = BEGIN; minute < END; minute += MINUTE) {
    while (deeds[0] !== undefined && at(deeds[0].on) <= minute) {
      const deed = deeds.shift();
      if (deed !== undefined) perform(deed, at(deed.on));
    }
    if (minute % (5 * MINUTE) === 0) {
      commit(minute);
      // Fires come some seconds late, the heartbeat's first.
      const now = minute + 7_000;
      if (!down(minute)) {
        beats.push(now);
        fire("*/5 * * * *", minute, now);
        const nightly = minute < EDITED || minute >= DEPLOYED;
        const times = minute === LOST_FIRE ? 0 : minute === DOUBLE_FIRE ? 2 : 1;
        for (let time = 0; time < times; time++)
          if (fires(nightly ? NIGHTLY : WORKING_DAYS, minute))
            fire(nightly ? "0 3 * * *" : "30 4 * * 2-6", minute, now);
      }
    }
    if (minute % HOUR === 32 * MINUTE) compareFreshness(minute);
    if (minute % DAY === 0) compareKept(minute);
  }
}, 300_000);

describe("a simulated year", () => {
  it("loses no slot and doubles none, beyond the one catch-up after an outage", () => {
    let slots = 0;
    let open = 0;
    for (const { id, starts, stretches } of databases.values()) {
      slots += starts.length;
      const inNone = starts.filter(
        ({ startedAt }) => !stretches.some(({ from, until }) => from < startedAt && startedAt < until),
      );
      expect(inNone, `${id} starts while it is paused or gone`).toEqual([]);
      for (const stretch of stretches) {
        const within = starts.filter(
          ({ startedAt }) => stretch.from < startedAt && startedAt < stretch.until,
        );
        const judged = model.judge(stretch, within, beats);
        expect(judged.wrong.slice(0, 9), id).toEqual([]);
        open += judged.open;
      }
    }
    expect(slots).toBeGreaterThan(10_000);
    // At so few moments a change or an outage came while a database waited for its place in the window.
    expect(open).toBeLessThan(10);
  });

  it("has a catch-up after each outage, and one only", () => {
    for (const { from, until } of OUTAGES) {
      let caughtUp = 0;
      for (const { starts } of databases.values()) {
        const late = starts.filter(
          ({ slot, startedAt }) => slot < until && startedAt >= until && slot >= from,
        );
        expect(late.length).toBeLessThanOrEqual(1);
        caughtUp += late.length;
      }
      expect(caughtUp).toBeGreaterThan(0);
    }
  });

  it("is never green when it should not be, nor red", () => {
    expect(differences.filter((text) => text.includes("fresh")).slice(0, 9)).toEqual([]);
    expect(tally.fresh).toBeGreaterThan(40_000);
    expect(tally.late).toBeGreaterThan(500);
    expect(tally.failed).toBeGreaterThan(100);
  });

  it("keeps on each day what the model keeps", () => {
    expect(differences.filter((text) => text.includes("kept")).slice(0, 9)).toEqual([]);
    expect(tally.days).toBe(365);
    expect(tally.kept).toBeGreaterThan(20_000);
    expect(tally.removed).toBeGreaterThan(5_000);
  });

  it("has both daylight-saving changes of Berlin and of Santiago in it, with one backup in each night", () => {
    const on = (name: string, day: string): string[] =>
      (databases.get(name)?.starts ?? [])
        .map(({ slot }) => new Date(slot).toISOString().slice(0, 16))
        .filter((text) => text.startsWith(day));
    expect(on("berlin", "2026-03-29")).toEqual(["2026-03-29T01:00"]);
    expect(on("berlin", "2026-10-25")).toEqual(["2026-10-25T00:30"]);
    expect(on("sundays", "2026-03-29")).toEqual(["2026-03-29T01:00"]);
    expect(on("sundays", "2026-10-25")).toEqual(["2026-10-25T00:15"]);
    expect(on("santiago", "2026-09-06")).toEqual(["2026-09-06T04:00", "2026-09-06T15:00"]);
    expect(on("santiago", "2026-04-05")).toEqual(["2026-04-05T04:00", "2026-04-05T16:00"]);
    expect(on("busy", "2026-10-25")).toHaveLength(48);
  });
});
