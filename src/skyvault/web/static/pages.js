// Small comforts; every page works without them.
"use strict";

// a button beside each snippet that copies it
for (const figure of document.querySelectorAll("figure.snippet")) {
  const code = figure.querySelector("code");
  if (!code || !navigator.clipboard) continue;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
  figure.querySelector("figcaption").append(button);
}

// a field that narrows a list while one types
for (const field of document.querySelectorAll("input[data-filter]")) {
  const entries = [...document.querySelectorAll(field.dataset.filter)];
  const texts = entries.map((entry) => entry.textContent.toLowerCase());
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    entries.forEach((entry, i) => { entry.hidden = !words.every((word) => texts[i].includes(word)); });
  });
}

// examples fill the form without a journey to the server
const text = document.querySelector("textarea[name=QUERY]");
if (text) {
  for (const link of document.querySelectorAll("a[data-query]")) {
    link.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      text.value = link.dataset.query;
      const upload = document.querySelector("details.upload");
      if (upload && /tap_upload/i.test(text.value)) upload.open = true;
      text.focus();
      text.scrollIntoView({ block: "center" });
    });
  }
  // Ctrl+Enter runs the query
  text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      text.form.requestSubmit(text.form.querySelector("button[value=run]"));
    }
  });
}
