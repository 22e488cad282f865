// Says in one line what to do where the packages are not those of package-lock.json, and sees to it that the rest is
// run by the Node that comes with them. npm scripts call this first, by whatever Node the machine has: it is plain
// CommonJS for Node 16 or later. What they run by Node themselves after it names node_modules/.bin/node, because the
// shell remembers where it has found `node` before.
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

/** Cloudflare's runtime and the Node that comes with the project are there for the same platforms. */
function foreignPlatform() {
  const runtimes = Object.keys(wanted).filter((path) => path.includes("@cloudflare/workerd-"));
  if (runtimes.some((path) => isForThisMachine(wanted[path]))) return null;
  return `Cloudflare's runtime (workerd) does not run on ${process.platform} ${process.arch}: use Linux or macOS, x64 or arm64, or Windows by WSL.`;
}

/** The first package that should be there and is not, by npm's own list of what it has installed. */
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

/** A package that names a C library is left to npm to judge. */
function isForThisMachine({ os, cpu, libc }) {
  return Boolean(os && cpu) && !libc && os.includes(process.platform) && cpu.includes(process.arch);
}

function packagesOf(lockfile) {
  return JSON.parse(readFileSync(lockfile, "utf8")).packages;
}
