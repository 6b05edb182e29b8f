"use strict";
(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const { figures, themes } = read("data");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const views = new Map();
  let failed = 0;

  async function draw(box) {
    const key = box.dataset.figure, figure = figures[key];
    try {
      views.get(key)?.finalize();
      const shown = await vegaEmbed(box, structuredClone(figure.spec), {
        actions: false, renderer: figure.renderer, config: themes[dark.matches ? "dark" : "light"], tooltip: { theme: "custom" },
      });
      views.set(key, shown);
    } catch (error) {
      failed += 1;
      console.error(key, error);
    }
  }
  const visible = () => [...document.querySelectorAll(".plot")].filter((box) => box.offsetParent !== null);
  async function drawAll(again = false) {
    for (const box of visible()) if (again || !views.has(box.dataset.figure)) await draw(box);
    document.documentElement.dataset.drawn = String(views.size);
    document.documentElement.dataset.failed = String(failed);
  }
  let width = innerWidth, timer = 0;
  addEventListener("resize", () => {
    clearTimeout(timer);
    timer = setTimeout(() => { if (innerWidth !== width) { width = innerWidth; drawAll(true); } }, 200);
  });
  dark.addEventListener("change", () => { views.forEach((v) => v.finalize()); views.clear(); drawAll(true); });

  // Data of figures: what is drawn, without the fields that only serve drawing.
  function csv(rows) {
    const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))].filter((c) => !c.startsWith("_"));
    const cell = (value) => {
      let text = value === null || value === undefined ? "" : String(value);
      // A spreadsheet must not run a layer's name as a formula.
      if (typeof value === "string" && /^[=+\-@\t\r]/.test(text)) text = "'" + text;
      return /[",\n\r]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
    };
    return [columns, ...rows.map((row) => columns.map((c) => row[c]))].map((line) => line.map(cell).join(",")).join("\n") + "\n";
  }
  function rowsOf(key) {
    const spec = figures[key].spec, drops = spec.params?.find((p) => p.name === "drops")?.value;
    if (!drops) return spec.data.values;
    return Object.entries(drops).flatMap(([layer, d]) => d.loss.map((loss, i) => ({ layer, row: Math.floor(i / d.columns), column: i % d.columns, loss })));
  }
  function save(name, text, type) {
    const link = document.createElement("a");
    link.href = type === null ? text : URL.createObjectURL(new Blob([text], { type }));
    link.download = name;
    link.click();
    if (type !== null) setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }
  async function copy(text, button) {
    let done = false;
    try { await navigator.clipboard.writeText(text); done = true; } catch {
      const area = document.createElement("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      done = document.execCommand("copy");
      area.remove();
    }
    const label = button.textContent;
    button.textContent = done ? "Copied" : "Not possible here";
    setTimeout(() => { button.textContent = label; }, 1500);
  }
  function tableRows(table) {
    const heads = [...table.tHead.rows[0].cells].map((c) => c.textContent.trim());
    return [...table.tBodies[0].rows].filter((r) => !r.hidden).map((r) => Object.fromEntries([...r.cells].map((c, i) => [heads[i], c.classList.contains("n") && c.dataset.sort !== undefined ? c.dataset.sort : c.textContent.trim()])));
  }
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const { copy: toCopy, csv: toCsv, svg: toSvg, json, tableCsv } = button.dataset;
    if (toCopy) copy(csv(rowsOf(toCopy)), button);
    if (toCsv) save(`${figures[toCsv].name}.csv`, csv(rowsOf(toCsv)), "text/csv");
    if (toSvg) {
      const kind = figures[toSvg].renderer === "svg" ? "svg" : "png";
      save(`${figures[toSvg].name}.${kind}`, await views.get(toSvg).view.toImageURL(kind, 2), null);
    }
    if (json) save("evaluation.json", JSON.stringify(read("evaluations")[Number(json)], null, 1), "application/json");
    if (tableCsv) save(`${tableCsv}.csv`, csv(tableRows(document.getElementById(tableCsv))), "text/csv");
  });

  // Tables that sort: a button in every heading, so the keyboard works too.
  for (const table of document.querySelectorAll("table.sortable")) {
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") === "descending" || (!head.hasAttribute("aria-sort") && !head.classList.contains("n"));
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        const value = (row) => { const c = row.cells[column]; const v = c?.dataset.sort ?? c?.textContent.trim() ?? ""; return v !== "" && !Number.isNaN(Number(v)) ? Number(v) : v; };
        const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true }));
        const rows = [...table.tBodies[0].rows].sort((a, b) => (up ? 1 : -1) * compare(value(a), value(b)));
        table.tBodies[0].append(...rows);
      });
    });
  }

  for (const form of document.querySelectorAll("[data-filters]")) {
    const table = document.getElementById(form.dataset.filters), rows = [...table.tBodies[0].rows], out = form.querySelector("output");
    const whole = Number(table.dataset.whole ?? 0);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", () => {
      let shown = 0, sum = 0;
      for (const row of rows) {
        row.hidden = [...form.querySelectorAll("[data-filter]")].some(({ value, dataset }) =>
          value !== "" && (dataset.filter === "text" ? !row.textContent.toLowerCase().includes(value.toLowerCase()) : row.dataset[dataset.filter] !== value));
        if (!row.hidden) { shown += 1; sum += Number(row.dataset.total ?? 0); }
      }
      out.textContent = `${shown} of ${rows.length} rows` + (whole ? `, ${(100 * sum / whole).toFixed(1)} % of the energy` : "");
    });
  }

  const tabs = [...document.querySelectorAll("[role=tab]")];
  function choose(tab) {
    for (const other of tabs) {
      const chosen = other === tab;
      other.setAttribute("aria-selected", String(chosen));
      other.tabIndex = chosen ? 0 : -1;
      document.getElementById(other.getAttribute("aria-controls")).hidden = !chosen;
    }
    // A figure that is not shown has no width to keep to: it is drawn anew when it is shown again.
    for (const box of document.querySelectorAll(".plot")) {
      const key = box.dataset.figure;
      if (box.offsetParent === null && views.has(key)) { views.get(key).finalize(); views.delete(key); box.replaceChildren(); }
    }
    drawAll();
  }
  tabs.forEach((tab, i) => {
    tab.addEventListener("click", () => choose(tab));
    tab.addEventListener("keydown", ({ key }) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
      if (!step) return;
      const next = tabs[(i + step + tabs.length) % tabs.length];
      next.focus();
      choose(next);
    });
  });

  // The section in view is marked in the contents.
  const links = new Map([...document.querySelectorAll(".contents a")].map((a) => [a.getAttribute("href").slice(1), a]));
  const watch = new IntersectionObserver((entries) => entries.forEach((e) => links.get(e.target.id)?.classList.toggle("here", e.isIntersecting)), { rootMargin: "-20% 0px -75% 0px" });
  for (const id of links.keys()) { const section = document.getElementById(id); if (section) watch.observe(section); }

  drawAll();
})();
