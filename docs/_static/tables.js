// Tables that a reader can sort and search.

// A click on a column's name sorts by it, by value where both are numbers; a second one turns round.
for (const table of document.querySelectorAll("table.sortable")) {
  const names = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  names.forEach((name, column) => name.firstChild.addEventListener("click", () => {
    const falling = name.getAttribute("aria-sort") === "ascending";
    names.forEach((other) => other.removeAttribute("aria-sort"));
    name.setAttribute("aria-sort", falling ? "descending" : "ascending");
    const text = (row) => row.cells[column].textContent.replace("−", "-");
    const order = (a, b) => a - b || a.localeCompare(b, "en", {numeric: true});
    const rows = [...body.rows].sort((a, b) => order(text(a), text(b)));
    body.append(...(falling ? rows.reverse() : rows));
  }));
}

// The field before a table keeps the rows with each of its words: an element's symbol is meant as
// an element of the row's compound, -X as its absence, anything else as text of the row.
for (const field of document.querySelectorAll("input.search-rows")) {
  const rows = [...document.querySelectorAll(".searched tbody tr")];
  const count = document.querySelector(".rows-shown");
  const symbols = new Set(rows.flatMap((row) => row.dataset.elements.split(" ")));
  const has = (row, word) => symbols.has(word)
    ? row.dataset.elements.split(" ").includes(word)
    : row.textContent.toLowerCase().includes(word.toLowerCase());
  const search = () => {
    const words = field.value.split(/[\s,]+/).filter(Boolean);
    for (const row of rows) {
      row.hidden = !words.every((word) =>
        word.startsWith("-") ? !word[1] || !has(row, word.slice(1)) : has(row, word));
    }
    count.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length}`;
  };
  field.addEventListener("input", search);
  search();
}
