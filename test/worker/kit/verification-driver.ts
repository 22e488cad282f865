import { runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { vi } from "vitest";
import { verificationSchema, type VerificationView } from "../../../src/core/backup/verification-view.ts";
import { call } from "./run-driver.ts";

/** Alarms that are set for then do not fire by themselves: a test decides when, and what happens in between. */
const NOT_YET = Date.UTC(2100, 0, 1);

/** Asks for a verification; its alarms are still to be driven. */
export async function askToVerify(backupId: string): Promise<VerificationView> {
  if (Date.now() < NOT_YET) vi.setSystemTime(NOT_YET);
  const response = await call(`/api/backups/${encodeURIComponent(backupId)}/verify`, { method: "POST" });
  if (response.status !== 202) throw new Error(`${response.status} ${await response.text()}`);
  // the product's own answer, whose shape test/long/verify.test.ts checks
  const { verification } = (await response.json()) as { verification: VerificationView };
  return verification;
}

/** As the API tells it. */
export async function verificationOf(id: string): Promise<VerificationView> {
  const response = await call(`/api/verifications/${encodeURIComponent(id)}`);
  if (response.status !== 200) throw new Error(`${response.status} ${await response.text()}`);
  // as above
  return (await response.json()) as VerificationView;
}

export const verifier = (backupId: string) => env.VERIFICATIONS.getByName(backupId);

/** Fires the object's alarm now, with the clock moved to when it is due. */
export async function nextRead(backupId: string): Promise<void> {
  const wakeAt = await runInDurableObject(
    verifier(backupId),
    (_, state) => verificationSchema.parse(state.storage.kv.get("verification")).wakeAt,
  );
  if (wakeAt > Date.now()) vi.setSystemTime(wakeAt);
  await runDurableObjectAlarm(verifier(backupId));
}

/** Drives a verification's alarms to its end, or until `until` holds. */
export async function driveVerification(
  { id, backupId }: VerificationView,
  until: (verification: VerificationView) => boolean = () => false,
): Promise<VerificationView> {
  for (let reads = 0; reads < 200; reads++) {
    const verification = await verificationOf(id);
    if (verification.state !== "running" || until(verification)) return verification;
    await nextRead(backupId);
  }
  throw new Error(`verification ${id} is still running after 200 alarms`);
}

export async function verify(backupId: string): Promise<VerificationView> {
  return driveVerification(await askToVerify(backupId));
}

/** What is wrong, by the name of each file that is blamed. */
export function blamedIn({ files }: VerificationView): Record<string, string> {
  return Object.fromEntries(
    files.flatMap(({ name, problem }) => (problem === null ? [] : [[name, problem.code]])),
  );
}

/** Gives one object's code another environment, until it is evicted or dies. */
export async function withEnvironment(
  backupId: string,
  change: (environment: Env, state: DurableObjectState) => Partial<Env>,
): Promise<void> {
  await runInDurableObject(verifier(backupId), (instance, state) => {
    const replaced = Reflect.set(instance, "env", { ...env, ...change(env, state) });
    if (!replaced) throw new Error("the object keeps its environment");
  });
}

/** A bucket that calls `before` ahead of each read; whatever that throws is the bucket's answer. */
export function watchedBucket(bucket: R2Bucket, before: (key: string) => void): R2Bucket {
  return new Proxy(bucket, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name, target);
      if (typeof member !== "function") return member;
      return async (...args: unknown[]): Promise<unknown> => {
        before(String(args[0]));
        const answer: unknown = await Reflect.apply(member, target, args);
        return answer;
      };
    },
  });
}
