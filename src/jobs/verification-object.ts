import { DurableObject } from "cloudflare:workers";
import { attemptLimit, backoffMs, LONGEST_WAIT_MS } from "../core/backoff.ts";
import {
  afterReadFailure,
  type BackupVerifications,
  newVerification,
  type Verification,
  type VerificationView,
} from "../core/backup/verification-view.ts";
import { describeException, failed, ok, type Result } from "../core/failure.ts";
import type { Connect, Platform } from "../core/platform.ts";
import { AlarmShell } from "./object/alarm-shell.ts";
import { verifyNext } from "./verification/check-step.ts";
import { planVerification } from "./verification/plan-step.ts";
import { VerificationStore } from "./verification/verification-store.ts";

const WATCHDOG_MS = 10_000;

/** Before a configuration that was found broken is read again. */
const REST_MS = 60_000;

/** What a backup's verification works with. */
export interface VerificationObjectParts {
  readonly connect: Connect<Cloudflare.Env>;
}

/**
 * One object per backup (its name is the backup's id): it reads all that the backup has in the bucket and says what
 * is not as it was written. Each alarm reads one object of the bucket and saves; nothing there is ever changed. So
 * that no two verifications of one backup read the same at once, whoever asks again is told of the one under way.
 */
export class VerificationObject extends DurableObject implements BackupVerifications {
  readonly #parts: VerificationObjectParts;
  readonly #alarm: AlarmShell<Result<Platform>>;
  readonly #store: VerificationStore;

  constructor(ctx: DurableObjectState, env: Cloudflare.Env, parts: VerificationObjectParts) {
    super(ctx, env);
    this.#parts = parts;
    this.#store = new VerificationStore(ctx.storage);
    this.#alarm = new AlarmShell(ctx.storage, {
      watchdogMs: WATCHDOG_MS,
      // A verification that cannot connect says so in the end.
      connect: () => ok(parts.connect(this.env)),
      work: (connected) => this.#work(connected),
      nextAt: () => this.#nextAt(),
    });
  }

  async start(backupId: string, place: { folder: string; lost: boolean }): Promise<Result<VerificationView>> {
    const connected = this.#parts.connect(this.env);
    if (!connected.ok) return connected;
    const now = connected.value.now();
    const before = this.#store.current;
    if (before?.state === "running") {
      // An alarm that got lost, for whatever reason, must not leave it unfinished for ever.
      await this.#alarm.keepAlive(LONGEST_WAIT_MS);
      return ok(this.#store.view(before));
    }
    const createdAt = Math.max(now, (before?.startedAt ?? 0) + 1);
    const verification = newVerification(backupId, place, createdAt);
    this.#store.begin(verification);
    await this.#alarm.wakeBy(now);
    return ok(this.#store.view(verification));
  }

  async verification(id: string): Promise<VerificationView | null> {
    const { current } = this.#store;
    return current?.id === id ? this.#store.view(current) : null;
  }

  override alarm(): Promise<void> {
    return this.#alarm.ring();
  }

  #nextAt(): number | null {
    const { current } = this.#store;
    return current?.state === "running" ? current.wakeAt : null;
  }

  /** One step of the verification, when it is due. Only alarms change one that is under way, one after the other. */
  async #work(connected: Result<Platform>): Promise<void> {
    const verification = this.#store.current;
    if (verification?.state !== "running" || verification.wakeAt > Date.now()) return;
    const stepped = connected.ok ? await this.#guarded(verification, connected.value) : connected;
    if (stepped.ok) return;
    const limit = attemptLimit(stepped.failure.code);
    const delayMs = connected.ok ? backoffMs(verification.attempt, connected.value.random()) : REST_MS;
    const next = afterReadFailure(verification, stepped.failure, Date.now(), { limit, delayMs });
    this.#store.save(next);
    if (next.state === "failed")
      console.error({ event: "verification-failed", verification: next.id, ...next.error });
  }

  /** An exception is a bug: it ends the verification after a few tries, and never the alarm. */
  async #guarded(verification: Verification, platform: Platform): Promise<Result<void>> {
    try {
      return verification.next === null
        ? await planVerification(verification, this.#store, platform)
        : await verifyNext(verification, verification.next, this.#store, platform);
    } catch (error) {
      return failed({
        code: "internal-error",
        detail: `The verification threw: ${describeException(error)}`,
        hint: "This is a bug in d1-nightly. Please report it with this text.",
        retryable: verification.attempt < 2,
      });
    }
  }
}
