// From packed bytes to the matrix that is shown: which head, or the mean of which, by words or tokens, with or without
// what is no word of the text. `prepare` unpacks what every page needs before its first panel.

const unpackedSteps = new Map(); // block -> Uint8Array [heads, queries, keys], or [queries, keys] of a view
const made = new Map(); // what was computed, by what it was computed from
const sizeOf = (kind) => [data.lines[data.kinds[kind].queries].pieces.length, data.lines[data.kinds[kind].keys].pieces.length];

// First means and views, which are small; then, with `whole`, the weights of every head.
async function prepare(whole) {
  const all = [];
  data.kinds.forEach((kind, number) => {
    const heads = kind.layers.reduce((sum, layer) => sum + layer.heads, 0);
    for (const packed of whole ? [kind.weights, kind.weighted] : [kind.mean, ...kind.views]) {
      if (packed) all.push(unpack(packed, number, whole ? heads : 1));
    }
  });
  await Promise.all(all);
}

// Where to begin: where there are best heads for alignment, else where one stream reads another.
function startingKind() {
  const found = (fits) => data.kinds.findIndex(fits);
  const best = found((kind) => kind.views.some((view) => view.name === "best"));
  return Math.max(0, best >= 0 ? best : found((kind) => kind.name.split(".")[0] !== kind.name.split(".")[1]));
}

// The best heads where there are any, else the mean of all.
function startingChoice(kind) {
  const best = data.kinds[kind].views.findIndex((view) => view.name === "best");
  return best >= 0 ? { view: best } : {};
}

async function unpack(packed, kind, heads) {
  const [queries, keys] = sizeOf(kind);
  const plain = await unpacked(packed.block);
  if (!packed.causal) return unpackedSteps.set(packed.block, plain);
  const steps = new Uint8Array(heads * queries * keys);
  let from = 0;
  for (let head = 0; head < heads; head++) {
    for (let query = 0; query < queries; query++) {
      const seen = Math.min(query + 1, keys);
      steps.set(plain.subarray(from, from + seen), (head * queries + query) * keys);
      from += seen;
    }
  }
  unpackedSteps.set(packed.block, steps);
}

const blockOf = (kind, weighted) => (weighted && data.kinds[kind].weighted) || data.kinds[kind].weights;

function steps(kind, layer, weighted = false) {
  const [queries, keys] = sizeOf(kind);
  const { first, heads } = data.kinds[kind].layers[layer];
  return unpackedSteps.get(blockOf(kind, weighted).block).subarray(first * queries * keys, (first + heads) * queries * keys);
}

function remembered(key, compute) {
  if (!made.has(key)) {
    if (made.size > 60) made.delete(made.keys().next().value);
    made.set(key, compute());
  }
  return made.get(key);
}

const plainTables = new Map();

// Numbers by step: unsigned (s / 255)^2, signed with 128 as 0.
function numbers(scale, signed) {
  const key = `${scale} ${signed}`;
  if (!plainTables.has(key)) {
    const signedRoot = (step) => Math.sign(step - 128) * ((step - 128) / 127) ** 2;
    plainTables.set(key, Float32Array.from({ length: 256 }, (_, step) => scale * (signed ? signedRoot(step) : SQUARE[step])));
  }
  return plainTables.get(key);
}

// Token weights [queries, keys] of a choice: a view, a head, the mean of a layer or of all.
function tokenWeights(kind, choice, weighted) {
  return remembered(`tokens ${kind} ${JSON.stringify(choice)} ${weighted}`, () => {
    const [queries, keys] = sizeOf(kind);
    const of = data.kinds[kind];
    const values = new Float32Array(queries * keys);
    if (choice.view !== undefined || (choice.layer === undefined && !weighted)) {
      const view = choice.view === undefined ? of.mean : of.views[choice.view];
      const plain = numbers(view.scale, view.signed);
      unpackedSteps.get(view.block).forEach((step, cell) => (values[cell] = plain[step]));
      return values;
    }
    let count = 0;
    of.layers.forEach((layer, place) => {
      if (choice.layer !== undefined && place !== choice.layer) return;
      const all = steps(kind, place, weighted);
      const plain = numbers(blockOf(kind, weighted).scale, false);
      for (let head = 0; head < layer.heads; head++) {
        if (choice.head !== undefined && head !== choice.head) continue;
        const start = head * queries * keys;
        for (let cell = 0; cell < queries * keys; cell++) values[cell] += plain[all[start + cell]];
        count++;
      }
    });
    if (count > 1) for (let cell = 0; cell < values.length; cell++) values[cell] /= count;
    return values;
  });
}

// By words: summed over the tokens that are attended to, averaged over those that attend (record.by_words).
function byWords(values, kind) {
  const [queries, keys] = [data.lines[data.kinds[kind].queries], data.lines[data.kinds[kind].keys]];
  const width = keys.pieces.length;
  const merged = new Float32Array(queries.words.length * keys.words.length);
  for (let query = 0; query < queries.pieces.length; query++) {
    const row = queries.word[query] * keys.words.length;
    const share = 1 / queries.tokens[queries.word[query]].length;
    for (let key = 0; key < width; key++) merged[row + keys.word[key]] += share * values[query * width + key];
  }
  return merged;
}

const isSigned = (kind = state.kind, choice = state.choice) => choice.view !== undefined && data.kinds[kind].views[choice.view].signed;

// The matrix as it is shown. `rows` and `columns` are numbers of units; what is hidden is not among them. With `hide`,
// rows that are not signed are shared out again over what is left; a row with nothing left stays 0.
function shown(kind = state.kind, choice = state.choice) {
  const key = ["shown", kind, JSON.stringify(choice), state.by, state.hide, state.weighted].join(" ");
  return remembered(key, () => {
    const signed = isSigned(kind, choice);
    const tokens = tokenWeights(kind, choice, state.weighted);
    const whole = state.by === "words" ? byWords(tokens, kind) : tokens;
    const [rows, columns] = ["queries", "keys"].map((side) => {
      const line = data.kinds[kind][side];
      const all = Array.from({ length: units(line) }, (_, index) => index);
      return state.hide ? all.filter((index) => !unit(line, index).control) : all;
    });
    const width = units(data.kinds[kind].keys);
    const values = new Float32Array(rows.length * columns.length);
    let peak = 0;
    rows.forEach((row, i) => {
      const sum = state.hide && !signed ? columns.reduce((total, column) => total + whole[row * width + column], 0) || 1 : 1;
      columns.forEach((column, j) => {
        const value = whole[row * width + column] / sum;
        values[i * columns.length + j] = value;
        peak = Math.max(peak, Math.abs(value));
      });
    });
    const places = { queries: new Map(rows.map((row, i) => [row, i])), keys: new Map(columns.map((column, j) => [column, j])) };
    return { rows, columns, values, signed, peak, places, at: (i, j) => values[i * columns.length + j] };
  });
}

// The colour's step for a value of what is shown: its root, so that small weights can be seen; signed ones by the peak.
function stepOf(value, matrix) {
  if (matrix.signed) return matrix.peak ? Math.round(128 + 127 * Math.sign(value) * Math.sqrt(Math.abs(value) / matrix.peak)) : 128;
  return Math.min(255, Math.round(255 * Math.sqrt(Math.max(0, value) / Math.max(1, matrix.peak))));
}

function lit(element, value, matrix) {
  const packed = (matrix.signed ? DIVERGING : RAMP)[stepOf(value, matrix)];
  element.style.background = rgb(packed);
  element.style.color = onto(packed);
}

function unlit(element) {
  element.style.background = element.style.color = "";
}

const colour = (value, matrix) => (matrix.signed ? diverging : ramp)(stepOf(value, matrix));

// What a place is tied to: [index, value] of the other side's units, strongest first; nothing if it is hidden.
function ties(place) {
  const matrix = shown();
  const here = matrix.places[place.side].get(place.index);
  if (here === undefined) return [];
  const [others, value] =
    place.side === "queries"
      ? [matrix.columns, (there) => matrix.at(here, there)]
      : [matrix.rows, (there) => matrix.at(there, here)];
  const found = others.map((index, there) => [index, value(there)]);
  return found.sort((a, b) => Math.abs(b[1]) - Math.abs(a[1]) || a[0] - b[0]);
}

const opposite = (side) => (side === "queries" ? "keys" : "queries");
