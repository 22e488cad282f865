import { createServer, type IncomingMessage, type Server } from "node:http";
import { text } from "node:stream/consumers";
import { momentSchema, nameOf, type Moment } from "./moments.ts";

interface Wait {
  readonly name: string;
  readonly reached: (moment: Moment) => void;
}

/** Hears of each moment of the Worker under test, and can make it stand still at one. */
export class KillSwitch {
  readonly #server: Server;
  readonly #moments: Moment[] = [];
  #wait: Wait | null = null;

  private constructor() {
    this.#server = createServer((request, response) => {
      this.#hear(request).then(
        (goesOn) => goesOn && response.writeHead(204).end(),
        (error: unknown) => response.writeHead(500).end(String(error)),
      );
    });
  }

  static async listen(): Promise<KillSwitch> {
    const killSwitch = new KillSwitch();
    await new Promise<void>((resolve, reject) => {
      killSwitch.#server.once("error", reject).listen(0, "127.0.0.1", resolve);
    });
    return killSwitch;
  }

  get url(): string {
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("the kill switch does not listen");
    return `http://127.0.0.1:${address.port}/`;
  }

  /** The moments since the last call, in order. */
  takeMoments(): Moment[] {
    return this.#moments.splice(0);
  }

  /** Resolves at the next moment of this name. The Worker is not answered any more: it stands still there. */
  standStillAt(name: string, timeoutMs = 60_000): Promise<Moment> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#wait = null;
        const heard = this.#moments.map(nameOf).join("\n  ");
        reject(new Error(`the moment "${name}" did not come within ${timeoutMs} ms, but:\n  ${heard}`));
      }, timeoutMs);
      const reached = (moment: Moment): void => {
        clearTimeout(timer);
        this.#wait = null;
        resolve(moment);
      };
      this.#wait = { name, reached };
    });
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => {
      this.#server.close(resolve);
    });
  }

  /** Whether the Worker may go on. */
  async #hear(request: IncomingMessage): Promise<boolean> {
    const moment = momentSchema.parse(JSON.parse(await text(request)));
    this.#moments.push(moment);
    if (this.#wait?.name !== nameOf(moment)) return true;
    this.#wait.reached(moment);
    return false;
  }
}
