// Formats numbers, times and bytes, and creates elements: always as text, never as HTML.

const whole = new Intl.NumberFormat("en");
const two = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });

export const NONE = "–";

export const count = (value) => (value == null ? NONE : whole.format(value));
/** A count with its noun. */
export const counted = (value, name) => `${count(value)} ${name}${value === 1 ? "" : "s"}`;
export const measure = (value) => (value == null ? NONE : two.format(value));
export const compact = (value) => (value == null ? NONE : value < 10 && value > 0 ? String(+value.toPrecision(2)) : short.format(value));
export const percent = (share) => (share < 0.0995 ? (100 * share).toFixed(1) : (100 * share).toFixed(0)) + " %";

/** A correlation with its sign. A value just below 1 is not rounded up to 1. */
export function r(value, digits = 6) {
  if (value == null) return NONE;
  const size = Math.abs(value);
  return (value < 0 ? "−" : "+") + (size < 1 ? Math.min(size, 1 - 10 ** -digits) : size).toFixed(digits);
}

/** The range of times in tables and files, the years 1 to 9999. Times outside it are clamped. */
const FIRST = -62_135_596_800_000;
const LAST = 253_402_300_799_999;

/** Milliseconds since 1970 as ISO 8601, UTC. */
export const iso = (ms) => new Date(Math.min(Math.max(ms, FIRST), LAST)).toISOString();

/** Microseconds since 1970 as a UTC time, to the second. */
export const time = (micros) => (Number.isFinite(micros) ? iso(micros / 1000).slice(0, 19).replace("T", " ") : NONE);

/** A short form for columns: only the time if it is on the same day as `reference`. */
export function clock(micros, reference) {
  const text = time(micros);
  return text.slice(0, 10) === time(reference).slice(0, 10) ? text.slice(11) : text.slice(5, 16);
}

export function duration(seconds) {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${+seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3600)} h`;
}

/** Capitalizes a text and adds a full stop. */
export const sentence = (text) => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;

/** The name of a truck, or a placeholder for an empty name. */
export const name = (truck) => (truck === "" ? "(no name)" : truck);

/** Base64 bytes as a hex dump. */
export function hex(base64) {
  const bytes = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
  const lines = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const line = [...bytes.subarray(at, at + 16)];
    const digits = line.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const seen = line.map((byte) => (byte > 31 && byte < 127 ? String.fromCharCode(byte) : "·")).join("");
    lines.push(`${at.toString(16).padStart(4, "0")}  ${digits.padEnd(47)}  ${seen}`);
  }
  return lines.join("\n");
}

/** Escapes invisible characters and those that change the text direction. */
export const visible = (text) =>
  text.replace(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g, (char) =>
    char === "\n" ? "↵" : char === "\t" ? "⇥" : `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);

export const byId = (id) => document.getElementById(id);

/** Sets the text of an element if it differs. */
export function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** An element with a class and a text. */
export function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

/** Adjusts the number of rows to the items, and calls `write` for each. */
export function fill(body, items, write) {
  while (body.rows.length > items.length) body.deleteRow(-1);
  items.forEach((item, at) => write(body.rows[at] ?? body.insertRow(), item, at));
}
