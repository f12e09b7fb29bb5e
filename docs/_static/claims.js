// Sorts the claims by the column whose name is clicked; a second click turns the order round.
for (const table of document.querySelectorAll("table.claims-table")) {
  const names = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  names.forEach((name, column) => name.firstChild.addEventListener("click", () => {
    const falling = name.getAttribute("aria-sort") === "ascending";
    names.forEach((other) => other.removeAttribute("aria-sort"));
    name.setAttribute("aria-sort", falling ? "descending" : "ascending");
    const text = (row) => row.cells[column].textContent;
    const rows = [...body.rows].sort((a, b) => text(a).localeCompare(text(b), "en", {numeric: true}));
    body.append(...(falling ? rows.reverse() : rows));
  }));
}
