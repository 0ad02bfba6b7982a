// The command palette: find a patient, go somewhere, act. The list comes from the server; keys move in it.
const $ = <T extends Element>(s: string) => document.querySelector<T>(s);
const pal = $<HTMLDialogElement>("#pal");
const q = $<HTMLInputElement>("#palq");
const options = () => [...document.querySelectorAll<HTMLElement>("#pallist [role=option]")];
let at = 0;

function mark(i: number) {
  const o = options();
  if (!o.length) { q?.removeAttribute("aria-activedescendant"); return; }
  at = (i + o.length) % o.length;
  o.forEach((e, k) => e.setAttribute("aria-selected", String(k === at)));
  o[at].scrollIntoView({ block: "nearest" });
  q?.setAttribute("aria-activedescendant", o[at].id);
}

export function openPalette(text = "") {
  if (!pal || !q || pal.open) return;
  pal.showModal();
  q.value = text;
  q.focus();
  q.dispatchEvent(new Event("input", { bubbles: true }));
  mark(0);
}

document.addEventListener("click", (e) => {
  const t = e.target as HTMLElement;
  if (t.closest("[data-palette]")) { e.preventDefault(); openPalette(); }
  const run = t.closest<HTMLElement>("[data-run]");
  if (run) { e.preventDefault(); document.querySelector<HTMLElement>(`#cmds [data-cmd="${CSS.escape(run.dataset.run!)}"]`)?.click(); }
  if (t === pal) pal?.close();
});
q?.addEventListener("keydown", (e) => {
  if (e.key === "ArrowDown") { e.preventDefault(); mark(at + 1); }
  else if (e.key === "ArrowUp") { e.preventDefault(); mark(at - 1); }
  else if (e.key === "Enter") { e.preventDefault(); pick(); }
});

// Enter must act on what was typed, not on the list of a moment ago: while an answer is under way, the choice waits for it.
let asked = "", wanted = false;
const fresh = () => asked === q?.value;
function pick() { if (fresh()) options()[at]?.click(); else wanted = true; }
document.addEventListener("htmx:after:swap", () => {
  const list = $<HTMLElement>("#pallist");
  if (!list || !pal?.open) return;
  asked = list.querySelector<HTMLElement>("[data-asked]")?.dataset.asked ?? q?.value ?? "";
  mark(0);
  if (wanted && fresh()) { wanted = false; pick(); }
});
q?.addEventListener("input", () => { wanted = false; });
