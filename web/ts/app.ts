// What every screen shares: the palette, keys, dialogs, messages with undo, the progress bar, and news from the server.
// No inline handlers, no eval, nothing of a patient in browser storage.
import "./palette";
import "./keys";
import "./dialog";
import "./toast";
import "./session";
import { live } from "./live";

// The bar shows only for what takes longer than an eye notices (its start is delayed in the style sheet).
let pending = 0;
const bar = document.querySelector(".busy");
const busy = (n: number) => { pending = Math.max(0, pending + n); bar?.classList.toggle("on", pending > 0); };
document.addEventListener("htmx:before:request", () => busy(1));
document.addEventListener("htmx:finally:request", () => busy(-1));
document.addEventListener("htmx:error", () => busy(-1));
addEventListener("beforeunload", () => busy(1));
addEventListener("pageshow", () => { pending = 0; busy(0); });

// A form is sent once, however often its button is pressed; the server would notice, but the person should see it.
document.addEventListener("submit", (e) => {
  const f = e.target as HTMLFormElement;
  if (e.defaultPrevented) return;
  if (f.dataset.sent) { e.preventDefault(); return; }
  if (f.method === "post" && !f.hasAttribute("hx-post")) { f.dataset.sent = "1"; setTimeout(() => delete f.dataset.sent, 4000); }
});

const load: [string, () => Promise<unknown>][] = [
  ["trend-chart", () => import("./trend")],
  ["note-editor", () => import("./note")],
  [".day", () => import("./schedule")],
  ["[data-console]", () => import("./console")],
  ["[data-copy]", () => import("./copy")],
  ["[data-graphql]", () => import("./graphql")],
  ["[data-passkey]", () => import("./passkey")],
];
for (const [sel, part] of load) if (document.querySelector(sel)) void part();

const src = document.documentElement.dataset.live;
if (src) live(src);

// Fields that look up codes come with dialogs, after the page.
document.addEventListener("htmx:after:swap", () => { if (document.querySelector("code-search:not(:defined)")) void import("./codes"); });
if (document.querySelector("code-search")) void import("./codes");
