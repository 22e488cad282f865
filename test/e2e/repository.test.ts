import { accessSync, constants, existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { z } from "zod";

const root = resolve(import.meta.dirname, "../..");
const read = (path: string): string => readFileSync(join(root, path), "utf8");
const filesOf = (folder: string, end: string): string[] =>
  readdirSync(join(root, folder))
    .filter((name) => name.endsWith(end))
    .map((name) => join(folder, name));

const workflowSchema = z.strictObject({
  name: z.string(),
  on: z.record(z.string(), z.unknown()),
  permissions: z.strictObject({ contents: z.literal("read") }),
  concurrency: z.object({ group: z.string() }),
  jobs: z.record(
    z.string(),
    z.strictObject({
      "runs-on": z.string(),
      "timeout-minutes": z.number(),
      steps: z.array(
        z.union([
          // By a commit's hash: a tag can be moved to other code.
          z.strictObject({
            uses: z.string().regex(/^[\w-]+\/[\w-]+@[0-9a-f]{40}$/),
            with: z.record(z.string(), z.unknown()),
          }),
          z.strictObject({ run: z.string() }),
        ]),
      ),
    }),
  ),
});

const required = z.strictObject({ required: z.boolean() }).optional();
const text = z.strictObject({
  label: z.string(),
  description: z.string().optional(),
  placeholder: z.string().optional(),
  render: z.string().optional(),
});
const id = z.string().regex(/^[\w-]+$/);
const formSchema = z.strictObject({
  name: z.string(),
  description: z.string(),
  labels: z.array(z.string()),
  body: z.array(
    z.discriminatedUnion("type", [
      z.strictObject({ type: z.literal("markdown"), attributes: z.strictObject({ value: z.string() }) }),
      z.strictObject({
        type: z.literal("input"),
        id,
        attributes: text.omit({ render: true }),
        validations: required,
      }),
      z.strictObject({ type: z.literal("textarea"), id, attributes: text, validations: required }),
      z.strictObject({
        type: z.literal("dropdown"),
        id,
        attributes: z.strictObject({ label: z.string(), options: z.array(z.string()).min(2) }),
        validations: required,
      }),
      z.strictObject({
        type: z.literal("checkboxes"),
        id,
        attributes: z.strictObject({
          label: z.string(),
          options: z.array(z.strictObject({ label: z.string(), required: z.boolean().optional() })),
        }),
      }),
    ]),
  ),
});

describe("a workflow", () => {
  it.each(filesOf(".github/workflows", ".yml"))(
    "%s may only read, ends in time, and pins what it uses",
    (path) => {
      const { jobs } = workflowSchema.parse(parse(read(path)));
      for (const { steps } of Object.values(jobs))
        for (const step of steps) if ("run" in step) accessSync(join(root, step.run), constants.X_OK);
    },
  );
});

describe("an issue form", () => {
  const forms = filesOf(".github/ISSUE_TEMPLATE", ".yml").filter((path) => !path.endsWith("config.yml"));

  it.each(forms)("%s has the fields that GitHub knows, each with an id of its own", (path) => {
    const { body } = formSchema.parse(parse(read(path)));
    const ids = body.flatMap((field) => ("id" in field ? [field.id] : []));
    expect(new Set(ids).size).toBe(ids.length);
  });
});

describe("a document", () => {
  const documents = [...filesOf(".", ".md"), ...filesOf("docs", ".md"), ".github/pull_request_template.md"];
  const files = ["src", "emulator", "migrations", "scripts", "bench", "test"].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: "utf8" }).map((file) => join(folder, file)),
  );
  const { scripts } = z
    .object({ scripts: z.record(z.string(), z.string()) })
    .parse(JSON.parse(read("package.json")));

  it.each(documents)("%s links only to what is there", (path) => {
    const links = [...read(path).matchAll(/\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)/g)].map(
      (found) => found[1] ?? "",
    );
    expect(links.filter((link) => !existsSync(join(root, dirname(path), link)))).toEqual([]);
  });

  it.each(documents)("%s names only files that are there", (path) => {
    const named = [...read(path).matchAll(/`((?:[\w.-]+\/)*[\w-]+\.(?:ts|cjs|jsonc|sh|yml))`/g)];
    const missing = named
      .map((found) => found[1] ?? "")
      .filter((file) => !existsSync(join(root, file)) && !files.some((one) => one.endsWith(`/${file}`)));
    expect(missing).toEqual([]);
  });

  it.each(documents)("%s names only npm scripts that there are", (path) => {
    const named = [...read(path).matchAll(/`?npm run ([a-z]+(?::[a-z]+)*)/g)].map((found) => found[1] ?? "");
    expect(named.filter((name) => scripts[name] === undefined)).toEqual([]);
  });
});

describe("the lockfile", () => {
  const { packages } = z
    .object({ packages: z.record(z.string(), z.unknown()) })
    .parse(JSON.parse(read("package-lock.json")));

  it.each(["workerd", "miniflare", "wrangler"])(
    "has one %s: tests run on what the Worker runs on",
    (name) => {
      const places = Object.keys(packages).filter((place) => place.endsWith(`node_modules/${name}`));
      expect(places).toEqual([`node_modules/${name}`]);
    },
  );
});
