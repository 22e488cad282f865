import { connect } from "../../../src/connect.ts";
import { ok } from "../../../src/core/failure.ts";
import type { Platform } from "../../../src/core/platform.ts";
import { copyOf, type Run } from "../../../src/core/run/run.ts";
import { DatabaseObject } from "../../../src/jobs/database-object.ts";
import { coordinatorClient } from "../../../src/jobs/limits/coordinator-client.ts";
import { bucketWindow } from "./bucket-window.ts";
import type { Moment } from "./moments.ts";
import product from "../../../src/index.ts";

/** The product, with one thing added: it stops after each effect and each save until the test lets it go on. */
export { AccountCoordinator, BackupVerification, BucketMaintenance } from "../../../src/index.ts";

interface CrashEnv extends Env {
  readonly KILL_SWITCH_URL: string;
}

export class DatabaseBackups extends DatabaseObject {
  constructor(ctx: DurableObjectState, env: CrashEnv) {
    super(ctx, env, {
      connect: () => {
        const connected = connect(env);
        return connected.ok ? ok(tellingOfEffects(connected.value, env)) : connected;
      },
      coordinator: (accountId) => coordinatorClient(env.ACCOUNT_COORDINATOR.getByName(accountId)),
      maintenance: (accountId) => env.BUCKET_MAINTENANCE.getByName(accountId),
      saved: (run) => tell(env, savedMoment(run)),
    });
  }
}

export default {
  fetch(request, env, ctx) {
    const { pathname } = new URL(request.url);
    if (pathname.startsWith("/_crash/")) return bucketWindow.fetch(request, env);
    return product.fetch(request, env, ctx);
  },
} satisfies ExportedHandler<CrashEnv>;

/**
 * A fetch leaves a Durable Object only when all that it wrote before is on disk: who gets this request can end
 * the process and knows what the next one will find.
 */
async function tell(env: CrashEnv, moment: Moment): Promise<void> {
  const answer = await fetch(env.KILL_SWITCH_URL, { method: "POST", body: JSON.stringify(moment) });
  await answer.body?.cancel();
}

function savedMoment(run: Run): Moment {
  const { phase } = run;
  const copy = copyOf(run);
  return {
    kind: "saved",
    runId: run.id,
    revision: run.revision,
    at: phase.at,
    bookmark: phase.at === "exporting" && phase.bookmark !== null,
    claimed: copy?.claimed ?? false,
    volumes: copy?.volumes.length ?? 0,
    verified: phase.at === "verifying" ? phase.verified : 0,
    upload: copy?.upload ?? null,
  };
}

function tellingOfEffects(platform: Platform, env: CrashEnv): Platform {
  let volume = "";
  const told = (method: string, args: readonly unknown[], answer: unknown): Promise<void> => {
    if (method === "openVolume") volume = fileName(args[0]);
    const effect = effectOf(method, method === "finish" ? volume : fileName(args[0]), answer);
    return effect === null ? Promise.resolve() : tell(env, { kind: "effect", effect });
  };
  return {
    ...platform,
    api: observed(platform.api, told),
    vault: observed(platform.vault, told),
    catalog: observed(platform.catalog, told),
  };
}

function effectOf(method: string, file: string, answer: unknown): string | null {
  switch (method) {
    case "startExport":
      return "D1 started the export";
    case "pollExport":
      return JSON.stringify(answer).includes('"complete"') ? "D1 told the address of the dump" : null;
    case "create":
    case "put":
    case "finish":
      return `${file} was written`;
    case "abortUpload":
      return "the old upload was aborted";
    case "saveBackup":
      return "the catalogue took the backup";
    default:
      return null;
  }
}

/** The same object; `told` is awaited after each of its methods, and after those of the objects that they return. */
function observed<T extends object>(
  target: T,
  told: (method: string, args: readonly unknown[], answer: unknown) => Promise<void>,
): T {
  return new Proxy(target, {
    get(object, name) {
      const member: unknown = Reflect.get(object, name, object);
      if (typeof member !== "function") return member;
      return (...args: unknown[]): unknown => {
        const answer: unknown = Reflect.apply(member, object, args);
        if (answer instanceof Promise) {
          return answer.then(async (settled: unknown) => {
            await told(String(name), args, settled);
            return settled;
          });
        }
        void told(String(name), args, answer);
        return typeof answer === "object" && answer !== null ? observed(answer, told) : answer;
      };
    },
  });
}

function fileName(key: unknown): string {
  return typeof key === "string" ? key.slice(key.lastIndexOf("/") + 1) : "";
}
