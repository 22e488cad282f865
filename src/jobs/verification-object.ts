import { DurableObject } from "cloudflare:workers";
import { attemptLimit, backoffMs } from "../core/backoff.ts";
import { readChecksums } from "../core/backup/checksums.ts";
import {
  afterReadFailure,
  type BackupVerifications,
  newVerification,
  type Verification,
  type VerificationView,
} from "../core/backup/verification-view.ts";
import {
  checksBy,
  checksWithout,
  type FileCheck,
  checkFile,
  checkManifest,
} from "../core/backup/verification.ts";
import { CHECKSUMS, MANIFEST } from "../core/bucket/object-keys.ts";
import { describeException, failed, ok, type Result } from "../core/failure.ts";
import type { Connect, Platform } from "../core/platform.ts";
import { gone, newerFormat, readStored } from "./verification/verification-steps.ts";
import { VerificationStore } from "./verification/verification-store.ts";

/** While an alarm works, the next one is already set: if the object dies in between, that one goes on. */
const WATCHDOG_MS = 10_000;

/** Before work goes on that a broken configuration or a defect stopped. */
const REST_MS = 60_000;

export interface BackupVerificationOptions<Env> {
  readonly connect: Connect<Env>;
}

/**
 * One object per backup (its name is the backup's id): it reads all that the backup has in the bucket and says what
 * is not as it was written. Each alarm reads one object of the bucket and saves; nothing there is ever changed. So
 * that no two verifications of one backup read the same at once, whoever asks again is told of the one under way.
 */
export function backupVerification<Env extends Cloudflare.Env>(options: BackupVerificationOptions<Env>) {
  return class BackupVerification extends DurableObject<Env> implements BackupVerifications {
    readonly #store: VerificationStore;

    constructor(ctx: DurableObjectState, env: Env) {
      super(ctx, env);
      this.#store = new VerificationStore(ctx.storage);
    }

    async start(backupId: string, folder: string): Promise<Result<VerificationView>> {
      const connected = options.connect(this.env);
      if (!connected.ok) return connected;
      const now = connected.value.now();
      const before = this.#store.current;
      if (before?.state === "running") {
        // An alarm that got lost, for whatever reason, must not leave it unfinished for ever.
        if ((await this.ctx.storage.getAlarm()) === null) await this.ctx.storage.setAlarm(now);
        return ok(this.#store.view(before));
      }
      const createdAt = Math.max(now, (before?.startedAt ?? 0) + 1);
      const verification = newVerification(backupId, folder, createdAt);
      this.#store.begin(verification);
      await this.ctx.storage.setAlarm(now);
      return ok(this.#store.view(verification));
    }

    async verification(id: string): Promise<VerificationView | null> {
      const { current } = this.#store;
      return current?.id === id ? this.#store.view(current) : null;
    }

    override async alarm(): Promise<void> {
      await this.ctx.storage.setAlarm(Date.now() + WATCHDOG_MS);
      try {
        await this.#work();
      } catch (error) {
        // Nothing may be thrown out of an alarm; the watchdog repeats the step.
        console.error({ event: "alarm-exception", detail: describeException(error) });
        return;
      }
      // No await between looking for what is next and setting the alarm: a request could come in between.
      const { current } = this.#store;
      if (current?.state === "running") await this.ctx.storage.setAlarm(current.wakeAt);
      else await this.ctx.storage.deleteAlarm();
    }

    /** One step of the verification, when it is due. Only alarms change one that is under way, one after the other. */
    async #work(): Promise<void> {
      const verification = this.#store.current;
      if (verification?.state !== "running" || verification.wakeAt > Date.now()) return;
      const connected = options.connect(this.env);
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
          ? await this.#plan(verification, platform)
          : await this.#readNext(verification, verification.next, platform);
      } catch (error) {
        return failed({
          code: "internal-error",
          detail: `The verification threw: ${describeException(error)}`,
          hint: "This is a defect of d1-nightly; please report it with this text.",
          retryable: verification.attempt < 2,
        });
      }
    }

    /** Reads the manifest, and notes what else is to be read. */
    async #plan(verification: Verification, platform: Platform): Promise<Result<void>> {
      const { codecs, catalog } = platform;
      const { backupId, folder } = verification;
      const stored = await readStored(folder + MANIFEST, true, platform);
      if (!stored.ok) return stored;
      if (stored.value === null) return failed(gone(backupId));
      // The catalogue is a second opinion, and no more: one that is down, or does not know the backup, says nothing.
      const row = await catalog.backup(backupId);
      const sha256 = row.ok ? (row.value?.manifestSha256 ?? null) : null;
      const finding = checkManifest(stored.value, { backupId, sha256 }, codecs);
      const next = { ...verification, attempt: 0, wakeAt: platform.now() };
      const manifest = { name: MANIFEST, bytes: stored.value.bytes };
      switch (finding.kind) {
        case "newer":
          return failed(newerFormat(finding.formatVersion));
        case "sound": {
          const verdict = { sound: true, problem: null };
          this.#store.plan(next, { ...manifest, verdict }, checksBy(finding.manifest, codecs));
          return ok(undefined);
        }
        case "damaged": {
          const sums = await readStored(folder + CHECKSUMS, true, platform);
          if (!sums.ok) return sums;
          const lines = readChecksums(sums.value?.text ?? "", backupId);
          const checks = checksWithout(finding.witness, lines, codecs);
          this.#store.plan(next, { ...manifest, verdict: finding.verdict }, checks);
          return ok(undefined);
        }
      }
    }

    /** Reads and judges one object, and saves what was found. Repeated after a crash, it finds the same. */
    async #readNext(verification: Verification, ordinal: number, platform: Platform): Promise<Result<void>> {
      const check = this.#store.check(ordinal);
      const { backupId, folder } = verification;
      // The end is stored with the last file's verdict.
      if (check === null) throw new Error("a verification under way has nothing left to read");
      const stored = await readStored(folder + check.name, isText(check), platform);
      if (!stored.ok) return stored;
      if (stored.value === null) {
        // A backup that is deleted meanwhile has no missing files: it is none.
        const manifest = await platform.vault.head(folder + MANIFEST);
        if (!manifest.ok) return manifest;
        if (manifest.value === null) return failed(gone(backupId));
      }
      const owner = stored.value === null ? null : this.#store.ownerOf(stored.value.sha256, ordinal);
      const verdict = checkFile(check, stored.value, backupId, owner);
      const now = platform.now();
      const saved = this.#store.record(ordinal, stored.value?.bytes ?? 0, verdict, (last) => {
        const step = { ...verification, next: ordinal + 1, attempt: 0, wakeAt: now };
        return last ? { ...step, state: "complete", finishedAt: now } : step;
      });
      if (saved.state === "complete") tellIfDamaged(this.#store.view(saved));
      return ok(undefined);
    }
  };
}

/** RUN.json and SHA256SUMS have to say something, besides being as they were written. */
function isText({ kind }: FileCheck): boolean {
  return kind === "claim" || kind === "checksums";
}

/** Somebody who watches the Worker's log learns of it too. */
function tellIfDamaged({ id, sound, files }: VerificationView): void {
  if (sound !== false) return;
  const damaged = files.filter((file) => file.sound === false);
  const named = damaged.slice(0, 20).map(({ name, problem }) => `${name}: ${problem?.code ?? ""}`);
  console.error({ event: "backup-damaged", verification: id, files: damaged.length, named });
}
