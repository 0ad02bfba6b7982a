// Builds what the browser gets: one style sheet, one script with parts loaded when needed, the font, and a sprite of the icons
// that are used. Every file carries a hash in its name, has .br and .gz twins, and is listed in manifest.json.
import { build } from "esbuild";
import { createHash } from "node:crypto";
import { brotliCompressSync, gzipSync, constants } from "node:zlib";
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, extname, join } from "node:path";

const out = join(import.meta.dirname, "../internal/web/ui/dist");
mkdirSync(out, { recursive: true });
for (const f of readdirSync(out)) if (f !== ".keep") rmSync(join(out, f), { recursive: true });

const manifest = {};
const put = (name, bytes) => {
  const hash = createHash("sha256").update(bytes).digest("hex").slice(0, 8);
  const ext = extname(name);
  const file = `${basename(name, ext)}-${hash}${ext}`;
  write(file, bytes);
  manifest[name] = file;
};
const write = (file, bytes) => {
  writeFileSync(join(out, file), bytes);
  if (/\.(css|js|svg)$/.test(file)) {
    writeFileSync(join(out, file + ".br"), brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }));
    writeFileSync(join(out, file + ".gz"), gzipSync(bytes, { level: 9 }));
  }
};

// The day is a grid of five-minute rows; a block's place and length are classes, since the pages' policy allows no inline styles.
let grid = "@layer screens {";
for (let r = 0; r < 216; r++) grid += `.r${r}{grid-row-start:${r + 1}}`;
for (let n = 2; n <= 108; n++) grid += `.n${n}{grid-row-end:span ${n}}`;
for (let h = 4; h <= 18; h++) grid += `.hours-${h} .col{grid-template-rows:repeat(${h * 12},var(--px))}.hours-${h} .tcol{grid-template-rows:repeat(${h},calc(var(--px)*12))}`;
for (const of of [2, 3, 4]) for (let l = 0; l < of; l++) grid += `.l${l}of${of}{margin-inline:${(100 * l / of).toFixed(2)}% ${(100 * (of - l - 1) / of).toFixed(2)}%}`;
writeFileSync("css/grid.css", grid + "}\n");

const common = { bundle: true, minify: true, write: false, outdir: out, target: ["es2022", "chrome123", "firefox120", "safari17.5"], logLevel: "warning" };
const scripts = await build({ ...common, entryPoints: { app: "ts/app.ts" }, format: "esm", splitting: true, entryNames: "[name]-[hash]", chunkNames: "part-[hash]" });
const styles = await build({ ...common, entryPoints: { app: "css/app.css" }, entryNames: "[name]-[hash]", assetNames: "[name]-[hash]", loader: { ".woff2": "file" } });
for (const f of [...scripts.outputFiles, ...styles.outputFiles]) {
  const name = basename(f.path);
  write(name, f.contents);
  if (/^app-/.test(name)) manifest["app" + extname(name)] = name;
  if (/\.woff2$/.test(name)) manifest["font.woff2"] = name;
}
const worker = await build({ ...common, entryPoints: ["ts/live-worker.ts"], format: "iife" });
put("live-worker.js", worker.outputFiles[0].contents);
put("htmx.js", readFileSync("node_modules/htmx.org/dist/htmx.min.js"));
put("logo.svg", readFileSync("logo.svg"));

// Icons are listed by name, one a line; a name that the package does not have fails the build.
const names = readFileSync("icons.txt", "utf8").split("\n").map((l) => l.trim()).filter((l) => l && !l.startsWith("#"));
let sprite = '<svg xmlns="http://www.w3.org/2000/svg">';
for (const n of names) {
  const svg = readFileSync(`node_modules/lucide-static/icons/${n}.svg`, "utf8");
  sprite += `<symbol id="${n}" viewBox="0 0 24 24">${svg.replace(/<!--.*?-->/gs, "").replace(/<\/?svg[^>]*>/g, "").replace(/\s+/g, " ").trim()}</symbol>`;
}
put("icons.svg", Buffer.from(sprite + "</svg>"));
writeFileSync(join(out, "manifest.json"), JSON.stringify(manifest, null, 1));
console.log(Object.values(manifest).join("  "));
