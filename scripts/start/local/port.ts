import { connect, createServer } from "node:net";
import { listenerOn } from "./held-state.ts";
import { Trouble } from "../trouble.ts";

/**
 * `localhost` means both: the browser may choose IPv6 while we listen on IPv4. So a port is free only if it is free on
 * both.
 */
const ADDRESSES = [
  { address: "127.0.0.1", family: "IPv4" },
  { address: "::1", family: "IPv6" },
] as const;
type Family = (typeof ADDRESSES)[number]["family"];

/** How many ports above a taken one are tried. */
const PORTS_TO_TRY = 50;

/** Throws if the port is not available, and says which process has it, if known, and what to do. */
export async function requireFreePort(port: number, option: string, reserved: number): Promise<void> {
  const uses = await usesOf(port);
  if (uses.length === 0) return;
  const choose = `  npm start -- ${option} ${(await nextFreePort(port, reserved)) ?? "N"}`;
  if (uses.every(({ use }) => use === "forbidden"))
    throw new Trouble(`This user may not listen on port ${port}. Choose one of 1024 or higher:\n\n${choose}`);
  const where = uses.length === ADDRESSES.length ? "" : ` on ${uses.map(({ family }) => family).join()}`;
  const listener = await listenerOn(port);
  if (listener === null)
    throw new Trouble(
      `Port ${port} is taken${where} by another program. End that program, or choose another port:\n\n${choose}`,
    );
  throw new Trouble(
    `Port ${port} is taken${where} by pid ${listener.pid} (${listener.command}). End that process, or choose another port:\n\n` +
      `  kill ${listener.pid}\n${choose}`,
  );
}

async function nextFreePort(taken: number, reserved: number): Promise<number | null> {
  for (let port = taken + 1; port <= Math.min(taken + PORTS_TO_TRY, 65_535); port++) {
    if (port !== reserved && (await usesOf(port)).length === 0) return port;
  }
  return null;
}

async function usesOf(port: number): Promise<{ family: Family; use: "taken" | "forbidden" }[]> {
  const uses = await Promise.all(
    ADDRESSES.map(async ({ address, family }) => ({ family, use: await useOf(port, address) })),
  );
  return uses.flatMap(({ family, use }) => (use === null ? [] : [{ family, use }]));
}

/** A wildcard listener may let us listen beside it on macOS, so connecting is tried too. */
async function useOf(port: number, address: string): Promise<"taken" | "forbidden" | null> {
  const refused = await listening(port, address);
  if (refused === "EACCES") return "forbidden";
  // This machine has no IPv6.
  if (refused === "EADDRNOTAVAIL" || refused === "EAFNOSUPPORT") return null;
  return refused !== null || (await answers(port, address)) ? "taken" : null;
}

/** Null when we can listen, or the system's code for why we cannot. */
async function listening(port: number, host: string): Promise<string | null> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? "unknown"));
    server.listen({ port, host, ipv6Only: host.includes(":") }, () => server.close(() => resolve(null)));
  });
}

async function answers(port: number, host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, host);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
