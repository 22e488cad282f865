import { createInterface } from "node:readline";

/**
 * A process of its own, outside every group that Ctrl-C or a kill may strike. Its standard input comes from
 * `npm start`: a process group a line, and `bye` at an orderly end. When the input ends without that, `npm start`
 * was killed, and the groups are ended, so that no workerd goes on serving unseen.
 */
const groups: number[] = [];
let orderly = false;

for await (const line of createInterface({ input: process.stdin })) {
  if (line === "bye") orderly = true;
  else groups.push(Number(line));
}

for (const group of orderly ? [] : groups) {
  try {
    process.kill(-group, "SIGKILL");
  } catch {
    // It has ended by itself.
  }
}
