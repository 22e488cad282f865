import type { SweepAnswer, SweepView } from "../../core/account/sweep.ts";
import { CATALOG_TABLES } from "../../core/catalog/catalog.ts";
import type { D1Api } from "../../core/d1/api.ts";
import { dumpedTables } from "../../core/dump/schema.ts";
import { type Failure, ok, type Result } from "../../core/failure.ts";
import type { Platform } from "../../core/platform.ts";
import type { BackupRequest } from "../../core/run/request.ts";
import type { RunView } from "../../core/run/run-view.ts";
import { DAY_MS } from "../../core/time.ts";
import type { AccountOutbox } from "../registry/account-outbox.ts";
import type { AccountSchedule } from "../registry/account-schedule.ts";
import type { DueQueue } from "../registry/due-queue.ts";
import type { ListingStore } from "../registry/listing-store.ts";
import { afterListingFailure, readPages } from "../registry/listing.ts";
import { SweepStore, viewSweep } from "./sweep-store.ts";
import type { AccountWork } from "./work.ts";

/** A round that takes longer is given up for the next one: it must never silence the schedule. */
const ROUND_LIMIT_MS = 60 * 60_000;

/** Databases of a sweep that are started while somebody waits: each is a subrequest, of which the free plan allows 50. */
const STARTED_INLINE = 25;

export interface Opened {
  readonly platform: Platform;
  /** Of the same API, for what is least urgent. */
  readonly comparisonApi: D1Api;
  readonly schedule: AccountSchedule;
}

/** Rounds through all databases: reading which ones there are, and a request for a backup of each. */
export class AccountRounds {
  readonly #storage: DurableObjectStorage;
  readonly #listing: ListingStore;
  readonly #sweeps: SweepStore;
  readonly #queue: DueQueue;
  readonly #outbox: AccountOutbox;

  constructor(storage: DurableObjectStorage, listing: ListingStore, queue: DueQueue, outbox: AccountOutbox) {
    this.#storage = storage;
    this.#listing = listing;
    this.#sweeps = new SweepStore(storage);
    this.#queue = queue;
    this.#outbox = outbox;
  }

  /** The latest request for every database. */
  get sweep(): SweepView | null {
    const { sweep } = this.#sweeps;
    if (sweep === null) return null;
    return viewSweep(sweep, sweep.state === "starting" ? this.#queue.count(sweep.request.key) : 0);
  }

  /** Begins to read the list, unless that is being done. Databases that are new are served from `anchor` on. */
  list(anchor: number, now: number): void {
    const { underWay } = this.#listing;
    if (underWay === null || now - underWay.startedAt > ROUND_LIMIT_MS) this.#listing.begin(anchor, now);
  }

  /** Reads the list and starts the first few databases immediately; the others wait in the queue. */
  async startAll(request: BackupRequest, opened: Opened, work: AccountWork): Promise<Result<SweepAnswer>> {
    const now = opened.platform.now();
    const before = this.#sweeps.sweep;
    if (before !== null && before.finishedAt === null && now - before.startedAt < ROUND_LIMIT_MS)
      return ok({ kind: "under-way", sweep: viewSweep(before, this.#queue.count(before.request.key)) });
    const sweep = this.#sweeps.begin(request, now);
    const read = await readPages(this.#listing, this.#listing.begin(now, now), opened.platform);
    if (!read.ok) {
      // Somebody waits for this answer, and can ask again: no retries behind their back.
      this.#fail(read.failure, now);
      return read;
    }
    const runs = read.value === "more" ? [] : await this.#complete(opened, work, read.value === "whole");
    return ok({ kind: "begun", sweep: this.sweep ?? viewSweep(sweep, 0), runs });
  }

  /** Reads on, when that is due. */
  async goOn(opened: Opened, work: AccountWork): Promise<void> {
    const { platform } = opened;
    const { underWay } = this.#listing;
    if (underWay === null || underWay.dueAt > platform.now()) return;
    const read = await readPages(this.#listing, underWay, platform);
    if (read.ok) {
      if (read.value === "more") return;
      await this.#complete(opened, work, read.value === "whole");
      return this.#checkCatalog(opened);
    }
    const next = afterListingFailure(this.#listing.underWay ?? underWay, read.failure, platform);
    if (next === null) this.#fail(read.failure, platform.now());
    else this.#listing.save(next);
  }

  /**
   * Looks once a day whether the database that is left out as the catalogue is one: another, excluded by a wrong name,
   * would have no backups, and nobody would be told. One without any table has nothing to lose.
   */
  async #checkCatalog({ platform, comparisonApi }: Opened): Promise<void> {
    const databaseId = this.#listing.idOf(platform.settings.catalogDatabaseName);
    const before = this.#listing.catalogCheck;
    const now = platform.now();
    const isRecent = before !== null && now >= before.at && now - before.at < DAY_MS;
    if (databaseId === null) {
      this.#listing.catalogCheck = null;
      return;
    }
    if (isRecent && before.databaseId === databaseId) return;
    const schema = await comparisonApi.schema(databaseId);
    // Whatever the reason: the next list asks again.
    if (!schema.ok) return;
    const tables = dumpedTables(schema.value);
    const isAnother = tables.length > 0 && !CATALOG_TABLES.every((table) => tables.includes(table));
    this.#listing.catalogCheck = { databaseId, at: now, isAnother };
  }

  /** A sweep ends when none of its databases is waiting. */
  settle(now: number): void {
    const { sweep } = this.#sweeps;
    if (sweep?.state !== "starting" || this.#queue.count(sweep.request.key) > 0) return;
    this.#sweeps.save({ ...sweep, state: "done", finishedAt: now });
  }

  /** The list is complete and counts now. Starts the first databases of a sweep that has waited for it. */
  async #complete({ schedule, platform }: Opened, work: AccountWork, whole: boolean): Promise<RunView[]> {
    const now = platform.now();
    const { catalogDatabaseName } = platform.settings;
    const found = this.#listing.found(catalogDatabaseName);
    const anchor = this.#listing.underWay?.anchor ?? now;
    const { sweep } = this.#sweeps;
    const wanted = sweep?.state === "listing" ? found.filter(({ name }) => schedule.isIncluded(name)) : [];
    this.#storage.transactionSync(() => {
      const changed = schedule.applyListing(found, anchor, now, whole);
      const first = this.#listing.listed === null;
      this.#listing.complete(found.length, catalogDatabaseName, whole, now);
      this.#outbox.listed(now);
      // Somebody who backs up everything may have recreated the catalogue.
      if (changed || first || sweep?.state === "listing") this.#outbox.addListing(now);
      if (sweep?.state !== "listing") return;
      for (const database of wanted) this.#queue.add(database, sweep.request, false, now);
      this.#sweeps.save({ ...sweep, state: "starting", databases: wanted.length });
    });
    if (sweep?.state !== "listing") return [];
    const runs: RunView[] = [];
    await Promise.all(
      wanted.slice(0, STARTED_INLINE).map(async (database) => {
        const due = { ...database, request: sweep.request, attempt: 0 };
        const answer = await work.startNow(due);
        if (!answer.ok) return;
        this.#queue.done(due);
        runs.push(answer.value.run);
      }),
    );
    this.settle(platform.now());
    return runs;
  }

  #fail(failure: Failure, now: number): void {
    const { code, detail, hint } = failure;
    this.#listing.fail({ at: now, code, detail, hint });
    const { sweep } = this.#sweeps;
    if (sweep?.state === "listing")
      this.#sweeps.save({ ...sweep, state: "failed", finishedAt: now, error: { code, detail, hint } });
    console.error({ event: "listing-failed", code, detail });
  }
}
