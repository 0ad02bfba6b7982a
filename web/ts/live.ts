// News from the server: one stream a page; an element with data-on="scheduling.Changed" is asked for again when that happens.
export function live(src: string) {
  const es = new EventSource(src);
  const wanted = new Set<string>();
  const listen = () => document.querySelectorAll<HTMLElement>("[data-on]").forEach((e) => {
    for (const kind of e.dataset.on!.split(" ")) {
      if (wanted.has(kind)) continue;
      wanted.add(kind);
      es.addEventListener(kind, () => {
        document.querySelectorAll<HTMLElement>(`[data-on~="${kind}"]`).forEach((x) => x.dispatchEvent(new CustomEvent("refresh", { bubbles: false })));
      });
    }
  });
  listen();
  document.addEventListener("htmx:after:swap", listen);
  es.addEventListener("signed-out", () => { document.body.hidden = true; location.reload(); });
  addEventListener("pagehide", () => es.close());
}
