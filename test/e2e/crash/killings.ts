import type { CrashRig, Victims } from "./crash-rig.ts";
import type { SourceDatabase } from "./emulated-source.ts";
import { nameOf, type Moment } from "./moments.ts";
import type { WholeBackups } from "./whole-backups.ts";

/** How long one kill was felt. */
export interface Recovery {
  readonly killedAt: string;
  readonly victims: Victims;
  /** From the kill to the first answer of what was started again. */
  readonly restartMs: number;
  /** From the kill to the end of the run. */
  readonly recoveryMs: number;
}

/** One source database whose backups are killed in many ways, on one rig and into one bucket. */
export class Killings {
  readonly rig: CrashRig;
  readonly database: SourceDatabase;
  readonly backups: WholeBackups;
  readonly recoveries: Recovery[] = [];

  constructor(rig: CrashRig, database: SourceDatabase, backups: WholeBackups) {
    this.rig = rig;
    this.database = database;
    this.backups = backups;
  }

  /** A run that nobody kills: how long it takes, and the names of its moments in their order, each once. */
  async undisturbed(): Promise<{ ms: number; moments: string[]; saved: Set<string> }> {
    this.rig.killSwitch.takeMoments();
    const began = Date.now();
    const runId = await this.rig.requestBackup(this.database);
    await this.rig.runToItsEnd(runId);
    const ms = Date.now() - began;
    await this.backups.expectOneMore(runId);
    const moments = this.rig.killSwitch.takeMoments();
    const saved = new Set(moments.filter(({ kind }) => kind === "saved").map(nameOf));
    return { ms, moments: [...new Set(moments.map(nameOf))], saved };
  }

  /** A run that is killed at this moment and started again; `before` sees it standing still there. */
  async killAt(
    name: string,
    victims: Victims = "everything",
    before: (moment: Moment) => Promise<void> = async () => {},
  ): Promise<void> {
    const standingStill = this.rig.killSwitch.standStillAt(name);
    const runId = await this.rig.requestBackup(this.database);
    await before(await standingStill);
    await this.killNow(name, victims, runId);
  }

  /** Kills, starts again, and requires the run to end as if nothing had happened. */
  async killNow(killedAt: string, victims: Victims, runId: string): Promise<void> {
    const began = Date.now();
    await this.rig.kill(victims);
    await this.rig.bringBack();
    const restartMs = Date.now() - began;
    try {
      await this.rig.runToItsEnd(runId);
      const recoveryMs = Date.now() - began;
      await this.backups.expectOneMore(runId);
      this.recoveries.push({ killedAt, victims, restartMs, recoveryMs });
    } catch (error) {
      throw new Error(`Killed ${killedAt} (${victims}): ${String(error)}`, { cause: error });
    }
  }
}
