// Enhancements: every page works without this script.
"use strict";
document.documentElement.classList.add("js");

// On a phone the menu is closed at first.
const menu = document.querySelector(".menu");
if (menu && matchMedia("(max-width: 800px)").matches) menu.open = false;

// The page that shows the token: reloading it shows the instance.
const created = document.querySelector("[data-address]");
if (created) history.replaceState(null, "", created.dataset.address);

// Parts of a page that refresh themselves until they are done.
for (const part of document.querySelectorAll("[data-live]")) refreshLater(part.id);

function refreshLater(id) {
  const part = document.getElementById(id);
  if (!part || !part.dataset.live) return;
  setTimeout(async () => {
    if (!document.hidden) {
      try {
        const address = new URL(location.href);
        address.searchParams.set("live", address.searchParams.get("live") || "1");
        const answer = await fetch(address, { headers: { Accept: "text/html" } });
        if (answer.redirected || !answer.ok) return location.reload();
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        const fresh = page.getElementById(id);
        if (fresh && !part.contains(document.activeElement)) part.replaceWith(fresh);
      } catch {
        // The server is unavailable; the next refresh tries again.
      }
    }
    refreshLater(id);
  }, Number(part.dataset.live));
}

const form = document.getElementById("store");
if (form) prepare(form);

// A second click must not send a form twice, because a store's answer may take seconds.
for (const one of document.querySelectorAll("[data-once]")) {
  one.addEventListener("submit", (event) => {
    if (one.dataset.sent) event.preventDefault();
    one.dataset.sent = "1";
    // If loading was stopped, the form can be sent again.
    setTimeout(() => { delete one.dataset.sent; }, 30000);
  });
  addEventListener("pageshow", () => { delete one.dataset.sent; });
}

function prepare(form) {
  let waiting = 0;
  let asked = 0;
  const refresh = () => {
    clearTimeout(waiting);
    waiting = setTimeout(preview, 150);
  };
  form.addEventListener("input", refresh);
  form.addEventListener("change", refresh);

  async function preview() {
    const mine = ++asked;
    let result;
    try {
      const answer = await fetch(form.dataset.preview, { method: "POST", body: new FormData(form) });
      if (!answer.ok) return;
      result = await answer.json();
    } catch {
      return;
    }
    if (mine !== asked) return;
    if (result.command) document.getElementById("curl").textContent = result.command;
    for (const [id, text] of Object.entries(result.examples)) {
      const output = form.querySelector(`[data-example="${id}"]`);
      if (output) output.textContent = text;
    }
    showProblem(result.problem);
  }

  function showProblem(problem) {
    const place = document.getElementById("json-problem");
    if (!place) return;
    const text = document.getElementById("poller_json");
    text.classList.toggle("is-invalid", Boolean(problem));
    text.setAttribute("aria-invalid", problem ? "true" : "false");
    place.replaceChildren();
    if (!problem) return;
    const message = document.createElement("p");
    message.className = "field-error";
    const column = problem.column ? `, column ${problem.column}` : "";
    message.textContent = (problem.line ? `Line ${problem.line}${column}: ` : "") + problem.message;
    place.append(message);
    if (!problem.excerpt.length) return;
    const excerpt = document.createElement("pre");
    excerpt.className = "excerpt";
    excerpt.tabIndex = 0;
    for (const [line, words, wrong] of problem.excerpt) {
      const row = document.createElement("span");
      if (wrong) row.className = "wrong";
      const number = document.createElement("b");
      number.textContent = line;
      row.append(number, ` ${words}`);
      excerpt.append(row);
    }
    place.append(excerpt);
  }

  // Keep the slider and the number equal.
  for (const slider of form.querySelectorAll("[data-number]")) {
    const number = document.getElementById(slider.dataset.number);
    slider.addEventListener("input", () => { number.value = slider.value; });
    number.addEventListener("input", () => { slider.value = number.value; });
  }

  // Show or hide secrets in the cURL command without leaving the page.
  const button = document.getElementById("reveal-button");
  button.addEventListener("click", (event) => {
    event.preventDefault();
    const field = document.getElementById("reveal");
    field.value = field.value === "1" ? "0" : "1";
    const shown = field.value === "1";
    button.setAttribute("aria-pressed", String(shown));
    button.lastChild.textContent = shown ? "Hide secrets" : "Show secrets";
    preview();
  });
  const copy = form.querySelector("[data-copy]");
  if (navigator.clipboard) {
    copy.hidden = false;
    copy.addEventListener("click", () =>
      navigator.clipboard.writeText(document.getElementById(copy.dataset.copy).textContent));
  }

  // The side sheets of the resources.
  for (const pen of form.querySelectorAll(".pen")) prepareSheet(pen, refresh);
}

function prepareSheet(pen, refresh) {
  const sheet = pen.querySelector("dialog");
  const fields = [...sheet.querySelectorAll("input:not([type=hidden])")];
  const row = pen.closest(".resource");
  let before = [];
  const open = () => {
    pen.open = true;
    sheet.close();
    before = fields.map((field) => (field.type === "checkbox" ? field.checked : field.value));
    sheet.showModal();
  };
  const isNew = pen.open;
  sheet.close();
  pen.open = false;
  pen.querySelector("summary").addEventListener("click", (event) => {
    event.preventDefault();
    open();
  });
  sheet.querySelector("[data-save]").addEventListener("click", () => sheet.close("save"));
  sheet.querySelector("[data-cancel]").addEventListener("click", () => sheet.close("cancel"));
  // Enter saves the sheet and does not submit the form.
  sheet.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.target.matches("button, summary")) return;
    event.preventDefault();
    sheet.close("save");
  });
  sheet.addEventListener("close", () => {
    if (!pen.open) return;
    if (sheet.returnValue !== "save") {
      fields.forEach((field, index) => {
        if (field.type === "checkbox") field.checked = before[index];
        else field.value = before[index];
      });
    }
    sheet.returnValue = "";
    pen.open = false;
    const [name, url] = fields;
    row.querySelector("[data-name]").textContent = name.value || "new resource";
    row.querySelector("[data-url]").textContent = url.value;
    pen.querySelector("summary").focus();
    refresh();
  });
  if (isNew) open();
}
