// The page of a look: what it carries, the one selection that all panels share, and how a panel is written.
//
// Files of this folder become one script, in the order of SCRIPTS and MORE in __init__.py (MORE says of which records a
// page has a file at all); this one is first. Lines that begin with // and indentation are not shipped, so no text may
// span lines (no multi-line template literals).
//
// A PANEL is a file that is one block (its names stay its own) and calls `panel` once:
//
//   {
//     panel({
//       bare: true,                      // optional: only a div, without card, title and lead
//       heavy: true,                     // optional: built once all weights are unpacked (where steps() is called),
//                                        // and updated a moment later where it is out of sight
//       order: 50,                       // 10 words, 20 alignment, 30 heads, 40 flow, 50 lens, 60 picture, 70 what if
//       name: "lens",                    // becomes the section's id
//       title: "What each layer would say",
//       lead: "One plain sentence below the title.",
//       wants: () => data.lenses.length > 0,       // no section where there is nothing to show
//       build(section) {                           // once: fill the section (h2 and lead are there already)
//         const out = el("p", { class: "quiet" });
//         section.append(out);
//         return (changed) => {                    // after build, and after every change of `state`
//           if (changed.has("at")) out.textContent = state.at ? text(state.at) : "";
//         };                                       // `changed` is a Set of keys of state; at first it has them all
//       },
//     });
//   }
//
// WHAT THERE IS
//   data      the packed record (packing.py): model, task, text, answer, lines, kinds, said, lenses, answers, what_if,
//             notes. Lines and kinds are referred to by number. A guess is [text, probability]. Numbers that are none
//             are null. Texts are already made visible (render.visible): only ever insert them as text.
//   state     { kind: number, choice, by: "words" | "tokens", hide: boolean, weighted: boolean,
//               several: boolean, at: place | null, pins: [place], peek: place | null, theme, width, loaded }
//             choice: { view: n } | { layer: n } | { layer: n, head: n } | {} (the mean of all); n count within
//             data.kinds[kind] (`layers[n].layer` is its number in the model, from 0; shown from 1).
//             A place is { line, side: "queries" | "keys", index }: a word, or a token where by is "tokens".
//             `at` is the chosen place (the last of `pins`); `peek` what the pointer or focus is on. `theme` and `width`
//             change when what is drawn on a canvas must be drawn again; `loaded` says that steps() may be asked.
//   set({..}) changes state and tells every panel; choose(place, more) and peek(place) for places, `more` keeps others.
//   steps(kind, layer, weighted)  Uint8Array [heads, queries, keys] of TOKENS, as packed; SQUARE[step] is its weight.
//   unit(line, index)  { text, control, tokens: [first..] } of a word or token as state.by says; units(line) how many.
//   shown()   the matrix that is shown (weights.js): { rows, columns, values, signed, peak, at(i, j) }.
//   el(tag, { class, text, title, on..., aria... }, ...children), svg(tag, attributes, ...children): strings are text.
//   chip(place, {...})  a <button> for a word, isolated in its direction, that knows how to be chosen.
//   ramp(step) and diverging(step): CSS colours for 0..255; RAMP / DIVERGING Uint32Array for ImageData.
//   lit(element, value, matrix)  gives it the colour of a value and ink to match; unlit(element) takes both away.
//   roving(holder, () => elements)  one stop for Tab, arrow keys within. timed(event, () => ..) around what answers one.
//   say(text)  the live region. number(w) 0.123; percent(p) 12 %.
//   COLOURS: s0..s5 are CSS variables (style.py); read them with css("--s0").

const data = JSON.parse(document.getElementById("record").textContent);
const PANELS = [];
const updates = [];
const SQUARE = Float32Array.from({ length: 256 }, (_, step) => (step / 255) ** 2);
const ROOT = document.documentElement;
const state = {
  kind: 0, choice: {}, by: "words", hide: false, weighted: false, several: false,
  at: null, pins: [], peek: null, theme: 0, width: 0, loaded: false,
};

function panel(spec) {
  PANELS.push(spec);
}

// ---- elements -------------------------------------------------------------------------------------------------------

function fill(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "text") made.textContent = value;
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

function el(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function svg(tag, attributes, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

const css = (name) => getComputedStyle(ROOT).getPropertyValue(name).trim();
const number = (weight) => (Math.abs(weight) >= 0.0005 || weight === 0 ? weight.toFixed(3) : weight.toExponential(0)).replace("-", "−");
const percent = (share) => (share >= 0.0995 ? `${Math.round(100 * share)} %` : `${(100 * share).toPrecision(2)} %`);
const live = el("div", { class: "unseen", role: "status", "aria-live": "polite" });

function say(words) {
  live.textContent = words;
}

// ---- lines ----------------------------------------------------------------------------------------------------------

// What a token looks like where it has no ink of its own.
function inked(piece) {
  const marked = piece.replaceAll("\n", "↵").replaceAll("\t", "⇥");
  return marked.trim() === "" ? marked.replaceAll(" ", "␣") || "·" : marked;
}

const RIGHT_TO_LEFT = /\p{Script=Hebrew}|\p{Script=Arabic}|\p{Script=Syriac}|\p{Script=Thaana}|\p{Script=Nko}/u;
for (const line of data.lines) {
  line.pieces ??= line.words;
  line.word ??= line.words.map((_, index) => index);
  line.control = line.control.map(Boolean);
  const first = line.words.filter((_, index) => !line.control[index]).join(" ").match(/\p{L}/u);
  line.direction = first && RIGHT_TO_LEFT.test(first[0]) ? "rtl" : "ltr";
  line.tokens = line.words.map(() => []);
  line.word.forEach((word, token) => line.tokens[word].push(token));
}

const units = (line) => (state.by === "words" ? data.lines[line].words : data.lines[line].pieces).length;

function unit(line, index) {
  const of = data.lines[line];
  const word = state.by === "words" ? index : of.word[index];
  const text = state.by === "words" ? of.words[index] : of.pieces[index];
  return { text: inked(text), control: of.control[word], tokens: state.by === "words" ? of.tokens[index] : [index] };
}

const text = (place) => unit(place.line, place.index).text;
const same = (a, b) => a === b || (a && b && a.side === b.side && a.line === b.line && a.index === b.index);
const lineOf = (side) => data.kinds[state.kind][side];

// ---- the one selection ----------------------------------------------------------------------------------------------

function set(changes) {
  const changed = new Set(Object.keys(changes).filter((key) => changes[key] !== state[key]));
  if (changed.size === 0) return;
  Object.assign(state, changes);
  if (changed.has("kind") && !changed.has("choice")) {
    state.choice = startingChoice(state.kind);
    changed.add("choice");
  }
  if (changed.has("kind") || changed.has("by")) follow(changed);
  for (const one of updates) {
    if (!one.heavy || one.seen || one.made.contains(document.activeElement)) one.update(changed);
    else later(one, changed);
  }
}

// Heavy panels that are out of sight follow when what can be seen has answered.
const late = new Map();
const sight = new IntersectionObserver((all) => all.forEach(({ target, isIntersecting }) => {
  for (const one of updates) if (one.made === target) one.seen = isIntersecting;
}));

function later(one, changed) {
  if (late.size === 0) setTimeout(() => {
    const all = [...late];
    late.clear();
    for (const [{ update }, keys] of all) update(keys);
  });
  late.set(one, new Set([...(late.get(one) ?? []), ...changed]));
}

// Of what was chosen, only what the kind that is shown has is kept.
function follow(changed) {
  const pins = [];
  for (const pin of state.pins) {
    const side = pin.line === lineOf(pin.side) ? pin.side : ["queries", "keys"].find((other) => pin.line === lineOf(other));
    if (side && !changed.has("by")) pins.push({ ...pin, side });
    else if (side) pins.push({ ...pin, side, index: converted(pin) });
  }
  Object.assign(state, { pins, at: pins.at(-1) ?? null, peek: null });
  changed.add("pins").add("at").add("peek");
}

function converted(place) {
  const line = data.lines[place.line];
  return state.by === "words" ? line.word[place.index] : (line.tokens[place.index][0] ?? 0);
}

function choose(place, more = state.several) {
  const there = state.pins.findIndex((pin) => same(pin, place));
  const others = more ? state.pins.filter((pin) => !same(pin, place)) : [];
  const gone = there >= 0 && (more || state.pins.length === 1);
  const pins = place === null ? [] : gone ? others : [...others, place].slice(-6);
  set({ pins, at: pins.at(-1) ?? null, peek: null });
}

function peek(place) {
  if (!same(place, state.peek)) set({ peek: place });
}

// How long an answer took: from the event to all panels changed and laid out, and to the frame that shows it.
function timed(event, act) {
  act();
  void document.body.offsetHeight;
  ROOT.dataset.click = (performance.now() - event.timeStamp).toFixed(1);
  requestAnimationFrame(() => setTimeout(() => (ROOT.dataset.painted = (performance.now() - event.timeStamp).toFixed(1))));
}

const withOthers = (event) => state.several || event.shiftKey || event.ctrlKey || event.metaKey;

// A word as a button. Chosen by click, Enter or Space; with Shift or Control beside what is chosen already.
function chip(place, attributes = {}) {
  const { text: words, control } = unit(place.line, place.index);
  const made = el("button", { type: "button", class: control ? "chip control" : "chip", ...attributes }, el("bdi", { text: words }));
  made.addEventListener("click", (event) => timed(event, () => choose(place, withOthers(event))));
  made.addEventListener("pointerenter", (event) => event.pointerType === "mouse" && peek(place));
  const leave = () => same(place, state.peek) && peek(null); // another word may be looked at by now
  made.addEventListener("pointerleave", leave);
  made.addEventListener("focus", () => made.matches(":focus-visible") && peek(place));
  made.addEventListener("blur", leave);
  return made;
}

// One stop for Tab; arrows move among `members()`, Home and End to the ends, up and down to what stands nearest there.
function roving(holder, members) {
  const towards = (all, here, sign) => {
    const from = all[here].getBoundingClientRect();
    const far = ({ top, left }) => (sign * (top - from.top) > 4 ? 1e4 * Math.abs(top - from.top) + Math.abs(left - from.left) : Infinity);
    const found = all.map((one) => [far(one.getBoundingClientRect()), one]).reduce((a, b) => (b[0] < a[0] ? b : a));
    return found[0] < Infinity ? found[1] : null;
  };
  holder.addEventListener("keydown", (event) => {
    const all = members();
    const here = all.indexOf(document.activeElement);
    if (here < 0 || event.altKey || event.ctrlKey || event.metaKey) return;
    const turned = getComputedStyle(holder).direction === "rtl" ? -1 : 1;
    const moves = new Map([["ArrowRight", () => all[here + turned]], ["ArrowLeft", () => all[here - turned]], ["Home", () => all[0]], ["End", () => all.at(-1)], ["ArrowDown", () => towards(all, here, 1)], ["ArrowUp", () => towards(all, here, -1)]]);
    if (!moves.has(event.key)) return;
    event.preventDefault();
    const next = moves.get(event.key)();
    if (!next) return;
    for (const one of all) one.tabIndex = -1;
    next.tabIndex = 0;
    next.focus({ focusVisible: true });
  });
}

// ---- colours --------------------------------------------------------------------------------------------------------

const RAMP = new Uint32Array(256);
const DIVERGING = new Uint32Array(256);
const rgb = (packed) => `rgb(${packed & 255} ${(packed >> 8) & 255} ${(packed >> 16) & 255})`;
const ramp = (step) => rgb(RAMP[step]);
const diverging = (step) => rgb(DIVERGING[step]);

const bright = (packed) => 0.3 * (packed & 255) + 0.59 * ((packed >> 8) & 255) + 0.11 * ((packed >> 16) & 255) > 135;

// Ink that can be read on a colour; "" where the page's own can, since a change of ink goes through all that is inside.
function onto(packed) {
  if (bright(packed) === bright(RAMP[0])) return "";
  return bright(packed) ? "#11161c" : "#fff";
}

// sRGB and OKLab (Ottosson 2020): steps that are equal in it look equally far apart.
function toLab(hex) {
  const [r, g, b] = [1, 3, 5].map((start) => {
    const c = parseInt(hex.slice(start, start + 2), 16) / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  });
  const l = Math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
  const m = Math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
  const s = Math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
  return [
    0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s,
    1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s,
    0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s,
  ];
}

function fromLab([L, a, b]) {
  const l = (L + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (L - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (L - 0.0894841775 * a - 1.291485548 * b) ** 3;
  const bytes = [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ].map((c) => Math.round(255 * Math.min(1, Math.max(0, c <= 0.0031308 ? 12.92 * c : 1.055 * c ** (1 / 2.4) - 0.055))));
  return ((255 << 24) | (bytes[2] << 16) | (bytes[1] << 8) | bytes[0]) >>> 0;
}

function mixed(stops, share) {
  const place = share * (stops.length - 1);
  const left = Math.min(Math.floor(place), stops.length - 2);
  return fromLab(stops[left].map((value, axis) => value + (stops[left + 1][axis] - value) * (place - left)));
}

// Steps are roots of weights; bent back a little, so that what is near 0 is not drawn louder than it is.
const BEND = 1.4;

function paint() {
  const [empty, heat, deep, warm, hot] = ["--empty", "--heat", "--deep", "--warm", "--hot"].map((name) => toLab(css(name)));
  for (let step = 0; step < 256; step++) {
    const signed = (step - 128) / 127;
    RAMP[step] = mixed([empty, heat, deep], (step / 255) ** BEND);
    DIVERGING[step] = mixed([hot, warm, empty, heat, deep], (1 + Math.sign(signed) * Math.min(1, Math.abs(signed)) ** BEND) / 2);
  }
}

// ---- start ----------------------------------------------------------------------------------------------------------

// The bytes of a block, which leaves the page.
async function unpacked(number) {
  const element = document.getElementById(`block-${number}`);
  const packed = Uint8Array.fromBase64?.(element.textContent) ?? Uint8Array.from(atob(element.textContent), (c) => c.charCodeAt(0));
  element.remove();
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function build(spec, main) {
  const made = el(spec.bare ? "div" : "section", { id: spec.name, "aria-labelledby": spec.bare ? null : `${spec.name}-title` });
  if (!spec.bare) made.append(el("h2", { id: `${spec.name}-title`, text: spec.title }), el("p", { class: "lead", text: spec.lead }));
  main.append(made);
  const update = spec.build(made);
  if (!update) return;
  const one = { update, made, heavy: spec.heavy, seen: true };
  updates.push(one);
  if (spec.heavy) sight.observe(made);
  update(new Set(Object.keys(state)));
}

// First what needs little, then, once every weight is unpacked, the rest.
async function start() {
  paint();
  const main = document.getElementById("panels");
  main.append(live);
  const wanted = PANELS.toSorted((a, b) => a.order - b.order).filter((spec) => spec.wants());
  await prepare(false);
  state.width = document.documentElement.clientWidth;
  if (data.kinds.length > 0) state.choice = startingChoice((state.kind = startingKind()));
  const heavy = wanted.findIndex((spec) => spec.heavy);
  for (const spec of heavy < 0 ? wanted : wanted.slice(0, heavy)) build(spec, main);
  await prepare(true);
  set({ loaded: true });
  for (const spec of heavy < 0 ? [] : wanted.slice(heavy)) build(spec, main);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => (paint(), set({ theme: state.theme + 1 })));
  addEventListener("resize", () => set({ width: document.documentElement.clientWidth }));
  document.addEventListener("keydown", (event) => event.key === "Escape" && timed(event, () => choose(null)));
  // Chosen and taken back before it can be seen: else the first click waits until what answers it is compiled.
  if (data.kinds.length > 0 && units(lineOf("queries")) > 0) {
    choose({ line: lineOf("queries"), side: "queries", index: 0 });
    void document.body.offsetHeight;
    choose(null);
    say("");
  }
  void document.body.offsetHeight;
  setTimeout(() => (ROOT.dataset.ready = Math.round(performance.now())));
}
