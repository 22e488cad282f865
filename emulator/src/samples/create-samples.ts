import { blog } from "./blog.ts";
import { eventLog } from "./event-log.ts";
import { shop } from "./shop.ts";
import { accountStub, databaseStub } from "../stubs.ts";

/** A database that looks like somebody's, as the SQL that makes it. */
export interface Sample {
  name: string;
  sql: string;
}

const SAMPLES: readonly Sample[] = [shop, blog, eventLog];

/** Creates the sample databases that do not exist yet and returns the uuids of all. */
export async function createSamples(env: Env): Promise<Record<string, string>> {
  const account = accountStub(env);
  const uuids: Record<string, string> = {};
  for (const { name, sql } of SAMPLES) {
    const existing = await account.find(name);
    if (existing !== undefined) {
      uuids[name] = existing.uuid;
      continue;
    }
    const creation = await account.create(name);
    if ("error" in creation) throw new Error(`${name}: ${creation.error}`);
    const { uuid } = creation.database;
    const outcome = await databaseStub(env, uuid).runScript(new Blob([sql]).stream(), await account.now());
    if ("error" in outcome) throw new Error(`${name}: ${outcome.error}`);
    uuids[name] = uuid;
  }
  return uuids;
}
