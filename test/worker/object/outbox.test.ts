import { describe, expect, it } from "vitest";
import { type Delivery, Outbox } from "../../../src/jobs/object/outbox.ts";

const NOW = Date.UTC(2126, 10, 21);

/** An outbox whose storage is a map, its clock, and how often it delivered. */
function outbox() {
  const stored = new Map<string, unknown>();
  const kv = {
    get: (key: string) => structuredClone(stored.get(key)),
    put: (key: string, value: unknown) => void stored.set(key, structuredClone(value)),
    delete: (key: string) => stored.delete(key),
  };
  const clock = { at: NOW, now: () => clock.at, random: () => 0.5 };
  const box = new Outbox(kv, "letters");
  let deliveries = 0;
  const flush = (delivery: Delivery, meanwhile: () => void = () => undefined) =>
    box.flush(clock, async () => {
      deliveries++;
      meanwhile();
      return delivery;
    });
  return { box, clock, flush, count: () => deliveries, stored };
}

describe("an outbox", () => {
  it("delivers nothing while nothing was added", async () => {
    const { box, flush, count } = outbox();
    await flush("delivered");
    expect([count(), box.dueAt, box.pendingSince]).toEqual([0, null, null]);
  });

  it("delivers once what was added twice, and is empty then", async () => {
    const { box, flush, count, stored } = outbox();
    box.add(NOW);
    box.add(NOW);
    await flush("delivered");
    await flush("delivered");
    expect([count(), box.dueAt, stored.size]).toEqual([1, null, 0]);
  });

  it("tries again later, and later still, what was refused, and knows since when it waits", async () => {
    const { box, clock, flush, count } = outbox();
    box.add(NOW);
    const waits: number[] = [];
    for (let refused = 0; refused < 12; refused++) {
      await flush("refused");
      await flush("refused");
      waits.push((box.dueAt ?? 0) - clock.at);
      clock.at = box.dueAt ?? 0;
    }
    expect(count()).toBe(12);
    expect(waits).toEqual(waits.toSorted((a, b) => a - b));
    expect(waits.at(-1)).toBeLessThanOrEqual(300_000);
    expect(waits[0]).toBeGreaterThan(0);
    expect(box.pendingSince).toBe(NOW);
  });

  it.each(["delivered", "refused", "more"] as const)(
    "delivers at once what was added while another delivery ended as %s",
    async (delivery) => {
      const { box, flush, count } = outbox();
      box.add(NOW);
      await flush(delivery, () => box.add(NOW));
      expect(box.dueAt).toBe(NOW);
      await flush("delivered");
      expect([count(), box.dueAt]).toEqual([2, null]);
    },
  );

  it("goes on at once with what was left over, however often it was refused before", async () => {
    const { box, clock, flush } = outbox();
    box.add(NOW);
    await flush("refused");
    clock.at = box.dueAt ?? 0;
    await flush("more");
    expect(box.dueAt).toBe(clock.at);
  });

  it("takes what an unreadable release has stored for nothing", () => {
    const { box, stored } = outbox();
    stored.set("outbox/letters", { attempts: "many" });
    expect(box.dueAt).toBe(null);
    box.add(NOW);
    expect(box.dueAt).toBe(NOW);
  });
});
