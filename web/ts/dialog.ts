// Dialogs come from the server into #dlg and open when they arrive; data-close closes, and so does a click beside them when
// nothing has been typed.
const dlg = document.querySelector<HTMLDialogElement>("#dlg");
let touched = false, from: HTMLElement | null = null;

document.addEventListener("htmx:after:swap", () => {
  if (!dlg) return;
  if (dlg.childElementCount && !dlg.open) {
    from = document.activeElement as HTMLElement;
    touched = false;
    dlg.showModal();
  }
  const err = dlg.querySelector<HTMLElement>(".summary-err");
  if (err) err.focus();
  else if (dlg.open && !dlg.contains(document.activeElement)) dlg.querySelector<HTMLElement>("[autofocus], input:not([type=hidden]), select, textarea, button")?.focus();
});
dlg?.addEventListener("input", () => { touched = true; });
dlg?.addEventListener("close", () => { dlg.replaceChildren(); from?.focus(); });
document.addEventListener("click", (e) => {
  const t = e.target as HTMLElement;
  const box = t.closest("[data-close]")?.closest("dialog");
  if (box) { e.preventDefault(); box.close(); } // without a dialog around it, it is a link back
  const sure = t.closest<HTMLElement>("[data-confirm]");
  if (sure && !confirm(sure.dataset.confirm)) e.preventDefault();
  if (t === dlg && !touched) dlg?.close();
});

// What destroys asks once, in the words of the button's data-confirm.
document.addEventListener("click", (e) => {
  const b = (e.target as HTMLElement).closest<HTMLElement>("[data-confirm]");
  if (b && !confirm(b.dataset.confirm)) { e.preventDefault(); e.stopPropagation(); }
}, { capture: true });
