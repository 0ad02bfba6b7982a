// One stream of news for all tabs of a browser. A tab says which address it listens to and for what; the worker tells it the kind
// of what happened and nothing else.
type Tab = { port: MessagePort; src: string; seen: number };
type Feed = { es: EventSource; kinds: Set<string> };
const tabs = new Set<Tab>();
const feeds = new Map<string, Feed>();

const tell = (src: string, m: unknown) => { for (const t of tabs) if (t.src === src) t.port.postMessage(m); };

function feed(src: string): Feed {
  let f = feeds.get(src);
  if (!f || f.es.readyState === EventSource.CLOSED) {
    f?.es.close();
    const es = new EventSource(src);
    f = { es, kinds: new Set() };
    es.addEventListener("missed", () => tell(src, { kind: "missed" }));
    es.addEventListener("signed-out", () => { tell(src, { out: true }); es.close(); feeds.delete(src); });
    feeds.set(src, f);
  }
  return f;
}
function listen(src: string, kinds: string[]) {
  const f = feed(src);
  for (const k of kinds) {
    if (f.kinds.has(k)) continue;
    f.kinds.add(k);
    f.es.addEventListener(k, () => tell(src, { kind: k }));
  }
}
const leave = (t: Tab) => {
  tabs.delete(t);
  if ([...tabs].some((o) => o.src === t.src)) return;
  feeds.get(t.src)?.es.close();
  feeds.delete(t.src);
};
(self as unknown as { onconnect: (e: MessageEvent) => void }).onconnect = (e) => {
  const t: Tab = { port: e.ports[0], src: "", seen: Date.now() };
  tabs.add(t);
  t.port.onmessage = (m) => {
    t.seen = Date.now();
    const d = m.data as { src?: string; kinds?: string[]; bye?: boolean };
    if (d.bye) { leave(t); return; }
    if (d.src) { t.src = d.src; tabs.add(t); listen(d.src, d.kinds ?? []); }
  };
};
// A tab that was killed says no farewell; one that is alive says something every minute.
setInterval(() => { for (const t of tabs) if (Date.now() - t.seen > 180_000) leave(t); }, 60_000);
