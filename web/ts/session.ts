// Two minutes before the session ends the page asks; when it has ended, the page hides the patient and goes to sign-in.
const html = document.documentElement;
const idle = Number(html.dataset.idle ?? 0) * 1000;
if (idle > 0) {
  let last = performance.now();
  const box = document.querySelector<HTMLDialogElement>("#ending");
  const touch = () => { last = performance.now(); };
  document.addEventListener("htmx:after:request", touch);
  const act = () => { if (!box?.open) moved = true; };
  let moved = false;
  for (const ev of ["keydown", "pointerdown"]) document.addEventListener(ev, act, { passive: true });
  const stay = async () => {
    const r = await fetch(html.dataset.stay!, { method: "POST", headers: { "X-Yarrow": "1" } });
    if (!r.ok) return leave();
    touch();
    box?.close();
  };
  const leave = () => { document.body.hidden = true; location.reload(); };
  box?.querySelector("[data-stay]")?.addEventListener("click", () => void stay());
  box?.addEventListener("cancel", (e) => { e.preventDefault(); void stay(); });
  setInterval(() => {
    const left = idle - (performance.now() - last);
    // Someone who reads and types without sending anything is still there.
    if (moved && left < idle / 2) { moved = false; void stay(); return; }
    if (left <= 0) leave();
    else if (left < 120_000 && box && !box.open) box.showModal();
    const s = box?.querySelector("[data-left]");
    if (s && box?.open) s.textContent = String(Math.max(0, Math.ceil(left / 1000)));
  }, 1000);
}
