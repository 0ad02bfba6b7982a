// A field that looks up codes while the person types. Free words stay possible: choosing fills in the code, typing on removes it.
class CodeSearch extends HTMLElement {
  private at = -1;
  private timer = 0;
  private asked = 0;
  private chose = false;
  connectedCallback() {
    const input = this.querySelector<HTMLInputElement>("input.in")!, list = this.querySelector<HTMLElement>("[role=listbox]")!;
    input.setAttribute("role", "combobox");
    input.setAttribute("aria-autocomplete", "list");
    input.setAttribute("aria-controls", list.id);
    input.setAttribute("aria-expanded", "false");
    input.addEventListener("input", () => {
      this.pick("", "");
      clearTimeout(this.timer);
      this.timer = window.setTimeout(() => void this.look(input.value), 120);
    });
    input.addEventListener("keydown", (e) => {
      if (list.hidden) return;
      if (e.key === "ArrowDown") { e.preventDefault(); this.mark(this.at + 1); }
      else if (e.key === "ArrowUp") { e.preventDefault(); this.mark(this.at - 1); }
      else if (e.key === "Enter" && this.at >= 0) { e.preventDefault(); this.chose = true; this.choose(this.options()[this.at]); }
      else if (e.key === "Escape") { e.preventDefault(); e.stopPropagation(); this.show(false); }
    });
    // Some input methods send the character of a key whose press was handled: it must not submit the form.
    input.addEventListener("keypress", (e) => { if (e.key === "Enter" && this.chose) e.preventDefault(); });
    input.addEventListener("keyup", () => { this.chose = false; });
    input.addEventListener("blur", () => setTimeout(() => this.show(false), 150));
    list.addEventListener("pointerdown", (e) => { const o = (e.target as HTMLElement).closest<HTMLElement>("[role=option]"); if (o) { e.preventDefault(); this.choose(o); } });
  }
  private options() { return [...this.querySelectorAll<HTMLElement>("[role=option]")]; }
  private async look(text: string) {
    const n = ++this.asked;
    if (text.trim().length < 2) { this.show(false); return; }
    const r = await fetch(this.dataset.url!, { method: "POST", headers: { "HX-Request": "true" }, body: new URLSearchParams({ kind: this.dataset.kind!, q: text }) });
    if (!r.ok || n !== this.asked) return;
    this.querySelector("[role=listbox]")!.innerHTML = await r.text();
    this.show(this.querySelector("[role=listbox]")!.childElementCount > 0);
    this.mark(this.options().length ? 0 : -1);
  }
  private show(on: boolean) {
    this.querySelector<HTMLElement>("[role=listbox]")!.hidden = !on;
    this.querySelector("input.in")!.setAttribute("aria-expanded", String(on));
    if (!on) this.at = -1;
  }
  private mark(i: number) {
    const o = this.options();
    if (!o.length) return;
    this.at = (i + o.length) % o.length;
    o.forEach((e, k) => e.setAttribute("aria-selected", String(k === this.at)));
    o[this.at].scrollIntoView({ block: "nearest" });
    this.querySelector("input.in")!.setAttribute("aria-activedescendant", o[this.at].id);
  }
  private choose(o: HTMLElement) {
    this.querySelector<HTMLInputElement>("input.in")!.value = o.dataset.display ?? "";
    this.pick(o.dataset.system ?? "", o.dataset.code ?? "");
    this.show(false);
  }
  private pick(system: string, code: string) {
    this.querySelector<HTMLInputElement>("input[name=system]")!.value = system;
    this.querySelector<HTMLInputElement>("input[name=code]")!.value = code;
    this.querySelector("[data-picked]")!.textContent = code;
  }
}
customElements.define("code-search", CodeSearch);
export {};
