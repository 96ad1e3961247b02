// Draws the charts of the quality board from their JSON; a click leads to the list behind a bar. Tables say the same.
"use strict";
(() => {
  if (!window.echarts) return;
  const made = [];
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const share = (v) => (v === null || v === undefined ? "—" : `${(100 * v).toFixed(2)}%`);

  function option(data) {
    const ink = css("--ink"), line = css("--line"), lying = data.kind === "stack" && data.categories.length > 6;
    const paper = matchMedia("print").matches, dark = css("--dark") && !paper;
    const numbers = data.series.filter((s) => s.data.every((v) => typeof v !== "string"));
    // A bar's length is its value, so bars begin at zero; a line tells how things move and may begin higher.
    const lowest = data.kind === "lines" ? Math.min(1, ...numbers.flatMap((s) => s.data).filter((v) => v !== null)) : 0;
    const values = {type: "value", name: data.unit, nameTextStyle: {color: ink}, axisLabel: {color: ink, formatter: data.percent ? (v) => `${Number((100 * v).toFixed(2))}%` : undefined},
      splitLine: {lineStyle: {color: line}}, min: data.percent ? Math.max(0, Math.floor(20 * lowest - 1) / 20) : 0, max: data.percent && !data.wanting ? 1 : undefined,
      minInterval: data.percent ? undefined : 1};
    const names = {type: "category", data: data.categories, inverse: lying, axisLabel: {color: ink, interval: 0, width: lying ? 150 : 84, overflow: "truncate"},
      axisLine: {lineStyle: {color: line}}};
    return {
      animation: false,
      color: dark ? ["#7fb0f2", "#f0c26a", "#83d19f", "#ff9a92", "#c6a5ee", "#6fd0d6"] : ["#1c4e91", "#b8770a", "#2c8a4f", "#b3261e", "#6b4fa3", "#14808a"],
      textStyle: {fontFamily: getComputedStyle(document.body).fontFamily, color: ink},
      grid: {left: 8, right: 16, top: 40, bottom: 8, containLabel: true},
      legend: {top: 4, textStyle: {color: ink}, itemWidth: 14, itemHeight: 9},
      aria: {enabled: true, label: {description: data.title}, decal: {show: paper && numbers.length > 1}},
      tooltip: {trigger: "axis", renderMode: "richText", confine: true, backgroundColor: css("--paper"), borderColor: line, textStyle: {color: ink},
        valueFormatter: data.percent ? share : undefined},
      xAxis: lying ? values : names, yAxis: lying ? names : values,
      series: numbers.map((s) => ({name: s.name, data: s.data, type: data.kind === "lines" ? "line" : "bar", stack: data.kind === "stack" ? "all" : undefined,
        barMaxWidth: 22, symbolSize: 7, cursor: "pointer"})),
    };
  }

  async function draw(box) {
    const answer = await fetch(box.dataset.chart, {headers: {accept: "application/json"}});
    if (!answer.ok) return;
    const data = await answer.json();
    if (!data.series.some((s) => s.data.some((v) => typeof v === "number" && v))) return; // nothing to draw: the table says so
    data.categories = data.categories.slice(0, data.most);
    data.series.forEach((s) => { s.data = s.data.slice(0, data.most); });
    box.hidden = false;
    const chart = window.echarts.init(box, null, {renderer: "canvas"});
    chart.setOption(option(data));
    chart.on("click", (e) => {
      const at = data.series.findIndex((s) => s.name === e.seriesName);
      const href = data.links[at]?.[e.dataIndex];
      if (href) location.assign(href);
    });
    box.dataset.drawn = "1";
    made.push([chart, data]);
  }

  document.querySelectorAll("[data-chart]").forEach(draw);
  addEventListener("resize", () => made.forEach(([chart]) => chart.resize()));
  // On paper: dark ink on white, and patterns, because colours become greys.
  const anew = () => made.forEach(([chart, data]) => { chart.setOption(option(data), true); chart.resize(); });
  addEventListener("beforeprint", anew);
  addEventListener("afterprint", anew);
  matchMedia("print").addEventListener("change", anew);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", anew);
})();
