// Passkeys: the server's options go to the authenticator as they are, its answer comes back as it is.
type Step = { begin: string; finish: string };
const step = (el: HTMLElement): Step => ({ begin: el.dataset.begin!, finish: el.dataset.finish! });
const bytes = (s: string) => Uint8Array.from(atob(s.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
const text = (b: ArrayBuffer | null) => b ? btoa(String.fromCharCode(...new Uint8Array(b))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "") : undefined;
const post = (url: string, body?: unknown) => fetch(url, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body ?? {}) });

async function use(el: HTMLElement) {
  const say = document.querySelector<HTMLElement>("[data-passkey-says]");
  const tell = (words: string) => { if (say) { say.hidden = false; say.textContent = words; } };
  try {
    const s = step(el);
    const begun = await post(s.begin);
    if (!begun.ok) return tell(await begun.text());
    const { ticket, options } = await begun.json();
    const pk = options.publicKey;
    pk.challenge = bytes(pk.challenge);
    let answer: unknown;
    if (el.dataset.passkey === "register") {
      pk.user.id = bytes(pk.user.id);
      for (const c of pk.excludeCredentials ?? []) c.id = bytes(c.id);
      const c = await navigator.credentials.create({ publicKey: pk }) as PublicKeyCredential;
      const r = c.response as AuthenticatorAttestationResponse;
      answer = { id: c.id, rawId: text(c.rawId), type: c.type, authenticatorAttachment: c.authenticatorAttachment, clientExtensionResults: c.getClientExtensionResults(), response: { clientDataJSON: text(r.clientDataJSON), attestationObject: text(r.attestationObject), transports: r.getTransports?.() } };
    } else {
      for (const c of pk.allowCredentials ?? []) c.id = bytes(c.id);
      const c = await navigator.credentials.get({ publicKey: pk }) as PublicKeyCredential;
      const r = c.response as AuthenticatorAssertionResponse;
      answer = { id: c.id, rawId: text(c.rawId), type: c.type, clientExtensionResults: c.getClientExtensionResults(), response: { clientDataJSON: text(r.clientDataJSON), authenticatorData: text(r.authenticatorData), signature: text(r.signature), userHandle: text(r.userHandle) } };
    }
    const done = await post(s.finish, { ticket, answer });
    if (!done.ok) return tell(await done.text());
    location.href = (await done.json()).next;
  } catch (e) {
    tell(el.dataset.failed ?? String(e));
  }
}
document.querySelectorAll<HTMLElement>("[data-passkey]").forEach((el) => {
  if (!("PublicKeyCredential" in window)) { el.hidden = true; return; }
  el.addEventListener("click", () => void use(el));
});
export {};
