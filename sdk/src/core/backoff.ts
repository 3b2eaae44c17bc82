/** How long to wait before the next try (docs/wire.md, "Close codes"). */

export const FIRST_WAIT = 500;
export const LONGEST_WAIT = 15_000;
/** A connection that lived this long, in ms, was a good one: the waits begin anew. */
export const GOOD_UPTIME = 5_000;

/**
 * Milliseconds before try `failures + 1`: 0.5 s, doubled up to 15 s, times a random share.
 *
 * @param failures tries that failed one after another, from 1
 * @param share in [0, 1)
 */
export function backoff(failures: number, share: number): number {
  return Math.min(FIRST_WAIT * 2 ** Math.max(0, failures - 1), LONGEST_WAIT) * share;
}
