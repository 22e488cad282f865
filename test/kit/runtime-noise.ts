// workerd writes a line for every exception, whoever has thrown it for which reason. Vitest runs this file before all
// tests, so that what is known and says nothing is left out; all else is printed.

/** By what stands in workerd's line: why it says nothing. */
const NOISE: readonly RegExp[] = [
  // A body was not read to its end: somebody has cancelled it, or has read what was wanted.
  /^exception = \S+: disconnected: (?:pump|reader) canceled/,
  // The emulator breaks a connection in the one way in which a Worker can. The test sees the client's side.
  /jsg\.Error: The emulator \S.*\(fault\)/,
  /Uncaught \(in promise\); stack = Error: The emulator \S.*\(fault\)/,
  // A test ends an object, or has a call to one fail.
  /jsg\.Error: .*\(by the test\)/,
  /Uncaught \(in promise\); stack = Error: .*\(by the test\)/,
  // Vitest's integration empties the storage between two tests.
  /Error: Application called deleteAllDurableObjects\(\)\./,
];

/** Whether a message of workerd's is one that says nothing. */
export function isNoise(message: string): boolean {
  const [first = ""] = message.split("\n", 1);
  return NOISE.some((pattern) => pattern.test(first));
}

/** Vitest's global set-up. The integration writes each of workerd's messages by one call, in this process. */
export default function setup(): () => void {
  const restore = [process.stdout, process.stderr].map((stream) => {
    const write = stream.write.bind(stream);
    stream.write = new Proxy(write, {
      apply(target, _, args: Parameters<typeof write>) {
        const [chunk] = args;
        return (typeof chunk === "string" && isNoise(chunk)) || target(...args);
      },
    });
    return () => {
      stream.write = write;
    };
  });
  return () => {
    for (const each of restore) each();
  };
}
