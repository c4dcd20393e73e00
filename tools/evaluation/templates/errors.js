(() => {
  const filters = document.getElementById("filters");
  const rows = [...document.querySelectorAll("#all-errors tbody tr")];
  const value = (id) => document.getElementById(id)?.value ?? "";
  const show = () => {
    const kind = value("by-kind"), type = value("by-type"), dataset = value("by-dataset");
    const words = value("by-words").toLowerCase();
    let shown = 0;
    for (const row of rows) {
      const visible = (!kind || row.dataset.kind === kind)
        && (!type || JSON.parse(row.dataset.types).includes(type))
        && (!dataset || row.dataset.dataset === dataset)
        && (!words || row.textContent.toLowerCase().includes(words));
      row.hidden = !visible;
      shown += visible;
    }
    document.getElementById("shown").textContent = `${shown} of ${rows.length} errors`;
  };
  filters.hidden = false;
  filters.addEventListener("input", show);
  filters.addEventListener("submit", (event) => event.preventDefault());
  show();
})();
