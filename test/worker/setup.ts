import { applyD1Migrations } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { watchWorkerLog } from "./kit/worker-log.ts";

await applyD1Migrations(env.CATALOG, env.TEST_MIGRATIONS);

watchWorkerLog();
