// Faults to build into the SDK: a proof that does not see them proves nothing.
import { readFile } from "node:fs/promises";

/** By name: the file in sdk/src, what stands there, and what stands there instead. */
export const MUTANTS = {
  "delete before ack": [
    "core/outbox.ts",
    "stored: this.#log.write({ batches: [counted] })",
    "stored: this.#log.write({ settled: batch.members, thawed: [batch.id] })",
  ],
  "no write-ahead": [
    "core/write_ahead.ts",
    "if (!this.#persistent) return Promise.resolve();",
    "if (!change.purge) return Promise.resolve();",
  ],
  "reused ids": [
    "core/ids.ts",
    "bytes[6] = 0x70 | (this.#count >> 8);",
    "bytes.fill(0, 5);\n    bytes[6] = 0x70;", // 8 bits are left in each quarter of a second
  ],
};

/** A plugin of esbuild that builds one of them in. */
export function breaking(name) {
  const [file, from, to] = MUTANTS[name];
  return {
    name: "mutant",
    setup(build) {
      build.onLoad({ filter: new RegExp(`/src/${file.replace(".", "\\.")}$`) }, async ({ path }) => {
        const text = await readFile(path, "utf8");
        if (text.split(from).length !== 2) throw new Error(`${file} does not hold once: ${from}`);
        return { contents: text.replace(from, to), loader: "ts" };
      });
    },
  };
}
