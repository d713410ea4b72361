"use strict";
(() => {
  const everyMs = 5000;
  const filterMs = 250;
  const pause = document.getElementById("pause");
  const trouble = document.getElementById("trouble");
  const form = document.getElementById("filter");
  let paused = false, timer = 0, latest = 0;

  const selecting = () => {
    const selection = getSelection();
    return selection !== null && !selection.isCollapsed;
  };

  // Replaces the parts that differ; what the visitor holds (focus, scroll, input) stays where it is.
  const show = (text) => {
    const page = new DOMParser().parseFromString(text, "text/html");
    const held = document.activeElement ? document.activeElement.id : "";
    for (const part of document.querySelectorAll("[data-live]")) {
      const fresh = page.getElementById(part.id);
      if (fresh !== null && fresh.innerHTML !== part.innerHTML) {
        part.replaceChildren(...fresh.childNodes);
      }
    }
    for (const name of ["sort", "order"]) {
      form.elements[name].value = page.getElementById("filter").elements[name].value;
    }
    const again = held ? document.getElementById(held) : null;
    if (again !== null && again !== document.activeElement) {
      again.focus({ preventScroll: true });
    }
  };

  const load = async (url) => {
    const turn = ++latest;
    clearTimeout(timer);
    try {
      const answer = await fetch(url, { cache: "no-store" });
      if (!answer.ok) throw new Error("status " + answer.status);
      const text = await answer.text();
      if (turn !== latest) return;
      show(text);
      trouble.textContent = "";
    } catch (error) {
      if (turn !== latest) return;
      trouble.textContent = "The server does not answer (" + error.message + "); trying on.";
    }
    plan();
  };

  const plan = () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      if (paused || document.hidden || selecting()) plan();
      else load(location.href);
    }, everyMs);
  };

  const go = (url) => {
    history.pushState(null, "", url);
    load(url);
  };

  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-go]");
    if (link === null || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    go(link.href);
  });

  const filtered = () => {
    const url = new URL(location.href);
    url.search = new URLSearchParams([...new FormData(form)].filter(([, value]) => value !== ""));
    return url.href;
  };
  let typing = 0;
  form.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => {
      history.replaceState(null, "", filtered());
      load(location.href);
    }, filterMs);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(typing);
    go(filtered());
  });

  addEventListener("popstate", () => load(location.href));
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && !paused) load(location.href);
  });
  pause.hidden = false;
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.textContent = paused ? "Go on" : "Pause";
    if (!paused) load(location.href);
  });
  plan();
})();
