// Buttons that copy the text of an element, and say so for a moment.
for (const b of document.querySelectorAll<HTMLButtonElement>("[data-copy]")) {
  if (!navigator.clipboard) break; // plain HTTP elsewhere than on this machine
  b.hidden = false;
  const words = b.lastElementChild!, before = words.textContent;
  b.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(b.dataset.copy!)!.textContent!);
    words.textContent = b.dataset.copied!;
    setTimeout(() => { words.textContent = before; }, 1600);
  });
}
