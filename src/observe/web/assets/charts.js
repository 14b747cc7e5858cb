// The charts, by uPlot, in the page's own colours.

import { iso } from "./text.js";

/* global uPlot */
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const utc = (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC");
/** Labels of a time axis, with the precision of its steps. */
const times = (_, ticks, __, ___, step) =>
  ticks.map((tick) => {
    if (tick < 1000) return ""; // no data yet
    const text = iso(tick * 1000);
    return step < 1 ? text.slice(14, 21) : step < 60 ? text.slice(11, 19) : step < 86400 ? text.slice(11, 16) : text.slice(5, 10);
  });
const FONT = "11px system-ui, sans-serif";

const axis = (more) => ({
  stroke: () => colour("--soft"),
  grid: { stroke: () => colour("--line"), width: 1 },
  ticks: { show: false },
  font: FONT,
  ...more,
});

/** A chart that follows its element's size and the colour scheme. */
function chart(element, options) {
  const size = () => ({ width: Math.max(element.clientWidth, 120), height: element.clientHeight || 124 });
  const plot = new uPlot({ ...size(), ...options, legend: { show: false } }, options.series.map(() => []), element);
  const observer = new ResizeObserver(() => plot.setSize(size()));
  observer.observe(element);
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  const redraw = () => plot.redraw();
  scheme.addEventListener("change", redraw);
  plot.hooks.destroy = [() => (observer.disconnect(), scheme.removeEventListener("change", redraw))];
  return plot;
}

/** The range of the time axis; for a single time, one minute around it. (uPlot asks for a day then.) */
const span = (plot, low, high) => (low == null ? [0, 60] : plot.data[0].length === 1 || low === high ? [low - 30, low + 30] : [low, high]);

/** A correlation over event time. Its range fits the values, but is not smaller than rounding errors. */
export function correlation(element, variable) {
  return chart(element, {
    tzDate: utc,
    cursor: { y: false, points: { size: 6 } },
    scales: {
      x: { range: span },
      y: {
        range: (_, low, high) => {
          if (low == null) return [-1, 1];
          const room = Math.max((high - low) * 0.12, 1e-6);
          return [Math.max(low - room, -1.02), Math.min(high + room, 1.02)];
        },
      },
    },
    axes: [axis({ space: 80, size: 26, values: times }), axis({ size: 74, space: 26, values: (_, ticks) => ticks.map((tick) => +tick.toFixed(7)) })],
    series: [
      {},
      {
        stroke: () => colour(variable),
        width: 1.8,
        spanGaps: false,
        points: { show: (_, __, from, to) => to - from < 24, size: 4 },
      },
    ],
  });
}

/** Any number over time. */
export function number(element) {
  return chart(element, {
    tzDate: utc,
    cursor: { y: false, points: { size: 6 } },
    scales: {
      x: { range: span },
      y: {
        range: (_, low, high) => {
          if (low == null) return [0, 1];
          const room = (high - low) * 0.12 || Math.abs(high) * 0.05 || 1;
          return [low - room, high + room];
        },
      },
    },
    axes: [axis({ space: 80, size: 26, values: times }), axis({ size: 74, space: 26, values: (_, ticks) => ticks.map((tick) => +tick.toPrecision(7)) })],
    series: [{}, { stroke: () => colour("--distance"), width: 1.8, points: { show: (_, __, from, to) => to - from < 24, size: 4 } }],
  });
}

/** Duration and number of messages of commits. */
export function commits(element) {
  return chart(element, {
    tzDate: utc,
    cursor: { y: false },
    scales: { x: { range: span }, y: { range: (_, __, high) => [0, Math.max(high ?? 0, 0.01) * 1.15] }, m: { range: (_, __, high) => [0, Math.max(high ?? 0, 1) * 1.15] } },
    axes: [
      axis({ space: 80, size: 26, values: times }),
      axis({ size: 74, values: (_, ticks) => ticks.map((tick) => (tick < 1 ? `${Math.round(tick * 1000)} ms` : `${tick} s`)) }),
      axis({ side: 1, scale: "m", size: 52, grid: { show: false }, stroke: () => colour("--speed"), values: (_, ticks) => ticks.map((tick) => Intl.NumberFormat("en", { notation: "compact" }).format(tick)) }),
    ],
    series: [
      {},
      { stroke: () => colour("--distance"), fill: () => colour("--fill"), width: 1.2, paths: uPlot.paths.bars({ size: [0.7, 8] }), points: { show: false } },
      { scale: "m", stroke: () => colour("--speed"), width: 1.6, points: { show: false } },
    ],
  });
}
