// The page on which GraphQL is tried: a query is sent with the session of whoever is signed in, what is wrong is shown at its place,
// and the schema is asked for as it is looked at. What was asked is kept while the page is open, and nowhere else.
const root = document.querySelector<HTMLElement>("[data-graphql]")!;
const $ = <T extends HTMLElement>(sel: string) => root.querySelector<T>(sel)!;
const query = $<HTMLTextAreaElement>("#f-query"), vars = $<HTMLTextAreaElement>("#f-variables"), start = $<HTMLSelectElement>("[data-start]");
const errors = $("#gql-errors"), bad = $("#gql-badvars"), answer = $("[data-answer]");
const make = <K extends keyof HTMLElementTagNameMap>(tag: K, text = "", cls = "") => {
  const e = document.createElement(tag);
  e.textContent = text; if (cls) e.className = cls;
  return e;
};

type Problem = { message: string; locations?: { line: number; column: number }[] };
type Answer = { data?: any; errors?: Problem[] };
async function ask(text: string, variables?: unknown): Promise<{ status: string; got: Answer }> {
  const r = await fetch(root.dataset.graphql!, {
    method: "POST", credentials: "same-origin", cache: "no-store", redirect: "error",
    headers: { "Content-Type": "application/json", Accept: "application/graphql-response+json, application/json" },
    body: JSON.stringify({ query: text, variables }),
  });
  return { status: `${r.status} ${r.statusText}`, got: await r.json() };
}

// The place of a fault, as a choice of text in the query.
function goTo(line: number, column: number) {
  const lines = query.value.split("\n");
  const from = lines.slice(0, line - 1).reduce((n, l) => n + l.length + 1, 0) + Math.max(0, column - 1);
  query.focus();
  query.setSelectionRange(from, Math.min(query.value.length, from + Math.max(1, /^[\w$@]*/.exec(query.value.slice(from))![0].length)));
  query.scrollTop = Math.max(0, (line - 4) * parseFloat(getComputedStyle(query).lineHeight));
}

function wrong(list: Problem[]) {
  query.toggleAttribute("aria-invalid", list.length > 0);
  if (list.length) query.setAttribute("aria-invalid", "true");
  errors.hidden = !list.length;
  errors.replaceChildren(...list.map((p) => {
    const li = make("li"), at = p.locations?.[0];
    if (at) {
      const b = make("button", root.dataset.line!.replace("{line}", String(at.line)).replace("{column}", String(at.column)), "btn tiny");
      b.type = "button";
      b.addEventListener("click", () => goTo(at.line, at.column));
      li.append(b, " ");
    }
    li.append(make("span", p.message));
    return li;
  }));
  const at = list[0]?.locations?.[0];
  if (at) goTo(at.line, at.column);
}

const past: { query: string; variables: string; status: string }[] = [];
function remember(entry: { query: string; variables: string; status: string }) {
  past.unshift(entry);
  past.length = Math.min(past.length, 30);
  const box = $("[data-past]");
  box.hidden = false;
  box.querySelector("[data-count]")!.textContent = String(past.length);
  box.querySelector("[data-list]")!.replaceChildren(...past.map((p) => {
    const li = make("li"), b = make("button", p.query.replace(/\s+/g, " ").slice(0, 90), "lnk num");
    b.type = "button";
    b.addEventListener("click", () => { query.value = p.query; vars.value = p.variables; query.focus(); });
    li.append(b, make("span", p.status, "sub num"));
    return li;
  }));
}

let sending = false;
$("form").addEventListener("submit", async (e) => {
  e.preventDefault();
  if (sending) return;
  bad.hidden = true; vars.removeAttribute("aria-invalid"); wrong([]);
  let variables: unknown;
  try { variables = vars.value.trim() ? JSON.parse(vars.value) : undefined; } catch (fault) {
    bad.textContent = `${root.dataset.variables} ${(fault as Error).message}`; bad.hidden = false;
    vars.setAttribute("aria-invalid", "true"); vars.focus();
    return;
  }
  sending = true;
  const began = performance.now();
  const show = (status: string, text: string) => { $("[data-status]").textContent = status; $("[data-got]").textContent = text; $("[data-got]").hidden = !text; answer.hidden = false; };
  try {
    const { status, got } = await ask(query.value, variables);
    show(`${status} · ${root.dataset.took!.replace("{ms}", String(Math.round(performance.now() - began)))}`, JSON.stringify(got.data ?? null, null, 2));
    wrong(got.errors ?? []);
    if (!got.errors) answer.scrollIntoView({ block: "nearest" });
    remember({ query: query.value, variables: vars.value, status });
  } catch { show(root.dataset.failed!, ""); }
  sending = false;
});

start.addEventListener("change", () => {
  const o = start.selectedOptions[0];
  query.value = o.dataset.query!; vars.value = o.dataset.variables!; wrong([]); bad.hidden = true;
});

// The schema: types at once, the fields of one when it is opened.
type Ref = { kind: string; name: string | null; ofType?: Ref };
type Field = { name: string; description?: string; type: Ref; args: { name: string; type: Ref }[] };
const ref = (t: Ref): string => t.kind === "LIST" ? `[${ref(t.ofType!)}]` : t.kind === "NON_NULL" ? `${ref(t.ofType!)}!` : t.name ?? "";
const bare = (t: Ref): string => t.ofType ? bare(t.ofType) : t.name ?? "";
const deep = "kind name ofType {kind name ofType {kind name ofType {kind name}}}";
const list = $("[data-types]"), empty = $("[data-empty]"), filter = $<HTMLInputElement>("#f-types");
const shown = new Map<string, HTMLDetailsElement>();

async function open(name: string, box: HTMLDetailsElement) {
  if (box.dataset.full) return;
  box.dataset.full = "1";
  const { got } = await ask(`query ($n: String!) {__type(name: $n) {fields {name description type {${deep}} args {name type {${deep}}}}}}`, { n: name }).catch(() => ({ got: {} as Answer }));
  const fields: Field[] = got.data?.__type?.fields ?? [];
  const dl = make("ul", "", "gqlfields");
  for (const f of fields) {
    const li = make("li"), to = bare(f.type), head = make("code", f.name);
    li.append(head, " ");
    if (shown.has(to)) {
      const b = make("button", ref(f.type), "lnk");
      b.type = "button";
      b.addEventListener("click", () => reveal(to));
      li.append(b);
    } else li.append(make("span", ref(f.type), "sub"));
    if (f.args.length) {
      const more = make("details"), sum = make("summary", `(${f.args.length})`);
      more.append(sum, make("p", f.args.map((a) => `${a.name}: ${ref(a.type)}`).join(", "), "sub"));
      li.append(more);
    }
    if (f.description) li.append(make("p", f.description, "sub"));
    dl.append(li);
  }
  box.append(fields.length ? dl : make("p", root.dataset.none, "sub pad"));
}

function reveal(name: string) {
  const box = shown.get(name)!;
  filter.value = name; narrow();
  box.open = true;
  box.querySelector("summary")!.focus();
  box.scrollIntoView({ block: "nearest" });
}

function narrow() {
  const text = filter.value.trim().toLowerCase();
  let n = 0;
  // Without a word only what a query begins with is listed: the parts of resources are found by name, or from their whole.
  for (const [name, box] of shown) { box.hidden = text ? !name.toLowerCase().includes(text) : name !== "Query" && !shown.has(name + "Connection"); if (!box.hidden) n++; }
  $("[data-schema] [data-count]").textContent = String(n);
  empty.hidden = n > 0; empty.textContent = root.dataset.none!;
}
filter.addEventListener("input", narrow);

void ask("{__schema {types {name kind}}}").then(({ got }) => {
  const types: { name: string; kind: string }[] = got.data?.__schema?.types ?? [];
  const first = (n: string) => n === "Query" ? 0 : 1;
  for (const t of types.filter((t) => t.kind === "OBJECT" && !t.name.startsWith("__")).sort((a, b) => first(a.name) - first(b.name) || a.name.localeCompare(b.name))) {
    const box = make("details"), sum = make("summary", t.name);
    sum.dataset.row = "";
    box.append(sum);
    box.addEventListener("toggle", () => { if (box.open) void open(t.name, box); });
    shown.set(t.name, box);
  }
  list.replaceChildren(...shown.values());
  narrow();
}).catch(() => { empty.textContent = root.dataset.failed!; });
