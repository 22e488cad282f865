import { DurableObject } from "cloudflare:workers";
import { attemptLimit, backoffMs } from "../core/backoff.ts";
import type { KeyProof } from "../core/key-proof.ts";
import { describeException, ok, type Failure, type Result } from "../core/failure.ts";
import type {
  AccountHealth,
  AccountRuns,
  Connect,
  DatabaseRuns,
  PlaceKind,
  Places,
  Platform,
  SweepAnswer,
  SweepView,
} from "../core/ports.ts";
import { iso, type BackupRequest } from "../core/run.ts";
import type { RunView } from "../core/run-view.ts";
import { KeyProofs } from "./key-proofs.ts";
import { PlaceLedger } from "./place-ledger.ts";
import { SweepLedger, type Sweep } from "./sweep-ledger.ts";

/** The free plan allows 50 subrequests an invocation: so much and no more is done in one alarm. */
const PER_PAGE = 100;
const PAGES_AN_ALARM = 10;
const STARTS_AN_ALARM = 25;

const WATCHDOG_MS = 30_000;

/** A sweep that takes longer is given up for the next one: it must never silence the schedule. */
const SWEEP_LIMIT_MS = 60 * 60_000;

/** A database's object, as far as the account's calls it. */
export type WakeableRuns = DatabaseRuns & { wake(): Promise<void> };

export interface AccountQueueOptions<Env> {
  readonly connect: Connect<Env>;
  readonly database: (env: Env, id: string) => WakeableRuns;
}

/**
 * The account's one object. It takes one call for "back up everything", lists the databases page by page and
 * starts them a handful an alarm; and it gives out the places that keep exports and copies to a few at once.
 */
export function accountQueue<Env extends Cloudflare.Env>(options: AccountQueueOptions<Env>) {
  return class AccountQueue extends DurableObject<Env> implements AccountRuns, Places {
    readonly #places: PlaceLedger;
    readonly #ledger: SweepLedger;
    readonly #proofs: KeyProofs;

    constructor(ctx: DurableObjectState, env: Env) {
      super(ctx, env);
      this.#places = new PlaceLedger(ctx.storage.sql);
      this.#ledger = new SweepLedger(ctx.storage);
      this.#proofs = new KeyProofs(ctx.storage.sql);
    }

    async take(kind: PlaceKind, databaseId: string): Promise<boolean> {
      return this.#places.take(kind, databaseId, Date.now());
    }

    async release(kind: PlaceKind, databaseId: string): Promise<void> {
      const next = this.#places.release(kind, databaseId, Date.now());
      // A call that is lost is made good by the waiting object, which asks again by itself.
      await Promise.allSettled(next.map((id) => options.database(this.env, id).wake()));
    }

    async startAll(request: BackupRequest, inline: boolean): Promise<Result<SweepAnswer>> {
      const connected = options.connect(this.env);
      if (!connected.ok) return connected;
      const platform = connected.value;
      const before = this.#ledger.sweep;
      const same = before !== null && request.key !== null && before.request.key === request.key;
      const underWay =
        before !== null && before.finishedAt === null && platform.now() - before.startedAt < SWEEP_LIMIT_MS;
      if (before !== null && (same || underWay)) {
        return ok({ kind: "under-way", sweep: this.#ledger.view(before) });
      }
      const now = platform.now();
      const id = `${request.trigger}-${now.toString(36)}`;
      const sweep: Sweep = {
        id,
        // Each database is told this key, so that a start which is repeated after a crash makes no second run.
        request: { ...request, key: request.key ?? id },
        state: "listing",
        page: 1,
        passes: 0,
        attempt: 0,
        startedAt: now,
        finishedAt: null,
        error: null,
      };
      this.#ledger.begin(sweep);
      await this.ctx.storage.setAlarm(now + (inline ? WATCHDOG_MS : 0));
      if (!inline) return ok({ kind: "begun", sweep: this.#ledger.view(sweep), runs: [] });
      const listed = await this.#list(sweep, platform);
      if (!listed.ok) {
        // Somebody waits for this answer, and can ask again: no retries behind their back.
        this.#end({ ...(this.#ledger.sweep ?? sweep) }, listed.failure, platform);
        return listed;
      }
      const runs = await this.#start(platform);
      await this.#rearm(platform);
      return ok({ kind: "begun", sweep: this.#ledger.view(this.#ledger.sweep ?? sweep), runs });
    }

    async latestSweep(): Promise<SweepView | null> {
      const { sweep } = this.#ledger;
      return sweep === null ? null : this.#ledger.view(sweep);
    }

    async keyProofs(recipients: readonly string[]): Promise<Result<KeyProof[]>> {
      const connected = options.connect(this.env);
      if (!connected.ok) return connected;
      this.#proofs.keepOnly(recipients);
      return ok(await this.#proofs.items(recipients, connected.value));
    }

    async proveKeys(
      recipients: readonly string[],
      answers: readonly string[],
    ): Promise<Result<{ items: KeyProof[]; refused: number[] }>> {
      const connected = options.connect(this.env);
      if (!connected.ok) return connected;
      this.#proofs.keepOnly(recipients);
      const refused = this.#proofs.answer(answers, connected.value);
      return ok({ items: await this.#proofs.items(recipients, connected.value), refused });
    }

    async health(recipients: readonly string[]): Promise<AccountHealth> {
      this.#proofs.keepOnly(recipients);
      const { listing } = this.#ledger;
      return {
        listing: listing === null ? null : { at: iso(listing.at), databases: listing.databases },
        sweep: await this.latestSweep(),
        unproven: this.#proofs.unproven(recipients),
      };
    }

    override async alarm(): Promise<void> {
      await this.ctx.storage.setAlarm(Date.now() + WATCHDOG_MS);
      const connected = options.connect(this.env);
      if (!connected.ok) return;
      try {
        await this.#advance(connected.value);
        await this.#tellListing(connected.value);
        await this.#rearm(connected.value);
      } catch (error) {
        // Nothing may be thrown out of an alarm; the watchdog repeats the step.
        console.error({ event: "alarm-exception", detail: describeException(error) });
      }
    }

    async #advance(platform: Platform): Promise<void> {
      const { sweep } = this.#ledger;
      if (sweep?.state === "starting") await this.#start(platform);
      if (sweep?.state !== "listing") return;
      const listed = await this.#list(sweep, platform);
      if (listed.ok) return;
      const latest = this.#ledger.sweep ?? sweep;
      if (!listed.failure.retryable || latest.attempt + 1 >= attemptLimit(listed.failure.code))
        this.#end(latest, listed.failure, platform);
      else this.#ledger.save({ ...latest, attempt: latest.attempt + 1 });
    }

    /** Reads pages until the list is complete or this invocation has read enough. */
    async #list(begun: Sweep, platform: Platform): Promise<Result<void>> {
      let sweep = begun;
      for (let read = 0; read < PAGES_AN_ALARM; read++) {
        const page = await platform.api.listDatabases(sweep.page, PER_PAGE);
        if (!page.ok) return page;
        const { databases, total } = page.value;
        const last = databases.length < PER_PAGE;
        const wanted = databases.filter(({ name }) => name !== platform.settings.catalogDatabaseName);
        this.#ledger.savePage(wanted, { ...sweep, page: sweep.page + 1, attempt: 0 });
        sweep = { ...sweep, page: sweep.page + 1, attempt: 0 };
        if (!last) continue;
        // A database deleted meanwhile moves the others up by one place, past the page that was read: look again.
        const short = total !== null && sweep.page > 2 && this.#ledger.counts().databases < total - 1;
        const again = short && sweep.passes === 0;
        if (!again) {
          this.#ledger.saveListing({ ...sweep, state: "starting" }, platform.now());
          return ok(undefined);
        }
        sweep = { ...sweep, page: 1, passes: 1 };
        this.#ledger.save(sweep);
      }
      return ok(undefined);
    }

    /** Starts the next few databases; returns their runs, those that were under way already included. */
    async #start(platform: Platform): Promise<RunView[]> {
      const { sweep } = this.#ledger;
      if (sweep?.state !== "starting") return [];
      const next = this.#ledger.waiting(STARTS_AN_ALARM);
      const answers = await Promise.allSettled(
        next.map((database) => options.database(this.env, database.id).start(database, sweep.request)),
      );
      const runs: RunView[] = [];
      answers.forEach((answer, index) => {
        if (answer.status === "rejected" || !answer.value.ok) return;
        runs.push(answer.value.value.run);
        this.#ledger.started(next[index]?.id ?? "");
      });
      const { databases, started } = this.#ledger.counts();
      if (started === databases) this.#end(sweep, null, platform);
      else this.#ledger.save({ ...sweep, attempt: runs.length === next.length ? 0 : sweep.attempt + 1 });
      return runs;
    }

    /** The catalogue is told which databases there are; one that is down is told later, and delays nothing. */
    async #tellListing(platform: Platform): Promise<void> {
      const { listing } = this.#ledger;
      if (listing === null || listing.untold === null || listing.untold.dueAt > platform.now()) return;
      const { attempt } = listing.untold;
      const saved = await platform.databases.saveListing(this.#ledger.found(), iso(listing.at));
      const dueAt = platform.now() + backoffMs(attempt, platform.random(), 2_000, 300_000);
      this.#ledger.toldListing(listing.at, saved.ok ? null : { attempt: attempt + 1, dueAt });
    }

    #end(sweep: Sweep, failure: Failure | null, platform: Platform): void {
      const error =
        failure === null ? null : { code: failure.code, detail: failure.detail, hint: failure.hint };
      this.#ledger.save({
        ...sweep,
        state: failure === null ? "done" : "failed",
        finishedAt: platform.now(),
        error,
      });
      if (failure !== null) console.error({ event: "sweep-failed", sweep: sweep.id, ...error });
    }

    async #rearm(platform: Platform): Promise<void> {
      const { sweep, listing } = this.#ledger;
      const times = listing === null || listing.untold === null ? [] : [listing.untold.dueAt];
      if (sweep !== null && sweep.finishedAt === null) {
        const delay = sweep.attempt === 0 ? 0 : backoffMs(sweep.attempt, platform.random());
        times.push(platform.now() + delay);
      }
      if (times.length === 0) return this.ctx.storage.deleteAlarm();
      return this.ctx.storage.setAlarm(Math.min(...times));
    }
  };
}
