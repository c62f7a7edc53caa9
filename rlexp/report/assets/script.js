"use strict";
(() => {
  const D = JSON.parse(document.getElementById("data").textContent);
  const DASHES = ["", "7 3", "2 3", "9 3 2 3"], COLORS = 8, PHASES = ["collect", "update", "rest"];
  const PHASE_NAMES = { collect: "collecting", update: "updates", rest: "the rest" };
  const NONE = "nothing to show: no visible group has it";
  const $ = (id) => document.getElementById(id);
  const at = new Map(D.methods.map((name, index) => [name, index]));
  const color = (method) => at.get(method) % COLORS;
  const dash = (method) => DASHES[Math.floor(at.get(method) / COLORS) % DASHES.length];

  // ---- what a person has chosen; kept over reloads of the same tab
  const state = { scalar: D.scalars[0] || "", axis: "steps", smooth: 0, band: true, filter: "", theme: "",
    hidden: D.methods.filter((name) => !D.first.includes(name)) };
  const KEY = "rlexp-report " + document.title;
  try { Object.assign(state, JSON.parse(sessionStorage.getItem(KEY) || "{}")); } catch { /* no storage */ }
  if (!D.scalars.includes(state.scalar)) state.scalar = D.scalars[0] || "";
  const hidden = new Set(state.hidden);
  function keep() {
    state.hidden = [...hidden];
    try { sessionStorage.setItem(KEY, JSON.stringify(state)); } catch { /* no storage */ }
  }
  const matches = (text) => state.filter.toLowerCase().split(/\s+/).every((word) => text.toLowerCase().includes(word));
  const words = (group) => group.setting + " " + group.env_id + " " + group.method;
  const visible = (group) => !hidden.has(group.method) && matches(words(group)); // in the plots; tables hold hidden groups too

  // ---- elements
  function html(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }
  function svg(tag, attributes = {}, ...children) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) if (value !== "") made.setAttribute(name, value);
    made.append(...children);
    return made;
  }
  const there = (value) => value !== null && value !== undefined;
  function short(value) {
    if (!there(value)) return "-";
    const size = Math.abs(value);
    if (size >= 1e15 || (size > 0 && size < 1e-3)) return value.toExponential(2);
    if (size >= 1000) return Math.round(value).toLocaleString("en-US");
    return String(Number(value.toPrecision(4)));
  }
  function tick(value) {
    const size = Math.abs(value);
    for (const [unit, name] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]])
      if (size >= unit) return Number((value / unit).toPrecision(4)) + name;
    if (size > 0 && size < 1e-3) return value.toExponential(1);
    return String(Number(value.toPrecision(6)));
  }
  function ticks(low, high, count) {
    const raw = (high - low) / count, power = 10 ** Math.floor(Math.log10(raw));
    const step = power * [1, 2, 2.5, 5, 10].find((factor) => factor * power >= raw * 0.999);
    const found = [];
    for (let index = Math.ceil(low / step - 1e-9); index * step <= high + step * 1e-9; index++) found.push(index * step);
    return found;
  }
  function extent(values) {
    let low = Infinity, high = -Infinity;
    for (const value of values) if (there(value)) { low = Math.min(low, value); high = Math.max(high, value); }
    if (low > high) return null;
    if (low === high) { const room = Math.abs(low) * 0.05 || 1; return [low - room, high + room]; }
    return [low, high];
  }

  // ---- files
  function save(name, blob) {
    const link = html("a", { href: URL.createObjectURL(blob), download: name });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }
  function cell(value) {
    let text = there(value) ? String(value) : "";
    if (typeof value !== "number" && /^[=+\-@\t\r]/.test(text) && !Number.isFinite(Number(text))) text = "'" + text; // no formula
    return /[",\n\r]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
  }
  const saveCsv = (name, rows) =>
    save(name + ".csv", new Blob([rows.map((row) => row.map(cell).join(",")).join("\n") + "\n"], { type: "text/csv" }));
  const PROPERTIES = ["fill", "stroke", "stroke-width", "stroke-dasharray", "opacity", "font-size", "font-family", "paint-order"];
  function alone(drawn) { // a copy that needs no style sheet
    const copy = drawn.cloneNode(true), from = drawn.querySelectorAll("*"), to = copy.querySelectorAll("*");
    from.forEach((element, index) => {
      const style = getComputedStyle(element);
      for (const name of PROPERTIES) to[index].setAttribute(name, style.getPropertyValue(name));
    });
    const [width, height] = [drawn.viewBox.baseVal.width, drawn.viewBox.baseVal.height];
    copy.setAttribute("width", width);
    copy.setAttribute("height", height);
    return { text: new XMLSerializer().serializeToString(copy), width, height };
  }
  function savePicture(figure, kind) {
    const drawn = figure.querySelector("svg.drawn");
    if (!drawn) return;
    const { text, width, height } = alone(drawn);
    const blob = new Blob([text], { type: "image/svg+xml" });
    if (kind === "svg") { save(figure.dataset.name + ".svg", blob); return; }
    const image = new Image(), canvas = html("canvas", { width: 2 * width, height: 2 * height });
    image.onload = () => {
      canvas.getContext("2d").drawImage(image, 0, 0, 2 * width, 2 * height);
      canvas.toBlob((png) => save(figure.dataset.name + ".png", png), "image/png");
    };
    image.src = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(text);
  }
  function plot(caption, name) {
    const tools = html("span", { class: "tools" });
    const figure = html("figure", { class: "plot" }, html("figcaption", {}, html("span", {}, caption), tools), html("div"));
    figure.dataset.name = name.replace(/[^\w.-]+/g, "-");
    for (const kind of ["svg", "png", "csv"]) {
      const button = html("button", { type: "button", "aria-label": kind.toUpperCase() + " of " + caption }, kind.toUpperCase());
      button.addEventListener("click", () => (kind === "csv" ? saveCsv(figure.dataset.name, figure.rows || []) : savePicture(figure, kind)));
      tools.append(button);
    }
    return figure;
  }
  function fill(figure, content, rows) {
    figure.rows = rows;
    figure.lastChild.replaceChildren(content);
  }
  const nothing = (figure) => fill(figure, html("p", {}, NONE), []);

  // ---- lines with bands
  function frame(width, height, title) {
    const made = svg("svg", { class: "drawn", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": title });
    made.append(svg("rect", { class: "back", width, height }));
    return made;
  }
  function pieces(xs, ys) { // runs of points without a gap
    const found = [];
    let open = null;
    ys.forEach((y, index) => {
      if (!there(y) || !there(xs[index])) { open = null; return; }
      if (!open) found.push((open = []));
      open.push(index);
    });
    return found;
  }
  const path = (points) => "M" + points.map(([x, y]) => x.toFixed(1) + " " + y.toFixed(1)).join("L");
  function drawSeries(canvas, one, x, y, band) {
    const index = color(one.method);
    for (const piece of pieces(one.x, one.y)) {
      const points = piece.map((i) => [x(one.x[i]), y(one.y[i])]);
      const ends = band && one.low ? piece.filter((i) => there(one.low[i])) : [];
      if (ends.length > 1) {
        const up = ends.map((i) => [x(one.x[i]), y(one.high[i])]), down = ends.map((i) => [x(one.x[i]), y(one.low[i])]);
        canvas.append(svg("path", { class: "area f" + index, d: path([...up, ...down.reverse()]) + "Z" }));
      }
      for (const i of ends.length === 1 ? ends : [])
        canvas.append(svg("path", { class: "line s" + index, d: path([[x(one.x[i]), y(one.low[i])], [x(one.x[i]), y(one.high[i])]]) }));
      if (points.length > 1)
        canvas.append(svg("path", { class: "line s" + index, d: path(points), "stroke-dasharray": dash(one.method) }));
      if (points.length < 3)
        for (const [cx, cy] of points) canvas.append(svg("circle", { class: "f" + index, cx, cy, r: 3.5 }));
    }
  }
  function drawAxes(canvas, box, xRange, yRange, x, y, names, xTick = tick) {
    const axis = svg("g", { class: "axis" });
    for (const value of ticks(...yRange, 5)) axis.append(
      svg("line", { x1: box.left, x2: box.right, y1: y(value), y2: y(value) }),
      svg("text", { x: box.left - 6, y: y(value) + 4, "text-anchor": "end" }, tick(value)));
    for (const value of ticks(...xRange, Math.max(2, Math.min(8, (box.right - box.left) / 56)))) axis.append(
      svg("line", { x1: x(value), x2: x(value), y1: box.top, y2: box.bottom }),
      svg("text", { x: x(value), y: box.bottom + 15, "text-anchor": "middle" }, xTick(value)));
    canvas.append(axis, svg("text", { class: "label", x: (box.left + box.right) / 2, y: box.bottom + 31, "text-anchor": "middle" }, names[0]));
    if (names[1]) canvas.append(svg("text", { class: "label", x: box.left, y: 11 }, names[1]));
  }
  function linePlot(figure, series, names, band, yFixed) {
    const xRange = extent(series.flatMap((one) => one.x.filter((value, i) => there(one.y[i]))));
    const yRange = yFixed || extent(series.flatMap((one) => (band && one.low ? [...one.y, ...one.low, ...one.high] : one.y)));
    if (!xRange || !yRange) { nothing(figure); return; }
    const width = Math.max(260, figure.clientWidth - 18), height = Math.round(Math.min(330, Math.max(230, width * 0.55)));
    const box = { left: 52, right: width - 16, top: 20, bottom: height - 38 }, room = yFixed ? 0 : (yRange[1] - yRange[0]) * 0.04;
    const [low, high] = [yRange[0] - room, yRange[1] + room];
    const x = (value) => box.left + ((value - xRange[0]) / (xRange[1] - xRange[0])) * (box.right - box.left);
    const y = (value) => box.bottom - ((value - low) / (high - low)) * (box.bottom - box.top);
    const canvas = frame(width, height, names[1] + " over " + names[0] + ": " + series.map((one) => one.label).join("; "));
    drawAxes(canvas, box, xRange, [low, high], x, y, names);
    for (const one of series) drawSeries(canvas, one, x, y, band);
    hover(figure, canvas, series, { box, x, xRange, width, name: names[0] });
    const rows = [["group", names[0], "value", "low", "high", "runs"]];
    for (const one of series) one.x.forEach((value, i) => {
      if (there(one.y[i])) rows.push([one.label, value, one.y[i], one.low && one.low[i], one.high && one.high[i], one.n && one.n(i)]);
    });
    fill(figure, canvas, rows);
  }

  // ---- values at a step, by pointer or arrow keys
  function nearest(one, value) {
    let best = -1, least = Infinity;
    one.x.forEach((x, i) => {
      if (!there(x) || !there(one.y[i])) return;
      const distance = Math.abs(x - value);
      if (distance < least) { least = distance; best = i; }
    });
    return best;
  }
  function hover(figure, canvas, series, { box, x, xRange, width, name }) {
    const line = svg("line", { class: "cursor", y1: box.top, y2: box.bottom, visibility: "hidden" });
    const tip = figure.querySelector(".tip") || figure.insertBefore(html("div", { class: "tip", role: "status" }), figure.lastChild);
    const span = xRange[1] - xRange[0];
    let shown = null;
    tip.hidden = true;
    canvas.append(line);
    canvas.setAttribute("tabindex", "0");
    function show(value) {
      shown = Math.min(xRange[1], Math.max(xRange[0], value));
      line.setAttribute("x1", x(shown));
      line.setAttribute("x2", x(shown));
      line.setAttribute("visibility", "visible");
      const found = series.map((one) => ({ one, i: nearest(one, shown) }))
        .filter(({ one, i }) => i >= 0 && Math.abs(one.x[i] - shown) <= span / 20).sort((a, b) => b.one.y[b.i] - a.one.y[a.i]);
      tip.replaceChildren(html("strong", {}, name + " " + short(shown)), ...found.slice(0, 14).map(({ one, i }) => {
        const ends = one.low && there(one.low[i]) ? ` (${short(one.low[i])} to ${short(one.high[i])})` : "";
        const runs = one.n ? `, ${one.n(i)} ${one.n(i) === 1 ? "run" : "runs"}` : "";
        return html("div", {}, html("span", { class: "swatch b" + color(one.method) }), `${one.label}: ${short(one.y[i])}${ends}${runs}`);
      }));
      if (found.length > 14) tip.append(html("div", {}, `and ${found.length - 14} more`));
      tip.hidden = false;
      const place = canvas.getBoundingClientRect(), outer = figure.getBoundingClientRect();
      const scale = place.width / width, right = x(shown) > (box.left + box.right) / 2;
      const left = place.left - outer.left + x(shown) * scale + (right ? -10 - tip.offsetWidth : 10);
      const tall = tip.offsetHeight > place.height * 0.5; // it would cover the curves
      tip.style.left = Math.max(2, Math.min(outer.width - tip.offsetWidth - 2, left)) + "px";
      tip.style.top = place.top - outer.top + (tall ? place.height : 24) + "px";
    }
    function hide() { tip.hidden = true; line.setAttribute("visibility", "hidden"); shown = null; }
    canvas.addEventListener("pointermove", (event) => {
      const place = canvas.getBoundingClientRect(), pixel = ((event.clientX - place.left) / place.width) * width;
      show(xRange[0] + ((pixel - box.left) / (box.right - box.left)) * span);
    });
    canvas.addEventListener("pointerleave", hide);
    canvas.addEventListener("blur", hide);
    canvas.addEventListener("keydown", (event) => {
      const moves = { ArrowLeft: -span / 50, ArrowRight: span / 50 };
      if (event.key === "Escape") hide();
      if (event.key === "Home" || event.key === "End") { event.preventDefault(); show(xRange[event.key === "End" ? 1 : 0]); }
      if (!(event.key in moves)) return;
      event.preventDefault();
      show((shown === null ? xRange[1] : shown) + moves[event.key]);
    });
  }

  // ---- rows: scores, chances, time
  function rowPlot(figure, rows, range, draw, label, half) {
    if (!rows.length || !range) { nothing(figure); return; }
    const width = Math.max(260, figure.clientWidth - 18), step = 38, top = 6, bottom = top + rows.length * step;
    const box = { left: 14, right: width - 22, top, bottom }, canvas = frame(width, bottom + 38, label);
    const x = (value) => box.left + ((value - range[0]) / (range[1] - range[0])) * (box.right - box.left);
    const axis = svg("g", { class: "axis" });
    for (const value of ticks(...range, Math.max(2, Math.min(8, width / 90)))) axis.append(
      svg("line", { x1: x(value), x2: x(value), y1: top, y2: bottom }),
      svg("text", { x: x(value), y: bottom + 14, "text-anchor": "middle" }, tick(value)));
    canvas.append(axis, svg("text", { class: "label", x: width / 2, y: bottom + 30, "text-anchor": "middle" }, label));
    if (half) canvas.append(svg("line", { class: "half", x1: x(0.5), x2: x(0.5), y1: top, y2: bottom }));
    rows.forEach((row, index) => {
      const most = Math.floor((width - 30) / 6.8), name = row.label.length > most ? row.label.slice(0, most - 1) + "…" : row.label;
      const group = svg("g", {}, svg("title", {}, row.title));
      group.append(svg("text", { class: "rowlabel", x: box.left, y: top + index * step + 13 }, name));
      draw(group, row, top + index * step + 25, x);
      canvas.append(group);
    });
    fill(figure, canvas, []);
  }
  function drawInterval(canvas, row, y, x) {
    const index = color(row.method);
    for (const value of row.dots || []) canvas.append(svg("circle", { class: "f" + index, cx: x(value), cy: y, r: 4, opacity: 0.45 }));
    if (there(row.low)) canvas.append(svg("path", { class: "line s" + index, "stroke-width": 3, d: path([[x(row.low), y], [x(row.high), y]]) }));
    if (there(row.mean)) canvas.append(svg("path", { class: "line s" + index, d: path([[x(row.mean), y - 7], [x(row.mean), y + 7]]) }));
    const c = x(row.middle);
    canvas.append(svg("path", { class: "f" + index, d: path([[c - 6, y], [c, y - 6], [c + 6, y], [c, y + 6]]) + "Z" }));
  }

  // ---- the plots of the page
  function smoothed(values, half) {
    if (!values || !half) return values;
    return values.map((value, index) => {
      if (!there(value)) return null;
      const reach = Math.min(half, index, values.length - 1 - index);
      const near = values.slice(index - reach, index + reach + 1).filter(there);
      return near.reduce((sum, one) => sum + one, 0) / near.length;
    });
  }
  function clock(groups) { // unit of wall time
    const grids = groups.flatMap((group) => Object.values(group.curves.grids));
    const most = (extent(grids.flatMap((grid) => grid.seconds)) || [0, 0])[1];
    return most > 7200 ? [3600, "hours"] : most > 300 ? [60, "minutes"] : [1, "seconds"];
  }
  const figures = { curves: new Map(), scores: new Map() };
  function drawCurves() {
    const drawn = (env, group) => group.env_id === env && group.curves.lines[state.scalar] && matches(words(group));
    for (const [env, figure] of figures.curves) figure.hidden = !D.groups.some((group) => drawn(env, group)); // first: it sets widths
    for (const [env, figure] of figures.curves) {
      if (figure.hidden) continue;
      const all = D.groups.filter((group) => group.env_id === env), groups = all.filter(visible);
      const [unit, unitName] = state.axis === "seconds" ? clock(all) : [1, "environment steps"];
      const series = groups.filter((group) => group.curves.lines[state.scalar]).map((group) => {
        const line = group.curves.lines[state.scalar], grid = group.curves.grids[line.grid];
        const x = state.axis === "seconds" ? grid.seconds.map((value) => (there(value) ? value / unit : null)) : grid.steps;
        const [y, low, high] = [line.y, line.low, line.high].map((values) => smoothed(values, state.smooth));
        return { label: D.envs.length > 1 ? group.method : group.setting, method: group.method, x, y, low, high,
          n: (i) => (Array.isArray(line.n) ? line.n[i] : line.n) };
      });
      linePlot(figure, series, [state.axis === "seconds" ? "wall time (" + unitName + ")" : unitName, state.scalar], state.band);
      figure.dataset.name = ("curve-" + env + "-" + state.scalar).replace(/[^\w.-]+/g, "-");
    }
  }
  function drawScores() {
    const drawn = (env) => D.groups.filter((group) => group.env_id === env && group.scores.length && visible(group));
    for (const [env, figure] of figures.scores) figure.hidden = !drawn(env).length;
    for (const [env, figure] of figures.scores) {
      if (figure.hidden) continue;
      const groups = drawn(env).sort((a, b) => b.iqm - a.iqm);
      const rows = groups.map((group) => ({ label: D.envs.length > 1 ? group.method : group.setting, method: group.method, dots: group.scores,
        middle: group.iqm, mean: group.mean, low: group.low, high: group.high,
        title: `${group.setting}\nIQM ${short(group.iqm)}${there(group.low) ? ` (${short(group.low)} to ${short(group.high)})` : ""}, mean ` +
          `${short(group.mean)}\nscores: ${group.scores.map(short).join(", ")}` }));
      rowPlot(figure, rows, extent(groups.flatMap((group) => [...group.scores, group.low, group.high])), drawInterval, "score");
      figure.rows = [["group", "environment", "seed", "score"], ...groups.flatMap((group) =>
        group.scores.map((score, i) => [group.setting, env, group.seeds[i], score]))];
    }
  }
  const pairMatches = (pair) => matches(pair.better + " " + pair.worse + " " + D.envs.join(" "));
  const pairVisible = (pair) => !hidden.has(pair.better) && !hidden.has(pair.worse) && pairMatches(pair);
  function drawChances() {
    const figure = figures.chances, pairs = D.improvements.filter(pairVisible);
    rowPlot(figure, pairs.map((pair) => ({ label: `${pair.better}  >  ${pair.worse}`, method: pair.better, middle: pair.chance, low: pair.low, high: pair.high,
      title: `${short(pair.chance)}${there(pair.low) ? ` (${short(pair.low)} to ${short(pair.high)})` : ""}` })), [0, 1], drawInterval, "probability of improvement", true);
    figure.rows = [["better", "than", "probability", "low", "high", "environments"],
      ...pairs.map((pair) => [pair.better, pair.worse, pair.chance, pair.low, pair.high, pair.envs])];
  }
  function drawProfiles() {
    const lines = D.profiles.lines.filter((line) => !hidden.has(line.method) && matches(line.method + " " + D.envs.join(" ")));
    linePlot(figures.profiles, lines.map((line) => ({ label: line.method, method: line.method, x: D.profiles.thresholds, y: line.share,
      low: line.low, high: line.high })), ["normalised score", "share of runs above"], true, [0, 1]);
  }
  function drawTime() {
    const groups = D.groups.filter((group) => group.time && visible(group));
    const total = (group) => PHASES.reduce((sum, phase) => sum + group.time[phase], 0);
    rowPlot(figures.time, groups.map((group) => {
      const part = PHASES.map((phase) => `${PHASE_NAMES[phase]} ${Math.round((100 * group.time[phase]) / (total(group) || 1))} %`).join(", ");
      return { label: `${group.setting}: ${short(Math.round(total(group)))} s, ${part}`, title: `${group.setting}\n${part}`, group };
    }), [0, 100], (canvas, { group }, y, x) => {
      let from = 0;
      PHASES.forEach((phase, index) => {
        const share = (100 * group.time[phase]) / (total(group) || 1);
        canvas.append(svg("rect", { class: ["f0", "f5", "fm"][index], x: x(from), y: y - 6, width: Math.max(0, x(from + share) - x(from)), height: 12 }));
        from += share;
      });
    }, figures.time.clientWidth < 520 ? "% of wall time" : "% of wall time: collecting (blue), updates (orange), the rest (grey)");
    figures.time.rows = [["group", "environment", ...PHASES.map((phase) => phase + "_seconds")],
      ...groups.map((group) => [group.setting, group.env_id, ...PHASES.map((phase) => group.time[phase])])];
  }

  // ---- tables
  const value = (row, column) => {
    const found = row.cells[column], text = there(found.dataset.v) ? found.dataset.v : found.textContent.trim();
    const number = Number(text);
    return text === "" || text === "-" ? null : Number.isNaN(number) ? text : number;
  };
  function sort(table, header) {
    const column = header.cellIndex, down = header.getAttribute("aria-sort") === "ascending", body = table.tBodies[0];
    for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
    header.setAttribute("aria-sort", down ? "descending" : "ascending");
    const rows = [...body.rows].map((row) => [value(row, column), row]);
    rows.sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null); // what has none comes last
      const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
      return down ? -order : order;
    });
    body.append(...rows.map(([, row]) => row));
  }
  function filterRows() {
    for (const row of document.querySelectorAll("tr[data-group]")) row.hidden = !matches(words(D.groups[row.dataset.group]));
    for (const row of document.querySelectorAll("tr[data-pair]")) row.hidden = !pairMatches(D.improvements[row.dataset.pair]);
    for (const row of document.querySelectorAll("#run-table tbody tr"))
      row.hidden = !matches(row.textContent + " " + row.dataset.label);
    for (const video of document.querySelectorAll("figure.video")) video.hidden = !matches(video.textContent + " " + video.dataset.label);
  }

  // ---- legend, controls
  function legend() {
    for (const method of D.methods) {
      const sample = svg("svg", { width: 26, height: 10, "aria-hidden": "true" },
        svg("path", { class: "line s" + color(method), d: "M1 5L25 5", "stroke-dasharray": dash(method) }));
      const button = html("button", { type: "button", "aria-pressed": String(!hidden.has(method)) }, sample, html("span", {}, method));
      button.dataset.method = method;
      button.addEventListener("click", () => {
        if (!hidden.delete(method)) hidden.add(method);
        button.setAttribute("aria-pressed", String(!hidden.has(method)));
        draw();
      });
      $("legend").append(button);
    }
    if (D.methods.length > 1) {
      const all = html("button", { type: "button" }, "show all");
      all.addEventListener("click", () => {
        hidden.clear();
        for (const button of document.querySelectorAll("#legend [data-method]")) button.setAttribute("aria-pressed", "true");
        draw();
      });
      $("legend").append(all);
    }
    for (const swatch of document.querySelectorAll(".swatch[data-method]")) swatch.classList.add("b" + color(swatch.dataset.method));
  }
  function theme(name) {
    document.documentElement.dataset.theme = name;
    $("theme").setAttribute("aria-pressed", String(name === "dark"));
  }
  function controls() {
    const system = matchMedia("(prefers-color-scheme: dark)");
    theme(state.theme || (system.matches ? "dark" : "light"));
    system.addEventListener("change", () => state.theme || theme(system.matches ? "dark" : "light"));
    $("theme").addEventListener("click", () => {
      state.theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
      theme(state.theme);
      keep();
    });
    let waiting = 0;
    const bind = (id, name, read, event = "input") => {
      if (!$(id)) return;
      if ($(id).type === "checkbox") $(id).checked = state[name]; else $(id).value = state[name];
      $(id).addEventListener(event, () => {
        state[name] = read($(id));
        clearTimeout(waiting);
        waiting = setTimeout(draw, 60);
      });
    };
    if ($("scalar")) $("scalar").append(...D.scalars.map((name) => html("option", { value: name }, name)));
    bind("scalar", "scalar", (one) => one.value);
    bind("axis", "axis", (one) => one.value);
    bind("smooth", "smooth", (one) => Number(one.value));
    bind("band", "band", (one) => one.checked, "change");
    bind("filter", "filter", (one) => one.value.trim());
    for (const table of document.querySelectorAll("table"))
      for (const button of table.querySelectorAll("thead button")) button.addEventListener("click", () => sort(table, button.parentElement));
    for (const button of document.querySelectorAll("button.csv")) button.addEventListener("click", () => {
      const table = button.closest("section").querySelector(`#${{ scores: "score", improvement: "chance", settings: "setting", runs: "run" }[button.dataset.name]}-table`);
      const rows = [...table.rows].filter((row) => !row.hidden).map((row) => [...row.cells].map((one) => (there(one.dataset.v) ? one.dataset.v : one.textContent.trim())));
      saveCsv(button.dataset.name, rows);
    });
  }
  function build() {
    for (const env of D.envs) {
      const curve = plot(env, "curve-" + env), score = plot(env, "scores-" + env);
      if ($("curve-plots") && D.groups.some((group) => group.env_id === env && Object.keys(group.curves.lines).length)) {
        figures.curves.set(env, curve);
        $("curve-plots").append(curve);
      }
      figures.scores.set(env, score);
      $("score-plots").append(score);
    }
    for (const [name, id, caption] of [["chances", "chance-plot", "Probability of improvement"], ["profiles", "profile-plot", "Performance profiles"],
      ["time", "time-plot", "Time by phase"]]) {
      if (!$(id)) continue;
      figures[name] = plot(caption, name);
      $(id).append(figures[name]);
    }
  }
  function draw() {
    if ($("smooth-text")) $("smooth-text").textContent = state.smooth ? `${2 * state.smooth + 1} points` : "none";
    $("hidden-note").hidden = !hidden.size;
    $("hidden-note").textContent = `${hidden.size} of ${D.methods.length} groups are hidden in the plots; press one to show it.`;
    drawCurves();
    drawScores();
    if (figures.chances) drawChances();
    if (figures.profiles) drawProfiles();
    drawTime();
    filterRows();
    keep();
  }
  legend();
  build();
  controls();
  draw();
  let resized = 0, known = document.documentElement.clientWidth;
  addEventListener("resize", () => {
    if (document.documentElement.clientWidth === known) return;
    known = document.documentElement.clientWidth;
    clearTimeout(resized);
    resized = setTimeout(draw, 100);
  });
})();
