import { z } from "zod";
import { codecs } from "../../src/cloudflare/codecs/codecs.ts";
import { connect } from "../../src/connect.ts";
import type { Volume } from "../../src/core/backup/manifest.ts";
import { COMPRESSIONS, volumeName } from "../../src/core/bucket/object-keys.ts";
import type { Gauge } from "../../src/core/bucket/vault.ts";
import { NOTHING_SCANNED } from "../../src/core/dump/tally.ts";
import type { Failure, Result } from "../../src/core/failure.ts";
import type { Platform } from "../../src/core/platform.ts";
import { backupOptions } from "../../src/core/policy/backup-options.ts";
import { effectivePolicy } from "../../src/core/policy/effective-policy.ts";
import type { Copy } from "../../src/core/run/run.ts";
import { copyVolume } from "../../src/jobs/run/copy-volume.ts";
import { catalogSizesSchema, fillCatalog, measureCatalog } from "./catalog.ts";
import { type DueCheckCalls, measureDueCheck } from "./due-check.ts";
import { RECIPIENT, runStage } from "./stage-run.ts";

export { DueCheck } from "./due-check.ts";

/** So that the platform is put together from the very environment that the product has. */
export {
  AccountCoordinator,
  BackupVerification,
  BucketMaintenance,
  DatabaseBackups,
} from "../../src/index.ts";

const wishSchema = z.object({
  url: z.string(),
  compression: z.enum(COMPRESSIONS).default("gzip"),
  /** The product's own when left out. */
  level: z.coerce.number().int().min(1).max(19).optional(),
  encrypted: z.stringbool().default(false),
  lean: z.stringbool().default(false),
});
type Wish = z.infer<typeof wishSchema>;

/** Copies the dump behind `url` into the bucket, in one of two ways. Only `npm run bench` asks for it. */
export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    switch (url.pathname) {
      case "/bare": {
        const wish = wishSchema.parse(Object.fromEntries(url.searchParams));
        return Response.json(await barePut(env.BACKUPS, wish.url));
      }
      case "/pipeline": {
        const wish = wishSchema.parse(Object.fromEntries(url.searchParams));
        const platform = { ...value(connect(env)), codecs: codecs(wish.level, wish.level) };
        return Response.json(await pipeline(platform, wish));
      }
      case "/stage":
        return Response.json(await runStage(value(connect(env)), url.searchParams));
      case "/catalog/fill":
        return Response.json(await fillCatalog(value(connect(env)), env.CATALOG, catalogSizes(url)));
      case "/catalog/measure":
        return Response.json(await measureCatalog(value(connect(env)), env.CATALOG, catalogSizes(url)));
      case "/due-check":
        return Response.json(
          await measureDueCheck(
            env.DUE_CHECK.getByName("account"),
            Number(url.searchParams.get("databases")),
          ),
        );
      case "/clear":
        return Response.json({ deleted: await clear(env.BACKUPS) });
      default:
        return new Response("This Worker is measured by `npm run bench`.\n");
    }
  },
} satisfies ExportedHandler<Env & { readonly DUE_CHECK: { getByName(name: string): DueCheckCalls } }>;

function catalogSizes(url: URL) {
  return catalogSizesSchema.parse(Object.fromEntries(url.searchParams));
}

/** What Cloudflare's own example does. */
async function barePut(bucket: R2Bucket, url: string) {
  const response = await fetch(url);
  const stored = await bucket.put("bare/dump.sql", response.body);
  if (stored === null) throw new Error("the bucket refused the put");
  return { dumpBytes: stored.size, storedBytes: stored.size, volumes: 1, peakHeldBytes: 0 };
}

/** What a run does from `copying` to `verifying`: each volume copied, then each read back and compared. */
async function pipeline(platform: Platform, wish: Wish) {
  const { volumeBytes } = platform.settings;
  const policy = {
    ...effectivePolicy({}, platform.settings),
    compression: wish.compression,
    lean: wish.lean,
  };
  const options = backupOptions({ ...policy, volumeBytes }, wish.encrypted ? [RECIPIENT] : []);
  const gauge = new PeakGauge();
  const observer = { gauge, progress: () => {}, uploadBegun: async () => {} };
  let copy: Copy = {
    startedAt: platform.now(),
    stamp: "20261121T030000Z",
    claimed: true,
    source: null,
    volumes: [],
    upload: null,
    scanned: NOTHING_SCANNED,
    begun: 0,
    renewals: 0,
  };
  for (let last = false; !last;) {
    const name = volumeName("bench", copy.volumes.length + 1, options.compression, wish.encrypted);
    const job = { signedUrl: wish.url, copy, name, key: keyOf(name), options };
    const copied = value(await copyVolume(platform, job, observer));
    copy = {
      ...copy,
      source: copied.source,
      scanned: copied.scanned,
      volumes: [...copy.volumes, copied.volume],
    };
    ({ last } = copied);
  }
  for (const volume of copy.volumes) await readBack(platform, volume);
  const sum = (of: "bytes" | "dumpBytes"): number =>
    copy.volumes.reduce((total, volume) => total + volume[of], 0);
  return {
    dumpBytes: sum("dumpBytes"),
    storedBytes: sum("bytes"),
    volumes: copy.volumes.length,
    peakHeldBytes: gauge.peak,
  };
}

async function readBack(platform: Platform, volume: Volume): Promise<void> {
  const stored = value(await platform.vault.measure(keyOf(volume.name)));
  if (stored?.bytes !== volume.bytes || stored.sha256 !== volume.sha256) {
    throw new Error(`${volume.name} reads back as something else`);
  }
}

class PeakGauge implements Gauge {
  peak = 0;
  #held = 0;

  hold(bytes: number): void {
    this.#held += bytes;
    this.peak = Math.max(this.peak, this.#held);
  }

  release(bytes: number): void {
    this.#held -= bytes;
  }
}

async function clear(bucket: R2Bucket): Promise<number> {
  const { objects } = await bucket.list();
  await bucket.delete(objects.map(({ key }) => key));
  return objects.length;
}

function keyOf(name: string): string {
  return `pipeline/${name}`;
}

function value<T>(result: Result<T>): T {
  if (result.ok) return result.value;
  const { code, detail }: Failure = result.failure;
  throw new Error(`${code}: ${detail}`);
}
