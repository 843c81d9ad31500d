// Everything works without this: it copies texts, and refreshes what says that it wants to be.
"use strict";

for (const button of document.querySelectorAll("[data-copy]")) {
  const text = button.parentElement.querySelector("code").textContent;
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
}

// <section id="now" data-refresh="5">: asked for again every five seconds while somebody looks. The header says that
// nobody has asked for it, so it does not keep the session alive.
for (const part of document.querySelectorAll("[data-refresh][id]")) {
  const timer = setInterval(async () => {
    if (document.hidden || part.contains(document.activeElement)) return;
    try {
      const answer = await fetch(location.href, { headers: { "X-Refresh": part.id }, redirect: "error" });
      if (answer.status === 401) location.reload();
      if (!answer.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById(part.id);
      if (!fresh) return;
      part.replaceChildren(...fresh.childNodes);
      if (!fresh.dataset.refresh) clearInterval(timer);
    } catch {
      // The box is away for a moment: what is shown stays.
    }
  }, Number(part.dataset.refresh) * 1000);
}
