import { describe, expect, it } from "vitest";
import type { Hazard } from "../../../src/core/dump/hazards.ts";
import { alteredHazards, notExamined, withFindings } from "../../../src/core/examination/findings.ts";
import type { Counted } from "../../../src/core/examination/replaced-text.ts";
import {
  afterExamination,
  countedInState,
  type Examination,
  examinationDue,
  type Outcome,
  standingFindings,
} from "../../../src/core/run/standing-findings.ts";

const DAY_MS = 86_400_000;
const NIGHT = Date.UTC(2026, 10, 21, 3);
const FIRST = "2026-11-21T03:00:00.000Z";
const ALL = { tables: [] };

const UNALTERED = { integers: 0, reals: 0, renumbered: 0, replacementRows: 0, replacements: 0, rules: null };
const text = (table: string, rows: number): Hazard[] =>
  alteredHazards(table, { ...UNALTERED, total: rows, text: rows });

/** These tables have answered. */
const countedIn = (...tables: string[]): Counted => ({
  rows: tables.map((table) => [table, 9]),
  genuine: tables.map((table) => [table, 1, 2]),
});

function examination(before: Examination | null, outcome: Partial<Outcome>, now = NIGHT): Examination {
  const whole: Outcome = {
    answered: true,
    bookmark: "b1",
    tables: ["a", "b"],
    counted: countedIn("a", "b"),
    found: [],
  };
  return afterExamination(before, { ...whole, ...outcome }, ALL, now);
}

const shown = (hazards: readonly Hazard[]) =>
  hazards.map(({ kind, table, count, examinedAt }) => [kind, table, count, examinedAt?.slice(0, 10)]);

describe("a database is examined", () => {
  const answered = examination(null, {});
  const failed = (times: number): Examination => ({ ...answered, failures: times });
  const id = "4d2318fa-0000-4000-8000-000000000001";
  it.each<[string, Examination | null, number, string[], number, boolean]>([
    ["with its first backup", null, 7, [], 0, true],
    ["not with the next one", answered, 7, [], 60_000, false],
    ["a week later at the latest", answered, 7, [], 7 * DAY_MS, true],
    ["never, when the policy says so", null, 0, [], 0, false],
    ["when the policy has named other tables since", answered, 7, ["a"], 60_000, true],
    ["with the next backup, after one failure", failed(1), 7, [], 60_000, true],
    ["with the next backup, after two", failed(2), 7, [], 60_000, true],
    ["and not after three", failed(3), 7, [], 60_000, false],
    ["when the last one was a day ahead, by a clock that was wrong", answered, 7, [], -2 * DAY_MS, true],
    ["but a week later", failed(3), 7, [], 7 * DAY_MS, true],
  ])("%s", (_, before, every, tables, later, due) => {
    expect(examinationDue(id, every, before, { tables }, NIGHT + later)).toBe(due);
  });
});

describe("what an examination has found", () => {
  const dump = { tables: ["a", "b"], bookmark: "b1" };

  it("is told of the dump of the same state, with the counts and the date", () => {
    const known = examination(null, { found: text("a", 3) });
    expect(shown(standingFindings(known, dump))).toEqual([["altered-text", "a", 3, "2026-11-21"]]);
  });

  it("is told of a dump of another state without counts, which the detail says", () => {
    const known = examination(null, { found: text("a", 3) });
    const [hazard] = standingFindings(known, { ...dump, bookmark: "b2" });
    expect(hazard).toMatchObject({ count: null, examinedAt: FIRST });
    expect(hazard?.detail).toContain(`the examination of ${FIRST}: 3 then`);
  });

  it("is no dump's own when the database was written to meanwhile", () => {
    const known = examination(null, { bookmark: null, found: text("a", 3) });
    expect(standingFindings(known, dump)[0]?.count).toBeNull();
  });

  it("is not told of a table that the dump does not hold", () => {
    const known = examination(null, { found: [...text("a", 3), ...text("b", 1)] });
    expect(standingFindings(known, { ...dump, tables: ["b"] })).toMatchObject([{ table: "b" }]);
  });

  it("is told to be unknown when nobody has ever asked", () => {
    expect(standingFindings(null, dump)).toMatchObject([{ kind: "not-examined", table: null }]);
  });

  const later = NIGHT + 7 * DAY_MS;
  const before = examination(null, { found: [...text("a", 3), ...text("b", 1), notExamined("so.", "c")] });
  it.each<[string, Partial<Outcome>, unknown[]]>([
    ["by one that finds nothing", {}, []],
    ["by one that finds something else", { found: text("b", 9) }, [["altered-text", "b", 9, "2026-11-28"]]],
    [
      "but for tables of which it got no answer, whose counts are of then",
      { counted: countedIn("a"), found: [notExamined("it failed.", "b")] },
      [
        ["not-examined", "b", null, "2026-11-28"],
        ["altered-text", "b", null, "2026-11-21"],
      ],
    ],
    [
      "but not by one that comes to nothing",
      { answered: false, bookmark: null, counted: countedIn(), found: [notExamined("it failed.")] },
      [
        ["not-examined", null, null, "2026-11-28"],
        ["altered-text", "a", null, "2026-11-21"],
        ["altered-text", "b", null, "2026-11-21"],
      ],
    ],
    [
      "but for tables that are gone",
      { tables: ["b"], counted: countedIn() },
      [["altered-text", "b", null, "2026-11-21"]],
    ],
  ])("is replaced by the next examination: %s", (_, outcome, expected) => {
    const known = examination(before, { bookmark: "b2", ...outcome }, later);
    expect(shown(standingFindings(known, { ...dump, bookmark: "b2" }))).toEqual(expected);
    // However often it is passed on, it says so once.
    const third = examination(known, { bookmark: "b3", ...outcome, found: [] }, later + DAY_MS);
    for (const { detail } of standingFindings(third, { ...dump, bookmark: "b4" }))
      expect(detail.split("Found by").length).toBeLessThanOrEqual(2);
  });

  it("has one summary of further tables a kind, however many examinations leave a table out", () => {
    const names = Array.from({ length: 520 }, (_, number) => `t${number}`);
    const found = withFindings(
      [],
      names.flatMap((name) => text(name, 2)),
    );
    let known: Examination | null = null;
    for (let week = 0; week < 4; week++) {
      const outcome = { tables: [...names, "large"], counted: countedIn(...names), found };
      known = examination(known, outcome, NIGHT + week * 7 * DAY_MS);
    }
    expect(known?.findings.filter(({ table }) => table === null)).toHaveLength(1);
    expect(known?.findings).toHaveLength(501);
  });

  it("keeps its counts when the next examination sees the same state and gets no answer", () => {
    const known = examination(
      before,
      { counted: countedIn("a"), found: [notExamined("it failed.", "b")] },
      later,
    );
    expect(shown(standingFindings(known, dump))).toEqual([
      ["not-examined", "b", null, "2026-11-28"],
      ["altered-text", "b", 1, "2026-11-21"],
    ]);
  });

  it("counts failures in a row, and says when the database last answered", () => {
    const nothing = { answered: false, bookmark: null, counted: countedIn() };
    const once = examination(before, nothing, later);
    const twice = examination(once, nothing, later + DAY_MS);
    expect(twice).toMatchObject({ failures: 2, answeredAt: NIGHT, triedAt: later + DAY_MS });
    expect(examination(twice, {}, later + 2 * DAY_MS)).toMatchObject({ failures: 0 });
  });
});

describe("what an examination has counted", () => {
  const dump = { tables: ["a", "b"], bookmark: "b1" };

  it("is known of each later dump of the same state, and of the tables that it holds", () => {
    const known = examination(null, {});
    expect(countedInState(known, dump)).toEqual(countedIn("a", "b"));
    expect(countedInState(known, { ...dump, tables: ["b", "c"] })).toEqual(countedIn("b"));
  });

  it.each<[string, Examination | null]>([
    ["nobody has asked", null],
    ["it was asked in another state", examination(null, { bookmark: "b0" })],
    ["the database was written to meanwhile", examination(null, { bookmark: null })],
  ])("is not known when %s", (_, known) => {
    expect(countedInState(known, dump)).toEqual({ rows: [], genuine: [] });
  });
});
