/** A line on a terminal that says how many nodes have answered. */
export interface Progress {
  show(asked: number, all: number): void;
  /** Removes the line. */
  end(): void;
}

/** Redrawing for each node would take longer than asking it. */
const REDRAW_MS = 100;

/** Writes nothing unless `out` is a terminal. */
export function createProgress(out: NodeJS.WriteStream): Progress {
  let drawn = 0;
  return {
    show(asked, all) {
      const now = performance.now();
      if (!out.isTTY || all === 1 || now - drawn < REDRAW_MS) return;
      drawn = now;
      out.write(`\r${asked} of ${all} nodes have answered`);
    },
    end() {
      // Back to the start, and clear to the end of the line.
      if (drawn > 0) out.write('\r\u001b[K');
      drawn = 0;
    },
  };
}
