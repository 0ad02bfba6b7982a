// Messages that pass. The server puts them into the page (after a redirect) or sends them with a fragment; those with an undo
// stay ten seconds, the others five, and none goes while the pointer or the focus is on it.
function settle(t: HTMLElement) {
  if (t.dataset.set) return;
  t.dataset.set = "1";
  const stay = t.querySelector("form") ? 10_000 : 5_000;
  const go = () => { if (t.matches(":hover, :focus-within")) setTimeout(go, 1000); else t.remove(); };
  setTimeout(go, stay);
}
const all = () => document.querySelectorAll<HTMLElement>(".toast").forEach(settle);
all();
document.addEventListener("htmx:after:swap", all);
document.addEventListener("keydown", (e) => {
  if (e.key.toLowerCase() !== "u" || e.ctrlKey || e.metaKey || (e.target as HTMLElement).matches("input,textarea,select")) return;
  document.querySelector<HTMLElement>(".toast form button")?.click();
});
