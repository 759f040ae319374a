"use strict";
for (const table of document.querySelectorAll("table.classes")) {
  const body = table.tBodies[0], headings = [...table.tHead.rows[0].cells];
  const value = (row, column) => row.cells[column].textContent.trim();
  headings.forEach((heading, column) => heading.addEventListener("click", () => {
    const rising = heading.getAttribute("aria-sort") === "descending";
    headings.forEach(other => other.removeAttribute("aria-sort"));
    heading.setAttribute("aria-sort", rising ? "ascending" : "descending");
    const source = heading.classList.contains("wide") ? column + 1 : column;
    const order = (a, b) => {
      const [x, y] = [value(a, source), value(b, source)], [m, n] = [parseFloat(x), parseFloat(y)];
      if (source === 0) return y.localeCompare(x);
      return (isNaN(n) ? -1 : n) - (isNaN(m) ? -1 : m);
    };
    body.append(...[...body.rows].sort((a, b) => rising ? order(b, a) : order(a, b)));
  }));
}
const dialog = document.querySelector("dialog");
let row = [], position = 0;
const show = () => {
  const image = row[position].querySelector("img");
  dialog.querySelector("img").src = image.src;
  dialog.querySelector("img").alt = dialog.querySelector("figcaption").textContent = image.alt;
};
for (const button of document.querySelectorAll(".views button")) {
  button.addEventListener("click", () => {
    row = [...button.closest(".views").querySelectorAll("button")];
    position = row.indexOf(button);
    show();
    dialog.showModal();
  });
}
dialog.addEventListener("click", () => dialog.close());
dialog.addEventListener("keydown", event => {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step) return;
  position = (position + step + row.length) % row.length;
  show();
});
