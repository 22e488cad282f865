/**
 * A small front for the emulator's port that does what a Worker cannot: announce a false Content-Length, close a
 * connection in the middle of a body, or drop it before the headers. It marks each request that it passes on and
 * obeys the same header in the answer; everything else goes through as it is, the Host included, so that signed
 * addresses lead through the front again.
 *
 *   node emulator/front.ts --port 8790 --target 8788
 */
import { createServer, request as forward, type IncomingMessage, type ServerResponse } from "node:http";
import { parseArgs } from "node:util";
import { FRONT_HEADER } from "./src/wire/front-orders.ts";

export interface Front {
  readonly port: number;
  close(): Promise<void>;
}

/** Listens on `port` of the loopback (0: a free one) and passes everything on to the port `target`. */
export async function startFront({ port, target }: { port: number; target: number }): Promise<Front> {
  const server = createServer((request, response) => pass(request, response, target));
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject).listen(port, "127.0.0.1", resolve);
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the front has no port");
  const close = async (): Promise<void> => {
    server.closeAllConnections();
    await new Promise((resolve) => {
      server.close(resolve);
    });
  };
  return { port: address.port, close };
}

function pass(request: IncomingMessage, response: ServerResponse, target: number): void {
  const headers = { ...request.headers, [FRONT_HEADER]: "1" };
  const upstream = forward(
    { host: "127.0.0.1", port: target, method: request.method, path: request.url, headers },
    (answer) => void obey(answer, response),
  );
  upstream.on("error", () => response.destroy());
  request.pipe(upstream);
}

async function obey(answer: IncomingMessage, response: ServerResponse): Promise<void> {
  const { [FRONT_HEADER]: header, ...headers } = answer.headers;
  const order = String(header ?? "");
  if (order === "drop") {
    response.socket?.destroy();
    answer.destroy();
    return;
  }
  const length = /content-length=(\d+)/.exec(order)?.[1];
  const cut = /cut=(\d+)/.exec(order)?.[1];
  if (length !== undefined) {
    delete headers["transfer-encoding"];
    headers["content-length"] = length;
    headers["connection"] = "close";
  }
  response.writeHead(answer.statusCode ?? 502, headers);
  let left = cut === undefined ? Infinity : Number(cut);
  try {
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      const piece = chunk.subarray(0, left);
      left -= piece.length;
      if (!response.write(piece))
        await new Promise((resolve) => response.once("drain", resolve).once("close", resolve));
      if (left === 0 || response.destroyed) break;
    }
  } catch {
    // The emulator broke the body off: so does the front.
    response.destroy();
    return;
  }
  // With a false length the socket is closed by hand: the body is over, whatever was announced.
  if (length === undefined) response.end();
  else response.socket?.end();
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { port: { type: "string" }, target: { type: "string" } } });
  const front = await startFront({
    port: Number(values.port ?? 8790),
    target: Number(values.target ?? 8788),
  });
  console.log(`The front listens on http://127.0.0.1:${front.port}`);
}
