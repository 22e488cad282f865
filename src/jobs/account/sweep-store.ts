import { z } from "zod";
import type { SweepView } from "../../core/account/sweep.ts";
import { backupTriggerSchema } from "../../core/backup/manifest.ts";
import type { BackupRequest } from "../../core/run/request.ts";
import { iso } from "../../core/time.ts";

/** One request for a backup of every database, as stored between alarms. */
const sweepSchema = z.object({
  id: z.string(),
  request: z.object({
    trigger: backupTriggerSchema,
    label: z.string().nullable(),
    pinned: z.boolean(),
    force: z.boolean(),
    examine: z.boolean(),
    /** Each start has this key, so that a start that is repeated after a crash makes no second run. */
    key: z.string(),
  }),
  state: z.enum(["listing", "starting", "done", "failed"]),
  startedAt: z.number().int(),
  finishedAt: z.number().int().nullable(),
  databases: z.number().int(),
  error: z.object({ code: z.string(), detail: z.string(), hint: z.string() }).nullable(),
});
export type Sweep = z.infer<typeof sweepSchema>;

export class SweepStore {
  readonly #kv: SyncKvStorage;

  constructor(storage: DurableObjectStorage) {
    this.#kv = storage.kv;
  }

  /** The latest one. One of an older release is not remembered. */
  get sweep(): Sweep | null {
    return sweepSchema.safeParse(this.#kv.get("sweep")).data ?? null;
  }

  begin(request: BackupRequest, now: number): Sweep {
    const id = `${request.trigger}-${now.toString(36)}`;
    const sweep: Sweep = {
      id,
      request: { ...request, key: request.key ?? id },
      state: "listing",
      startedAt: now,
      finishedAt: null,
      databases: 0,
      error: null,
    };
    this.save(sweep);
    return sweep;
  }

  save(sweep: Sweep): void {
    this.#kv.put("sweep", sweep);
  }
}

export function viewSweep(sweep: Sweep, waiting: number): SweepView {
  const { id, state, request, databases, error } = sweep;
  return {
    id,
    state,
    trigger: request.trigger,
    startedAt: iso(sweep.startedAt),
    finishedAt: sweep.finishedAt === null ? null : iso(sweep.finishedAt),
    databases,
    started: databases - waiting,
    error,
  };
}
