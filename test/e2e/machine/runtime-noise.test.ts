import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { isNoise } from "../../kit/runtime-noise.ts";

it.each([
  [
    "a body that somebody has cancelled",
    "exception = workerd/api/streams/internal.c++:532: disconnected: pump canceled\nstack: 1 2",
  ],
  [
    "a fault of the emulator's",
    "uncaught exception; exception = workerd/jsg/value.h:1535: failed: jsg.Error: The emulator drops this connection (fault).\nstack: 1",
  ],
  [
    "a fault of the emulator's, with its stack",
    "uncaught exception; source = Uncaught (in promise); stack = Error: The emulator drops this connection (fault).\n    at dropped",
  ],
  [
    "the end of an object by a test",
    "uncaught exception; exception = workerd/api/actor-state.c++:1249: failed: broken.outputGateBroken; jsg.Error: killed (by the test)",
  ],
])("%s is left out of the output", (_, message) => {
  expect(isNoise(message)).toBe(true);
});

it.each([
  [
    "an error of the Worker's",
    "uncaught exception; source = Uncaught (in promise); stack = TypeError: Cannot read properties of undefined (reading 'id')\n    at The emulator (fault)",
  ],
  [
    "an object that ends by itself",
    "uncaught exception; exception = workerd/api/actor-state.c++:1249: failed: broken.outputGateBroken; jsg.Error: the storage is full",
  ],
  [
    "another message about a stream",
    "exception = workerd/api/streams/internal.c++:532: failed: expected data",
  ],
  ["a crash of workerd", "*** Received signal #11: Segmentation fault\nstack: 1 2"],
])("%s is printed", (_, message) => {
  expect(isNoise(message)).toBe(false);
});

it.each(["worker", "encrypted", "long"])(
  "tests of %s mark the reason for which they end an object",
  (project) => {
    const folder = join("test", project);
    const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((file) =>
      file.endsWith(".ts"),
    );
    expect(files.length).toBeGreaterThan(0);
    for (const file of files) {
      const reasons = readFileSync(join(folder, file), "utf8").matchAll(/\.abort\("(?<reason>[^"]*)"\)/g);
      for (const { groups } of reasons) expect(groups?.["reason"], file).toMatch(/ \(by the test\)$/);
    }
  },
);
