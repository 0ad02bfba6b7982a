// Single letters act only outside fields, and a person can switch them off (WCAG 2.1.4). Which letters do what is said by the
// page itself: every element with data-key="n" or data-key="g s" is pressed or followed when its keys are typed.
import { openPalette } from "./palette";

let lead = "", since = 0;
const typing = (t: EventTarget | null) => t instanceof HTMLElement && (t.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(t.tagName));
const byKey = (k: string) => [...document.querySelectorAll<HTMLElement>("[data-key]")].find((e) => e.dataset.key === k && e.getClientRects().length);
// Commands that nothing on the page shows stand in a hidden list with their addresses.
export const command = (k: string) => document.querySelector<HTMLElement>(`#cmds [data-cmd="${CSS.escape(k)}"]`);

document.addEventListener("keydown", (e) => {
  const mod = e.ctrlKey || e.metaKey;
  if (mod && e.key.toLowerCase() === "k") { e.preventDefault(); openPalette(); return; }
  if (mod && e.key === "Enter") {
    const b = (document.querySelector("dialog[open] [data-commit]") ?? document.querySelector("[data-commit]")) as HTMLElement | null;
    if (b) { e.preventDefault(); b.click(); }
    return;
  }
  if (mod || e.altKey || typing(e.target) || document.documentElement.dataset.keys === "off" || document.querySelector("dialog[open]")) return;
  if (e.key === "j" || e.key === "k" || e.key === "J" || e.key === "K") { if (move(e.key.toLowerCase() === "j" ? 1 : -1)) e.preventDefault(); return; }
  const key = e.key.length === 1 ? e.key.toLowerCase() : e.key;
  const seq = lead && e.timeStamp - since < 900 ? `${lead} ${key}` : key;
  const el = byKey(seq) ?? byKey(key);
  if (seq === "/" && !el) { e.preventDefault(); openPalette("/"); return; }
  const cmd = el ? null : command(seq) ?? command(key);
  if (cmd) { e.preventDefault(); lead = ""; cmd.click(); return; }
  if (el) { e.preventDefault(); lead = ""; el.matches("input,textarea,select") ? el.focus() : el.click(); return; }
  lead = key; since = e.timeStamp;
});

// J and K move through the rows of a list.
function move(by: number): boolean {
  const rows = [...document.querySelectorAll<HTMLElement>("[data-row]")].filter((r) => r.getClientRects().length);
  if (!rows.length) return false;
  const i = rows.indexOf(document.activeElement as HTMLElement);
  rows[Math.max(0, Math.min(rows.length - 1, i < 0 ? 0 : i + by))].focus();
  return true;
}
