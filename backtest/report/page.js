// Draws the charts in the page's own colours, again when the scheme changes, and sorts tables.
(function () {
  "use strict";
  Plotly.register({
    moduleType: "locale", name: "en-IN", dictionary: {},
    format: { decimal: ".", thousands: ",", grouping: [3, 2, 2, 2, 2, 2], currency: ["₹", ""] },
  });
  const charts = JSON.parse(document.getElementById("charts").textContent);

  function coloured(value, style) {
    if (typeof value === "string") {
      return value.startsWith("--") ? style.getPropertyValue(value).trim() : value;
    }
    if (Array.isArray(value)) return value.map((item) => coloured(item, style));
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, coloured(item, style)]));
    }
    return value;
  }

  function draw() {
    const style = getComputedStyle(document.documentElement);
    for (const [id, chart] of Object.entries(charts)) {
      const { data, layout } = coloured(chart, style);
      Plotly.react(id, data, layout, {
        responsive: true, displayModeBar: false, locale: "en-IN",
      });
    }
  }

  function sortBy(header) {
    const table = header.closest("table");
    const place = [...header.parentNode.children].indexOf(header);
    const falling = header.getAttribute("aria-sort") === "ascending";
    const numeric = header.classList.contains("number");
    const key = (row) => row.children[place].dataset.sort ?? row.children[place].textContent;
    const rows = [...table.tBodies[0].rows].sort((one, other) => {
      const [left, right] = [key(one), key(other)];
      if (numeric && (left === "" || right === "")) return (left === "") - (right === "");
      const order = numeric ? Number(left) - Number(right) : left.localeCompare(right);
      return falling ? -order : order;
    });
    for (const other of header.parentNode.children) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", falling ? "descending" : "ascending");
    table.tBodies[0].append(...rows);
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("th button");
    if (button) sortBy(button.parentNode);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  draw();
})();
