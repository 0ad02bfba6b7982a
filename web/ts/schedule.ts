// The day: which block is open is told to the server by its link; the list keeps its place when it is drawn again.
const w = document.querySelector<HTMLElement>(".dayw");
const now = document.querySelector<HTMLElement>(".nowl");
if (w && now) w.scrollTop = Math.max(0, now.getBoundingClientRect().top - w.getBoundingClientRect().top - w.clientHeight / 3);
document.addEventListener("change", (e) => {
  const t = e.target as HTMLElement;
  if (t.matches("[data-auto]")) (t as HTMLInputElement).form?.requestSubmit();
});
export {};
