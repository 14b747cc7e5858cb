// How numbers, times and bytes are written, and how elements are made: always as text, never as HTML.

const whole = new Intl.NumberFormat("en");
const two = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });

export const NONE = "–";

export const count = (value) => (value == null ? NONE : whole.format(value));
/** How many there are of what has this name. */
export const counted = (value, name) => `${count(value)} ${name}${value === 1 ? "" : "s"}`;
export const measure = (value) => (value == null ? NONE : two.format(value));
export const compact = (value) => (value == null ? NONE : value < 10 && value > 0 ? String(+value.toPrecision(2)) : short.format(value));
export const percent = (share) => (share < 0.0995 ? (100 * share).toFixed(1) : (100 * share).toFixed(0)) + " %";

/** A correlation: decimals with a sign. What is not quite 1 does not look like it. */
export function r(value, digits = 6) {
  if (value == null) return NONE;
  const size = Math.abs(value);
  return (value < 0 ? "−" : "+") + (size < 1 ? Math.min(size, 1 - 10 ** -digits) : size).toFixed(digits);
}

/** The times that tables and files have: of one outside the years 1 to 9999 they have the nearest inside. */
const FIRST = -62_135_596_800_000;
const LAST = 253_402_300_799_999;

/** Milliseconds since 1970 in the form of ISO 8601, UTC. */
export const iso = (ms) => new Date(Math.min(Math.max(ms, FIRST), LAST)).toISOString();

/** Microseconds since 1970 as a time of UTC, to the second. */
export const time = (micros) => (Number.isFinite(micros) ? iso(micros / 1000).slice(0, 19).replace("T", " ") : NONE);

/** The same, as short as a column wants it: the time alone if it is of the day of `beside`. */
export function clock(micros, beside) {
  const text = time(micros);
  return text.slice(0, 10) === time(beside).slice(0, 10) ? text.slice(11) : text.slice(5, 16);
}

export function duration(seconds) {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${+seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3600)} h`;
}

/** A text as a sentence: with a capital letter and a full stop. */
export const sentence = (text) => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;

/** The name of a truck; one without a name has one here. */
export const name = (truck) => (truck === "" ? "(no name)" : truck);

/** Bytes in base64 as hexadecimal, sixteen a line, with what is printable beside them. */
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

/** Characters that would not be seen, or would turn a line around, as what they are called. */
export const visible = (text) =>
  text.replace(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g, (char) =>
    char === "\n" ? "↵" : char === "\t" ? "⇥" : `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);

export const byId = (id) => document.getElementById(id);

/** Writes a text where it is another one. */
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
