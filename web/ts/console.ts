// The console of the FHIR interface: sends a request with the session of whoever is signed in, and shows what came back.
// What changes something is sent only when the person has said so.
const form = document.querySelector<HTMLFormElement>("[data-console]")!;
const $ = <T extends HTMLElement>(sel: string) => form.querySelector<T>(sel)!;
const method = form.elements.namedItem("method") as HTMLSelectElement, path = form.elements.namedItem("path") as HTMLInputElement;
const body = form.elements.namedItem("body") as HTMLTextAreaElement, sure = form.elements.namedItem("sure") as HTMLInputElement;
const writes = $("[data-writes]"), answer = $("[data-answer]");
// Searches, checks and reading operations come by POST too, but who types POST may mean anything: all of them are asked for.
const show = () => { writes.hidden = method.value === "GET"; sure.checked = false; };
method.addEventListener("change", show);

const sent: Record<string, string> = { PATCH: "application/json-patch+json" };
function pretty(text: string) { try { return JSON.stringify(JSON.parse(text), null, 2); } catch { return text; } }

form.addEventListener("submit", async (e) => {
  e.preventDefault();
  const set = (status: string, time = "", left = "", headers = "", got = "") => {
    $("[data-status]").textContent = status; $("[data-time]").textContent = time; $("[data-left]").textContent = left;
    $("[data-headers]").textContent = headers; $("[data-got]").textContent = got; $("[data-got]").hidden = !got; answer.hidden = false;
  };
  const write = method.value !== "GET";
  if (write && !sure.checked) { set(form.dataset.unsure!); sure.focus(); return; }
  const began = performance.now();
  try {
    const r = await fetch(form.dataset.console + "/" + path.value.replace(/^\/+/, ""), {
      method: method.value, credentials: "same-origin", cache: "no-store", redirect: "error",
      headers: { Accept: "application/fhir+json", ...(write && body.value ? { "Content-Type": sent[method.value] ?? "application/fhir+json" } : {}) },
      body: write && body.value ? body.value : undefined,
    });
    const got = await r.text();
    const took = form.dataset.took!.replace("{ms}", String(Math.round(performance.now() - began)));
    const limit = r.headers.get("RateLimit-Limit"), left = r.headers.get("RateLimit-Remaining");
    set(`${r.status} ${r.statusText}`, took, limit && left ? form.dataset.budget!.replace("{left}", left).replace("{limit}", limit) : "",
      [...r.headers].map(([k, v]) => `${k}: ${v}`).join("\n"), pretty(got));
  } catch { set(form.dataset.failed!); }
  sure.checked = false;
});

for (const b of document.querySelectorAll<HTMLButtonElement>("[data-try]")) b.addEventListener("click", () => {
  method.value = b.dataset.try!; path.value = b.dataset.path!; show();
  if (method.value === "POST" || method.value === "PUT") body.value = document.getElementById("example")?.textContent ?? "";
  path.focus(); form.scrollIntoView({ block: "center" });
});
