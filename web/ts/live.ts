// News from the server. An element with data-on="Appointment" is asked for again when something of that type has changed. All tabs of a browser
// share one stream through a worker; a browser without shared workers opens one for each tab.
const kinds = () => [...new Set([...document.querySelectorAll<HTMLElement>("[data-on]")].flatMap((e) => e.dataset.on!.split(" ")))];
// After "missed" anything may have changed.
const happened = (kind: string) => document.querySelectorAll<HTMLElement>(kind === "missed" ? "[data-on]" : `[data-on~="${CSS.escape(kind)}"]`).forEach((e) => e.dispatchEvent(new CustomEvent("refresh")));
const out = () => { document.body.hidden = true; location.reload(); };

export function live(src: string) {
  src = new URL(src, location.href).href;
  const worker = document.documentElement.dataset.liveWorker;
  if (worker && "SharedWorker" in window) shared(src, worker); else alone(src);
}

function shared(src: string, worker: string) {
  const port = new SharedWorker(worker, { name: "yarrow-live" }).port;
  const hello = () => port.postMessage({ src, kinds: kinds() });
  port.onmessage = (m) => { if (m.data.out) out(); else happened(m.data.kind); };
  hello();
  document.addEventListener("htmx:after:swap", hello);
  setInterval(hello, 60_000);
  addEventListener("pagehide", () => port.postMessage({ bye: true }));
  addEventListener("pageshow", (e) => { if (e.persisted) hello(); });
}

function alone(src: string) {
  const es = new EventSource(src), wanted = new Set<string>();
  const listen = () => kinds().forEach((k) => { if (!wanted.has(k)) { wanted.add(k); es.addEventListener(k, () => happened(k)); } });
  listen();
  es.addEventListener("missed", () => happened("missed"));
  document.addEventListener("htmx:after:swap", listen);
  es.addEventListener("signed-out", out);
  addEventListener("pagehide", () => es.close());
}
