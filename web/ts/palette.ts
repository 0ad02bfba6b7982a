// The command palette: find a patient, go somewhere, act. The list comes from the server; keys move in it.
const $ = <T extends Element>(s: string) => document.querySelector<T>(s);
const pal = $<HTMLDialogElement>("#pal");
const q = $<HTMLInputElement>("#palq");
const list = $<HTMLElement>("#pallist");
const options = () => [...document.querySelectorAll<HTMLElement>("#pallist [role=option]")];
let at = 0, timer = 0, asked: string | null = null, wanted = false, under: AbortController | null = null;

function mark(i: number) {
  const o = options();
  if (!o.length) { q?.removeAttribute("aria-activedescendant"); return; }
  at = (i + o.length) % o.length;
  o.forEach((e, k) => e.setAttribute("aria-selected", String(k === at)));
  o[at].scrollIntoView({ block: "nearest" });
  q?.setAttribute("aria-activedescendant", o[at].id);
}

// What is typed goes to the server by POST, so that no name stands in an address. A newer question cancels an older one.
async function ask() {
  if (!q?.form || !list) return;
  under?.abort();
  under = new AbortController();
  const text = q.value;
  try {
    const r = await fetch(q.form.action, { method: "POST", body: new URLSearchParams(new FormData(q.form) as never), headers: { "HX-Request": "true" }, signal: under.signal });
    const to = r.headers.get("HX-Redirect");
    if (to) { location.href = to; return; }
    list.innerHTML = await r.text();
    asked = text;
    mark(0);
    // Enter acts on what was typed, not on the list of a moment ago: it waited for this answer.
    if (wanted && asked === q.value) { wanted = false; options()[at]?.click(); }
  } catch (e) {
    if ((e as Error).name !== "AbortError") list.textContent = list.dataset.failed ?? "";
  }
}

export function openPalette(text = "") {
  if (!pal || !q || pal.open) return;
  pal.showModal();
  q.value = text;
  q.focus();
  wanted = false;
  void ask();
}

document.addEventListener("click", (e) => {
  const t = e.target as HTMLElement;
  if (t.closest("[data-palette]")) { e.preventDefault(); openPalette(); }
  const run = t.closest<HTMLElement>("[data-run]");
  if (run) { e.preventDefault(); $<HTMLElement>(`#cmds [data-cmd="${CSS.escape(run.dataset.run!)}"]`)?.click(); }
  if (t === pal) pal?.close();
});
q?.addEventListener("input", () => { wanted = false; clearTimeout(timer); timer = window.setTimeout(() => void ask(), 90); });
q?.addEventListener("keydown", (e) => {
  if (e.key === "ArrowDown") { e.preventDefault(); mark(at + 1); }
  else if (e.key === "ArrowUp") { e.preventDefault(); mark(at - 1); }
});
q?.form?.addEventListener("submit", (e) => {
  e.preventDefault();
  if (asked === q.value) options()[at]?.click(); else { wanted = true; clearTimeout(timer); void ask(); }
});
