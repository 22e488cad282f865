// Puts the Node that comes with the project into node_modules/.bin, where npm scripts and npx find it first. npm 11
// does that itself; earlier ones take the link away again, together with the packages for other platforms, whose
// program has the same name. Plain CommonJS: Node 16 or later runs it.
"use strict";

const { existsSync, linkSync, readFileSync, rmSync, symlinkSync } = require("node:fs");
const { dirname, join, relative } = require("node:path");

const root = join(__dirname, "..");

/** Does nothing where npm has done it, or has no Node for the platform. May run twice. */
exports.linkNode = function linkNode() {
  const program = ownNode();
  const windows = process.platform === "win32";
  const link = join(root, "node_modules", ".bin", windows ? "node.exe" : "node");
  if (program === null || existsSync(link)) return;
  // A link that leads nowhere would be in the way.
  rmSync(link, { force: true });
  if (windows) linkSync(program, link);
  else symlinkSync(relative(dirname(link), program), link);
};

/** At most one of the optional packages is for this platform. */
function ownNode() {
  const { optionalDependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const installed = Object.keys(optionalDependencies)
    .map((name) => join(root, "node_modules", name))
    .find((folder) => existsSync(join(folder, "package.json")));
  if (installed === undefined) return null;
  return join(installed, JSON.parse(readFileSync(join(installed, "package.json"), "utf8")).bin.node);
}

if (require.main === module) exports.linkNode();
