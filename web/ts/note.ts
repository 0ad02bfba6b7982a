// The note editor. What is typed is sent within two seconds of the key, in order, one request at a time, under the name of this
// page; until the server holds it the editor says so. One page at a time holds the pen: another one reads and may take over, and
// what a page wrote after it lost the pen is kept beside the note, never dropped. No words are kept in the browser: the only thing
// stored is a random name for the tab, so that the next page of the same tab may go on writing.
const random = (n: number) => [...crypto.getRandomValues(new Uint8Array(n))].map((b) => b.toString(16).padStart(2, "0")).join("");
function tab(): string {
  try {
    const had = sessionStorage.getItem("yarrow-tab");
    if (had) return had;
    const made = random(8);
    sessionStorage.setItem("yarrow-tab", made);
    return made;
  } catch { return random(8); }
}
const writer = `${tab()}-${random(6)}`;
const blank = /\[_{3,}[^\]\n]*\]|_{3,}|\*{3,}/g;

class NoteEditor extends HTMLElement {
  private form!: HTMLFormElement;
  private seq = 0;
  private pen = 0;
  private mine = false;
  private dirty = false;
  private sending = false;
  private since = 0;
  private timer = 0;
  private wait = 1000;

  connectedCallback() {
    this.form = this.querySelector<HTMLFormElement>("form[data-sign]")!;
    document.querySelectorAll<HTMLInputElement>("[data-writer]").forEach((i) => { i.value = writer; });
    this.form.addEventListener("input", () => this.typed());
    this.form.addEventListener("focusout", () => void this.save());
    this.querySelector("[data-dosign]")?.addEventListener("click", () => void this.sign());
    this.addEventListener("submit", (e) => this.submitted(e));
    document.addEventListener("visibilitychange", () => { if (document.visibilityState === "hidden") this.beacon(); });
    addEventListener("pagehide", () => this.beacon());
    addEventListener("beforeunload", (e) => { if (this.dirty && !navigator.onLine) e.preventDefault(); });
    this.areas().forEach((t) => this.grow(t));
    this.showBlanks();
    void this.ask("open");
    setInterval(() => { if (document.visibilityState === "visible" && !this.dirty && !this.sending) void this.ask("open"); }, 10_000);
  }

  private areas() { return [...this.form.querySelectorAll<HTMLTextAreaElement>("textarea[name=text]")]; }
  private say(text: string, warn = false) {
    const s = this.querySelector<HTMLElement>("[data-state]");
    if (s && s.textContent !== text) { s.textContent = text; s.classList.toggle("warn", warn); }
  }
  private grow(t: HTMLTextAreaElement) { t.style.height = "auto"; t.style.height = `${t.scrollHeight + 2}px`; }

  private fields(seq: number): URLSearchParams {
    const d = new URLSearchParams();
    for (const [k, v] of new FormData(this.form)) if (typeof v === "string") d.append(k, v);
    d.delete("once"); // the counter of the window says what is a repeat
    d.set("writer", writer);
    d.set("pen", String(this.pen));
    d.set("seq", String(seq));
    return d;
  }

  private async post(what: string, body: URLSearchParams): Promise<HTMLElement | null> {
    const r = await fetch(`${this.dataset.url}/${what}`, { method: "POST", body, headers: { "HX-Request": "true" } });
    if (r.status === 409 || r.status === 404) { location.reload(); return null; }
    if (!r.ok) throw new Error(String(r.status));
    return new DOMParser().parseFromString(await r.text(), "text/html").body.firstElementChild as HTMLElement | null;
  }

  // ask opens the draft or takes it over, and shows what the server says about the pen.
  private async ask(what: "open" | "take-over") {
    const body = new URLSearchParams({ patient: this.dataset.patient!, writer });
    try {
      const a = await this.post(what, body);
      if (!a?.dataset.mine) return;
      const had = this.mine, pen = Number(a.dataset.pen);
      const same = had && this.pen === pen;
      this.mine = a.dataset.mine === "yes";
      this.pen = pen;
      this.seq = Math.max(this.seq, Number(a.dataset.seq));
      const texts = [...a.querySelectorAll<HTMLTextAreaElement>(":scope > textarea")], areas = this.areas();
      if (!this.dirty && !same) texts.forEach((t, i) => { const to = areas[i]; if (to && to.value !== t.value) { to.value = t.value; this.grow(to); } });
      this.state(a);
    } catch { this.say(this.dataset.offline!, true); }
  }

  private state(a: HTMLElement) {
    const said = a.querySelector("[data-banner]"), here = this.querySelector("[data-banner]");
    if (said && here && said.innerHTML !== here.innerHTML) {
      here.innerHTML = said.innerHTML;
      here.querySelectorAll<HTMLInputElement>("[data-writer]").forEach((i) => { i.value = writer; });
    }
    this.areas().forEach((t) => { t.readOnly = !this.mine; });
    const b = this.querySelector<HTMLButtonElement>("[data-dosign]");
    if (b) b.disabled = !this.mine;
    if (this.mine && a.dataset.said && !this.dirty) this.say(a.dataset.said);
    this.showBlanks();
  }

  private typed() {
    this.dirty = true;
    this.say(this.dataset.saving!);
    const t = document.activeElement;
    if (t instanceof HTMLTextAreaElement) this.grow(t);
    this.showBlanks();
    if (!this.since) this.since = performance.now();
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => void this.save(), Math.max(0, Math.min(700, 1600 - (performance.now() - this.since))));
  }

  private async save(): Promise<boolean> {
    if (this.sending || !this.dirty) return !this.dirty;
    this.sending = true;
    this.dirty = false;
    this.since = 0;
    clearTimeout(this.timer);
    const seq = ++this.seq;
    try {
      const a = await this.post("save", this.fields(seq));
      this.wait = 1000;
      if (a) {
        this.seq = Math.max(this.seq, Number(a.dataset.seq));
        if (!this.dirty) this.say(a.dataset.said ?? "");
        if (a.dataset.mine !== "yes" || Number(a.dataset.others) > 0) { this.mine = a.dataset.mine === "yes"; void this.ask("open"); }
      }
      return !this.dirty;
    } catch {
      this.dirty = true;
      this.say(this.dataset.offline!, true);
      this.timer = window.setTimeout(() => void this.save(), this.wait);
      this.wait = Math.min(this.wait * 2, 15_000);
      return false;
    } finally {
      this.sending = false;
      if (this.dirty && this.since) this.timer = window.setTimeout(() => void this.save(), 300);
    }
  }

  // beacon sends the last words of a page that goes away, even while a request is under way.
  private beacon() {
    if (!this.dirty && !this.sending) return;
    if (navigator.sendBeacon(`${this.dataset.url}/save`, this.fields(++this.seq))) this.dirty = false;
  }

  private async sign() {
    if (!this.mine) return;
    for (let i = 0; i < 40 && (this.dirty || this.sending); i++) { await this.save(); await new Promise((r) => setTimeout(r, 60)); }
    if (this.dirty) return;
    this.set("[data-penfield]", this.pen);
    this.set("[data-seqfield]", this.seq + 1);
    this.form.requestSubmit();
  }
  private set(sel: string, v: number) { const i = this.querySelector<HTMLInputElement>(sel); if (i) i.value = String(v); }

  private submitted(e: Event) {
    const f = e.target as HTMLFormElement;
    if (f.matches("[data-take]")) { e.preventDefault(); void this.ask("take-over").then(() => this.areas()[0]?.focus()); }
    if (f.matches("[data-aside]")) {
      e.preventDefault();
      const body = new URLSearchParams();
      for (const [k, v] of new FormData(f)) if (typeof v === "string") body.append(k, v);
      void fetch(f.action, { method: "POST", body, headers: { "HX-Request": "true" } }).then(() => this.ask("open"));
    }
  }

  // showBlanks names what is still open; a click goes there and selects it.
  private showBlanks() {
    const list = this.querySelector<HTMLElement>("[data-blanks]");
    if (!list) return;
    list.replaceChildren();
    this.areas().forEach((t) => {
      for (const m of t.value.matchAll(blank)) {
        const b = document.createElement("button");
        b.type = "button";
        b.className = "chip warn";
        b.textContent = m[0].replace(/[[\]_*]/g, "").trim() || "…";
        b.addEventListener("click", () => { t.focus(); t.setSelectionRange(m.index, m.index + m[0].length); });
        list.append(b);
      }
    });
    list.hidden = !list.childElementCount;
    if (!list.hidden) list.prepend(this.dataset.blanks ?? "");
  }
}
customElements.define("note-editor", NoteEditor);
export {};
