// Print the SDK's software bill of materials (CycloneDX 1.5): `node scripts/sbom.mjs`.
// npm lists what is installed with the package, which is nothing. What its files contain, npm
// cannot know: ws is added here, as its own list of all tools describes it.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

/** Packages whose code is in dist/ (scripts/package.mjs). */
const CONTAINED = ["ws"];

function list(...options) {
  const fixed = ["--package-lock-only", "--sbom-format", "cyclonedx", "--sbom-type", "library"];
  const { status, stdout, stderr } = spawnSync("npm", ["sbom", ...fixed, ...options], {
    cwd: fileURLToPath(new URL("..", import.meta.url)),
    encoding: "utf8",
    maxBuffer: 2 ** 26,
  });
  if (status !== 0) throw new Error(`npm sbom failed: ${stderr}`);
  return JSON.parse(stdout);
}

/** The same wherever and whenever it is made: without a number and a time of its own. */
export function sbom() {
  const { serialNumber: _, ...shipped } = list("--omit", "dev");
  delete shipped.metadata.timestamp;
  const { components } = list();
  const [own] = shipped.dependencies;
  for (const name of CONTAINED) {
    const found = components.find((one) => one.name === name);
    if (!found) throw new Error(`the lock file has no ${name}`);
    shipped.components.push({ ...found, scope: "required", properties: [] });
    shipped.dependencies.push({ ref: found["bom-ref"], dependsOn: [] });
    own.dependsOn.push(found["bom-ref"]);
  }
  return shipped;
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  console.log(JSON.stringify(sbom(), null, 1));
