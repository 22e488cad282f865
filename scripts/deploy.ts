/**
 * `npm run deploy`: brings the catalogue's tables up to date, then deploys the Worker. All options go on to wrangler.
 *
 * The Worker must know the catalogue's name in the account, so that it does not back up its own catalogue, but a
 * binding does not tell a Worker its database's name. So this takes the name from `d1_databases`. A database that was
 * renamed there, or in a Deploy to Cloudflare form, needs no second edit.
 */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { unstable_readConfig } from "wrangler";
import { z } from "zod";
import { WRANGLER } from "./wrangler-dev.ts";

const BINDING = "CATALOG";
const NAME = "CATALOG_DATABASE_NAME";

const configSchema = z.object({
  d1_databases: z.array(z.object({ binding: z.string(), database_name: z.string().optional() })),
  vars: z.record(z.string(), z.unknown()),
});
const optionsSchema = z.object({
  config: z.string().optional(),
  env: z.string().optional(),
  "dry-run": z.boolean(),
});

process.chdir(join(import.meta.dirname, ".."));
process.exitCode = await deploy(process.argv.slice(2));

async function deploy(args: readonly string[]): Promise<number> {
  const { config, env, "dry-run": dryRun } = optionsOf(args);
  const { d1_databases: databases, vars } = configSchema.parse(unstable_readConfig({ config, env }));
  const name = databases.find(({ binding }) => binding === BINDING)?.database_name;
  if (name === undefined) {
    console.error(
      `wrangler.jsonc has no database_name for the D1 binding ${BINDING}. Without it the Worker would back up its own catalogue. Add it to d1_databases.`,
    );
    return 1;
  }
  if (vars[NAME] !== name)
    console.log(`Setting ${NAME} to "${name}", the database_name of ${BINDING} (vars have "${vars[NAME]}").`);

  const place = [
    ...(config === undefined ? [] : ["--config", config]),
    ...(env === undefined ? [] : ["--env", env]),
  ];
  const applied = dryRun ? 0 : await wrangler(["d1", "migrations", "apply", BINDING, "--remote", ...place]);
  return applied === 0 ? wrangler(["deploy", "--var", `${NAME}:${name}`, ...args]) : applied;
}

/** The options of wrangler that choose the Worker, or forbid any change. */
function optionsOf(args: readonly string[]) {
  const options = {
    config: { type: "string", short: "c" },
    env: { type: "string", short: "e" },
    "dry-run": { type: "boolean", default: false },
  } as const;
  const { values } = parseArgs({ args: [...args], options, strict: false, allowPositionals: true });
  return optionsSchema.parse(values);
}

/** Runs wrangler in this terminal, so that it may ask; resolves with its exit code. */
async function wrangler(args: readonly string[]): Promise<number> {
  const child = spawn(process.execPath, [WRANGLER, ...args], { stdio: "inherit" });
  return new Promise((resolve, reject) => {
    child.once("error", reject).once("close", (code) => resolve(code ?? 1));
  });
}
