// If the packages differ from package-lock.json, says in one line what to do. Makes sure that the rest runs on the Node
// that comes with them. npm scripts call this first, with any Node, so it is plain CommonJS for Node 16 or later.
// Afterwards they name node_modules/.bin/node explicitly, because the shell remembers where it found `node` before.
"use strict";

const { existsSync, readFileSync } = require("node:fs");
const { join } = require("node:path");
const { linkNode } = require("./link-node.cjs");

const root = join(__dirname, "..");
const wanted = packagesOf(join(root, "package-lock.json"));

const problem = foreignPlatform() || missingPackage();
if (problem) {
  console.error(problem);
  process.exitCode = 1;
} else {
  linkNode();
}

/** Cloudflare's runtime and the project's Node exist for the same platforms. */
function foreignPlatform() {
  const runtimes = Object.keys(wanted).filter((path) => path.includes("@cloudflare/workerd-"));
  if (runtimes.some((path) => isForThisMachine(wanted[path]))) return null;
  return `Cloudflare's runtime (workerd) does not run on ${process.platform} ${process.arch}: use Linux or macOS, x64 or arm64, or Windows with WSL.`;
}

/** The first missing package, according to npm's own list of installed packages. */
function missingPackage() {
  const list = join(root, "node_modules", ".package-lock.json");
  const installed = existsSync(list) ? packagesOf(list) : {};
  for (const [path, { version, optional, devOptional, ...platform }] of Object.entries(wanted)) {
    const needed = optional || devOptional ? isForThisMachine(platform) : path !== "";
    if (!needed || (installed[path] && installed[path].version === version)) continue;
    const command = optional ? "npm install --include=optional" : "npm install";
    return `${path.replace(/^.*node_modules\//, "")} ${version} is not installed: run \`${command}\` first.`;
  }
  return null;
}

/** npm decides about packages that name a C library. */
function isForThisMachine({ os, cpu, libc }) {
  return Boolean(os && cpu) && !libc && os.includes(process.platform) && cpu.includes(process.arch);
}

function packagesOf(lockfile) {
  return JSON.parse(readFileSync(lockfile, "utf8")).packages;
}
