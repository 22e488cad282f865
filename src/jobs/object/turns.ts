/**
 * Lets pieces of work take turns: each begins when the one before has ended, however that was. For writes to another
 * service that must arrive in the order in which they were decided. In memory: an object that dies has none under way.
 */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();

  take<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(work, work);
    this.#last = mine.catch(() => undefined);
    return mine;
  }
}
