"use strict";
// Puts the text beside a button on the clipboard; where the browser refuses, selects it instead.
for (const button of document.querySelectorAll("button[data-copy]")) {
  button.hidden = false;
  const label = button.textContent;
  button.addEventListener("click", async () => {
    const source = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(source.textContent.trim());
      button.textContent = button.dataset.done;
      setTimeout(() => { button.textContent = label; }, 1600);
    } catch {
      getSelection().selectAllChildren(source);
    }
  });
}
