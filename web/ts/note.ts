// The note editor: what is typed is sent within a second and a half of the last key and at the latest every two seconds, in order,
// one request at a time. Until the server has it, the page says so and will not be left silently. Nothing is kept in the browser.
const form = document.querySelector<HTMLFormElement>("[data-note]")!;
const state = form.querySelector<HTMLElement>("[data-saved]");
let seq = Number(form.dataset.seq ?? 0), dirty = false, sending = false, timer = 0, since = 0, wait = 500;
const words = form.dataset as Record<string, string>;
const say = (t: string, cls = "") => { if (state) { state.textContent = t; state.className = cls; } };

function body() {
  const d = new URLSearchParams();
  for (const [k, v] of new FormData(form)) if (typeof v === "string") d.append(k, v);
  d.set("seq", String(seq));
  return d;
}
async function save(): Promise<boolean> {
  if (sending || !dirty) return !dirty;
  sending = true; dirty = false; seq++;
  const sent = body();
  try {
    const r = await fetch(words.save, { method: "POST", body: sent, headers: { "X-Yarrow": "1" } });
    if (r.status === 409) { location.reload(); return false; }
    if (r.status === 401) { dirty = true; say(words.signedOut, "warn"); return false; }
    if (!r.ok) throw new Error(String(r.status));
    wait = 500;
    say(await r.text());
    return !dirty;
  } catch {
    dirty = true;
    wait = Math.min(wait * 2, 15000);
    say(words.unsaved, "warn");
    clearTimeout(timer);
    timer = window.setTimeout(() => void save(), wait);
    return false;
  } finally {
    sending = false;
    if (dirty && wait === 500) plan();
  }
}
function plan() {
  if (!since) since = performance.now();
  clearTimeout(timer);
  const left = Math.max(0, Math.min(700, 1800 - (performance.now() - since)));
  timer = window.setTimeout(() => { since = 0; void save(); }, left);
}
form.addEventListener("input", () => { dirty = true; say(words.saving); plan(); });
form.addEventListener("focusout", () => { if (dirty) void save(); });
document.addEventListener("visibilitychange", () => { if (document.visibilityState === "hidden" && dirty) { seq++; navigator.sendBeacon(words.save, body()); dirty = false; } });
addEventListener("beforeunload", (e) => { if (dirty) e.preventDefault(); });

// Signing waits for the last words.
form.addEventListener("submit", async (e) => {
  if (!dirty && !sending) return;
  e.preventDefault();
  const by = (e as SubmitEvent).submitter as HTMLElement | null;
  for (let i = 0; i < 50 && (dirty || sending); i++) { await save(); await new Promise((r) => setTimeout(r, 60)); }
  if (!dirty) form.requestSubmit(by);
});
// Text areas grow with what is in them.
const grow = (t: HTMLTextAreaElement) => { t.style.height = "auto"; t.style.height = `${t.scrollHeight + 2}px`; };
form.querySelectorAll("textarea").forEach((t) => { grow(t); t.addEventListener("input", () => grow(t)); });
export {};
