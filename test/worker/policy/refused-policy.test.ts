import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { expect, it } from "vitest";
import { AccountSchedule } from "../../../src/jobs/registry/account-schedule.ts";
import { DatabaseRegistry } from "../../../src/jobs/registry/database-registry.ts";
import { DueQueue } from "../../../src/jobs/registry/due-queue.ts";

const SETTINGS = { compression: "gzip", volumeBytes: 1024 * 1024 } as const;

it("a policy that storage refuses is not in force", async () => {
  const stub = env.ACCOUNT_COORDINATOR.getByName(crypto.randomUUID());
  await runInDurableObject(stub, (_, { storage }) => {
    const registry = new DatabaseRegistry(storage.sql);
    const schedule = new AccountSchedule(storage, registry, new DueQueue(storage.sql), SETTINGS);
    schedule.setDefaultPolicy({ retention: { keepLast: 9 } }, "somebody", 1);
    // The last of its writes fails.
    storage.sql.exec("ALTER TABLE policy_change RENAME TO gone");
    expect(() => schedule.setDefaultPolicy({ retention: { keepLast: 1 } }, "somebody", 2)).toThrow(
      /no such table/,
    );
    expect(schedule.defaultPolicy).toEqual({ retention: { keepLast: 9 } });
    expect(schedule.policyOf({}).retention.keepLast).toBe(9);
  });
});
