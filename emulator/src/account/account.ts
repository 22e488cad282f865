import { DurableObject } from "cloudflare:workers";
import type { ApiError } from "../wire/envelope.ts";
import { FaultStore, type FaultRecord } from "../faults/fault-store.ts";
import { findFault, type Fault, type FaultRule } from "../faults/fault-rule.ts";
import type { Operation } from "../wire/operation.ts";
import { refusal } from "./permission.ts";
import { countRequest, rateHeaders, type RateLimit, type RateWindow } from "./rate-limit.ts";
import {
  CATALOG_NAME,
  DatabaseRegistry,
  type DatabaseEntry,
  type DatabaseOptions,
  type DatabasePage,
} from "./database-registry.ts";
import { rateLimitFrom, settingsFrom, type Settings } from "./settings.ts";
import { SignedUrls, type SignedLookup, type SignedObject } from "../signed/signed-urls.ts";
import { TrafficCounter, type RequestCounts, type Traffic } from "./traffic-counter.ts";

/** What a request to the API says before its body matters. */
export interface ApiRequest {
  operation: Operation;
  account: string;
  token: string | undefined;
  /** The uuid, or for `get` also the name, in the path. */
  database: string | undefined;
}

/** The account's word on a request. */
export interface Admission {
  now: number;
  settings: Settings;
  faults: Fault[];
  database: DatabaseEntry | undefined;
  refusal: { error: ApiError; retryAfterSeconds?: number } | undefined;
  /** What every answer tells of the rate limit; none for who may not ask. */
  headers: Record<string, string>;
}

/** The account's word on a request to a signed URL. */
export interface SignedAdmission {
  faults: Fault[];
  lookup: SignedLookup;
}

/** The result of creating a database. */
export type Creation = { database: DatabaseEntry } | { error: ApiError };

/** What all databases share: the list, the faults, the rate limit, the signed URLs and the clock. */
export class EmulatedAccount extends DurableObject<Env> {
  readonly #kv = this.ctx.storage.kv;
  #registry = new DatabaseRegistry(this.ctx.storage.sql);
  #faults = new FaultStore(this.ctx.storage.sql);
  #signedUrls = new SignedUrls(this.ctx.storage.sql);
  #traffic = new TrafficCounter(this.ctx.storage.sql);

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#registry.create(CATALOG_NAME, this.now());
  }

  /** The emulated time: the real one, plus what the clock was advanced by. */
  now(): number {
    return Date.now() + (this.#kv.get<number>("clock") ?? 0);
  }

  advanceClock(ms: number): number {
    this.#kv.put("clock", (this.#kv.get<number>("clock") ?? 0) + ms);
    return this.now();
  }

  settings(): Settings {
    return { ...settingsFrom(this.env), ...this.#kv.get<Partial<Settings>>("settings") };
  }

  changeSettings(change: Partial<Settings>): Settings {
    this.#kv.put("settings", { ...this.#kv.get<Partial<Settings>>("settings"), ...change });
    return this.settings();
  }

  setRateLimit(limit: RateLimit): void {
    this.#kv.put("rate-limit", limit);
    this.#kv.delete("rate-window");
  }

  /** Counts the request and decides about it: token, account, rate, then the faults, then the database. */
  admit({ operation, account, token, database: wanted }: ApiRequest): Admission {
    const now = this.now();
    const nobody = { now, settings: this.settings(), faults: [], database: undefined, headers: {} };
    const error = refusal(token, account, operation);
    if (error !== undefined) return { ...nobody, refusal: { error } };
    const { retryAfterSeconds, headers } = this.#countRequest(operation, now);
    const answer = { ...nobody, headers };
    if (retryAfterSeconds !== undefined)
      return { ...answer, refusal: { error: "throttled", retryAfterSeconds } };
    const database = wanted === undefined ? undefined : this.#lookUp(wanted, operation);
    const faults = this.#faults.strike(database?.uuid, operation);
    if (database !== undefined && findFault(faults, "vanish") !== undefined) {
      this.remove(database.uuid);
      return { ...answer, faults, refusal: { error: "notFound" } };
    }
    const isMissing = wanted !== undefined && database === undefined;
    return { ...answer, faults, database, refusal: isMissing ? { error: "notFound" } : undefined };
  }

  /** Looks a signed URL up and counts the request. A bearer token has no business there. */
  admitSigned(token: string, kind: SignedObject["kind"], hasBearer: boolean): SignedAdmission {
    const lookup = this.#signedUrls.find(token, kind, this.now());
    if (lookup.object === undefined) return { faults: [], lookup };
    const { uuid } = lookup.object;
    this.#traffic.countRequest(kind, false);
    this.#traffic.add(uuid, {
      [kind === "download" ? "downloads" : "uploads"]: 1,
      bearerSeenOnSignedUrl: hasBearer ? 1 : 0,
    });
    const faults = this.#faults.strike(uuid, kind);
    if (findFault(faults, "vanish") !== undefined) this.remove(uuid);
    return { faults, lookup };
  }

  list(page: number, perPage: number, nameContains: string): DatabasePage {
    return this.#registry.list(page, Math.min(perPage, this.settings().mostPerPage), nameContains);
  }

  find(uuidOrName: string): DatabaseEntry | undefined {
    return this.#registry.find(uuidOrName);
  }

  create(name: string, options?: DatabaseOptions): Creation {
    if (this.#registry.list(1, 1, "").total >= this.settings().maxDatabases) return { error: "tooMany" };
    const database = this.#registry.create(name, this.now(), options);
    return database === undefined ? { error: "nameTaken" } : { database };
  }

  remove(uuid: string): void {
    this.#registry.remove(uuid);
  }

  rename(uuid: string, name: string): void {
    this.#registry.rename(uuid, name);
  }

  showAs(uuid: string, fields: string): void {
    this.#registry.showAs(uuid, fields);
  }

  sign(object: Omit<SignedObject, "isChanged">): string {
    return this.#signedUrls.sign(object, this.now());
  }

  change(token: string): void {
    this.#signedUrls.change(token);
  }

  addTraffic(uuid: string, more: Partial<Traffic>): void {
    this.#traffic.add(uuid, more);
  }

  traffic(uuid: string): Traffic {
    return this.#traffic.of(uuid);
  }

  requests(): RequestCounts {
    return this.#traffic.requests();
  }

  setFaults(target: string, rules: FaultRule[]): void {
    this.#faults.set(target, rules);
  }

  faults(target: string): FaultRecord[] {
    return this.#faults.list(target);
  }

  clearFaults(target: string): void {
    this.#faults.clear(target);
  }

  /** Forgets everything. */
  async reset(): Promise<void> {
    await this.ctx.storage.deleteAll();
    const { sql } = this.ctx.storage;
    this.#registry = new DatabaseRegistry(sql);
    this.#faults = new FaultStore(sql);
    this.#signedUrls = new SignedUrls(sql);
    this.#traffic = new TrafficCounter(sql);
    this.#registry.create(CATALOG_NAME, this.now());
  }

  /** Names are accepted where the real service accepts them: in `get` only. */
  #lookUp(wanted: string, operation: Operation): DatabaseEntry | undefined {
    const database = this.#registry.find(wanted);
    return operation === "get" || database?.uuid === wanted ? database : undefined;
  }

  #countRequest(
    operation: Operation,
    now: number,
  ): { retryAfterSeconds: number | undefined; headers: Record<string, string> } {
    const limit = this.#kv.get<RateLimit>("rate-limit") ?? rateLimitFrom(this.env);
    const verdict = countRequest(limit, this.#kv.get<RateWindow>("rate-window"), now);
    this.#kv.put("rate-window", verdict.window);
    this.#traffic.countRequest(operation, verdict.retryAfterSeconds !== undefined);
    this.#traffic.countInWindow(now);
    const { window, retryAfterSeconds } = verdict;
    return { retryAfterSeconds, headers: rateHeaders(limit, window, now) };
  }
}
