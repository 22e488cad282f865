import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { afterEach, describe, expect, it } from "vitest";
import { requireFreePort } from "../../../scripts/start/local/port.ts";
import { freePort } from "../../../scripts/wrangler-dev.ts";

const listeners: ChildProcess[] = [];

const LISTEN = `
  const [host, port] = process.argv.slice(1);
  require("node:net").createServer().listen({ host, port, ipv6Only: host === "::1" }, () => console.log(port));
`;

/** Another process that listens there; resolves with its pid. */
async function listen(host: string, port: number): Promise<number> {
  const child = spawn(process.execPath, ["-e", LISTEN, host, String(port)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  listeners.push(child);
  await once(child.stdout, "data");
  return child.pid ?? 0;
}

afterEach(() => {
  for (const child of listeners.splice(0)) child.kill("SIGKILL");
});

describe("a port for npm start", () => {
  it("is free when nobody listens on it", async () => {
    await expect(requireFreePort(await freePort(), "--port", 1)).resolves.toBeUndefined();
  });

  it.each([
    { host: "127.0.0.1", where: " on IPv4" },
    { host: "::1", where: " on IPv6" },
    { host: "0.0.0.0", where: " on IPv4" },
    { host: "::", where: "" },
  ])("is taken when another program listens on $host, and says by whom", async ({ host, where }) => {
    const port = await freePort();
    const pid = await listen(host, port);
    await expect(requireFreePort(port, "--port", 1)).rejects.toThrow(
      new RegExp(
        String.raw`^Port ${port} is taken${where} by pid ${pid} \(.+\)\. End that process, ` +
          String.raw`or choose another port:\n\n  kill ${pid}\n  npm start -- --port \d+$`,
      ),
    );
  });

  it("comes with another one that is free on both, and not the other Worker's", async () => {
    const port = await freePort();
    await listen("127.0.0.1", port);
    const first = await suggested(port, 1);
    const second = await suggested(port, first);
    expect(second).not.toBe(first);
    await listen("::1", first);
    expect(await suggested(port, 1)).not.toBe(first);
  });
});

async function suggested(port: number, reserved: number): Promise<number> {
  const said = await requireFreePort(port, "--emulator-port", reserved).catch(String);
  return Number(/npm start -- --emulator-port (\d+)$/.exec(said ?? "")?.[1]);
}
