// Draws the tab "Tracing overhead": a sentence, a chart, a table and a CSV link, renewed each second.
(() => {
  "use strict";

  const KEY = "tracing-overhead";
  const EVERY_MS = 1000;
  const NOTE =
    "Runs one after another are for exploring, and their differences are rough (~): each meets the machine in " +
    "another mood. To measure, use tracing-overhead run, in which all setups run in interleaved time slices, with intervals.";
  const COLUMNS = [
    ["setup", "setup"], ["requests", "requests"], ["requests_per_s", "per second"],
    ["p50_ms", "p50 ms"], ["p95_ms", "p95 ms"], ["p99_ms", "p99 ms"],
    ["cpu_ms_per_request", "CPU ms per request"], ["added_cpu_ms", "added ms, roughly"],
    ["added_cpu_percent", "CPU %, roughly"], ["spans_received", "spans received"],
    ["spans_lost", "spans lost"], ["exported_bytes", "exported bytes"],
  ];
  const DIGITS = {
    requests_per_s: 1, p50_ms: 1, p95_ms: 1, p99_ms: 1, cpu_ms_per_request: 2, added_cpu_ms: 2,
  };
  const SIGNED = new Set(["added_cpu_ms", "added_cpu_percent"]);
  const STYLE = `
    #${KEY} { padding: 0 0 48px; font-family: inherit; }
    #${KEY} .note { margin: 8px 0 24px; max-width: 75ch; line-height: 1.5; opacity: .85; }
    #${KEY} .error { margin: 0 0 16px; padding: 12px 16px; border-left: 4px solid #d32f2f;
      background: color-mix(in srgb, #d32f2f 12%, transparent); line-height: 1.5; }
    #${KEY} h2 { font-size: 1.05rem; font-weight: 600; margin: 28px 0 12px; }
    #${KEY} .bars { display: grid; grid-template-columns: max-content 1fr; gap: 10px 16px; align-items: center; }
    #${KEY} .track { display: flex; align-items: center; min-width: 0; }
    #${KEY} .bar { display: flex; height: 22px; border-radius: 3px; overflow: hidden; min-width: 2px; }
    #${KEY} .base { background: #6d9c82; } #${KEY} .extra { background: #e0803c; }
    #${KEY} .alone { background: #8a939c; }
    #${KEY} .value { padding-left: 10px; white-space: nowrap; font-variant-numeric: tabular-nums; }
    #${KEY} .legend { display: flex; gap: 20px; margin-top: 14px; font-size: .85rem; opacity: .85; flex-wrap: wrap; }
    #${KEY} .legend i { display: inline-block; width: 12px; height: 12px; border-radius: 2px; margin-right: 6px; }
    #${KEY} .scroll { overflow-x: auto; }
    #${KEY} table { border-collapse: collapse; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums; }
    #${KEY} th, #${KEY} td { padding: 10px 12px; text-align: right; white-space: nowrap;
      border-bottom: 1px solid color-mix(in srgb, currentColor 18%, transparent); }
    #${KEY} th:first-child, #${KEY} td:first-child { text-align: left; }
    #${KEY} thead th { font-weight: 600; vertical-align: bottom; white-space: normal; }
    #${KEY} p { margin-top: 20px; }
    #${KEY} small { display: block; opacity: .7; }
    #${KEY} .bad { color: #d32f2f; font-weight: 600; }
    #${KEY} a { color: inherit; font-weight: 600; }
    @media (max-width: 760px) {
      #${KEY} .bars { grid-template-columns: 1fr; gap: 4px; } #${KEY} .track { margin-bottom: 10px; }
      #${KEY} thead { display: none; }
      #${KEY} tr { display: block; padding: 12px 0; border-bottom: 1px solid color-mix(in srgb, currentColor 30%, transparent); }
      #${KEY} td { display: flex; justify-content: space-between; border: 0; padding: 4px 0; }
      #${KEY} td:first-child { font-weight: 600; font-size: 1.05rem; }
      #${KEY} td:not(:first-child)::before { content: attr(data-head); opacity: .75; }
    }`;

  const element = (tag, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  };

  const shown = (run, key) => {
    const value = run[key];
    if (key === "spans_lost" && value === null) return run.running ? "after the stop" : "–";
    if (value === null) return "–";
    if (typeof value !== "number") return value;
    const digits = DIGITS[key] ?? 0;
    const text = value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
    return SIGNED.has(key) ? `~ ${value > 0 ? "+" : ""}${text}` : text;
  };

  const name = (run) => {
    const state = [run.delays, run.running ? "running" : "", run.failed ? `${run.failed} failed` : ""];
    const details = state.filter(Boolean).join(" · ");
    return details ? [run.setup, element("small", { textContent: details })] : [run.setup];
  };

  const chart = (runs) => {
    const measured = runs.filter((run) => run.cpu_ms_per_request !== null);
    const most = Math.max(...measured.map((run) => run.cpu_ms_per_request));
    const bars = element("div", { className: "bars" });
    for (const run of measured) {
      const cpu = run.cpu_ms_per_request;
      const extra = Math.max(run.added_cpu_ms ?? 0, 0);
      // Without a run of none nobody knows how much of it is tracing.
      const isCompared = run.setup === "none" || run.added_cpu_ms !== null;
      const bar = element("div", { className: "bar" },
        element("div", { className: isCompared ? "base" : "alone", style: `width: ${100 * (1 - extra / cpu)}%` }),
        element("div", { className: "extra", style: `width: ${100 * extra / cpu}%` }));
      bar.style.width = `${75 * cpu / most}%`;
      const percent = run.added_cpu_percent === null ? "" : ` (${shown(run, "added_cpu_percent")} %)`;
      bars.append(
        element("div", {}, ...name(run)),
        element("div", { className: "track" }, bar,
          element("span", { className: "value", textContent: `${shown(run, "cpu_ms_per_request")} ms${percent}` })));
    }
    const key = (className, text) =>
      element("span", {}, element("i", { className }), document.createTextNode(text));
    return [
      element("h2", { textContent: "CPU per request, all processes together" }), bars,
      element("div", { className: "legend" }, key("base", "as without tracing"), key("extra", "more than without tracing"),
        ...(measured.some((run) => run.setup !== "none" && run.added_cpu_ms === null)
          ? [key("alone", "not compared: run none, too")] : [])),
    ];
  };

  const table = (runs) => {
    const head = element("tr", {}, ...COLUMNS.map(([, text]) => element("th", { scope: "col", textContent: text })));
    const rows = runs.map((run) => element("tr", {}, ...COLUMNS.map(([key, text]) => {
      const cell = element("td", {});
      cell.dataset.head = text;
      cell.append(...(key === "setup" ? name(run) : [shown(run, key)]));
      if (key === "spans_lost" && run.spans_lost > 0) cell.className = "bad";
      return cell;
    })));
    return [
      element("h2", { textContent: "Side by side" }),
      element("div", { className: "scroll" },
        element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows))),
      element("p", {}, element("a", { href: "./overhead/csv", textContent: "Download as CSV" })),
    ];
  };

  const render = (panel, { runs, error }) => {
    const parts = [element("p", { className: "note", textContent: NOTE })];
    if (error) parts.push(element("p", { className: "error", role: "alert", textContent: error }));
    if (!runs.some((run) => run.setup === "none") && runs.length) {
      parts.push(element("p", { className: "note", textContent: "Run the setup none, too, to see the difference." }));
    }
    if (runs.some((run) => run.cpu_ms_per_request !== null)) parts.push(...chart(runs));
    if (runs.length) parts.push(...table(runs));
    panel.replaceChildren(...parts);
  };

  const place = () => {
    const isOpen = new URLSearchParams(window.location.search).get("tab") === KEY;
    let panel = document.getElementById(KEY);
    const container = document.querySelector("[role=tablist]")?.closest(".MuiContainer-root");
    if (!isOpen || !container) {
      panel?.remove();
      return null;
    }
    if (!panel) panel = element("section", { id: KEY, ariaLabel: "Tracing overhead" });
    if (panel.parentElement !== container) container.append(panel);
    return panel;
  };

  let last = "";
  const renew = async () => {
    const panel = place();
    if (!panel) { last = ""; return; }
    try {
      const text = await (await fetch("./overhead/data")).text();
      if (text !== last) render(panel, JSON.parse(text));
      last = text;
    } catch {
      // Locust has ended, or is busy; the next second tries again.
    }
  };

  // The setups are what this page is for; Locust folds its custom fields away, below all others and in
  // the order of the alphabet.
  let descriptions = {};
  const arrange = () => {
    const folds = [...document.querySelectorAll("form button[aria-expanded]")];
    const fold = folds.find((button) => button.textContent === "Custom parameters");
    if (!fold) return;
    if (!fold.dataset.unfolded) {
      fold.dataset.unfolded = "once";
      fold.closest(".MuiPaper-root").style.order = -1;
      if (fold.getAttribute("aria-expanded") === "false") fold.click();
    }
    const select = document.querySelector("form select[name=setup]");
    const field = select?.closest(".MuiFormControl-root");
    if (!field || select.dataset.described || !Object.keys(descriptions).length) return;
    select.dataset.described = "once";
    field.parentElement.style.cssText += "; display: flex; flex-direction: column";
    field.style.order = -1;
    const groups = {};
    for (const option of [...select.options]) {
      const { group, description } = descriptions[option.value] ?? {};
      if (!group) continue;
      option.textContent = `${option.value}: ${description}`;
      groups[group] ??= select.appendChild(element("optgroup", { label: group }));
      groups[group].append(option);
    }
  };
  fetch("./overhead/setups").then((answer) => answer.json()).then((known) => { descriptions = known; });
  setInterval(arrange, 200);

  document.head.append(element("style", { textContent: STYLE }));
  setInterval(renew, EVERY_MS);
  document.addEventListener("click", () => setTimeout(renew, 0));
  renew();
})();
