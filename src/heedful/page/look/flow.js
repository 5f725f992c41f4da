// How a chosen word was put together: its attention traced back through the layers of its stream and, where it reads
// another stream, on through that one's. What is traced is a share of 1 that starts at the word and is split at every
// attention: half stays where it is (the residual connection, as in rollout: Abnar & Zuidema 2020), half goes to what
// the mean of the heads reads.
{
  const STAYS = 0.5;
  const KEPT = 24; // tokens that are traced on from a layer
  const EDGES = 10; // lines drawn between two layers
  const SIDE = 112; // for words, left and right
  const [OTHER, OWN] = [0, 1];
  const LEAST = 0.004; // shares below it are neither traced nor drawn

  // Blocks of each stream in order, each with its attentions in order: stream -> [[{ kind, layer, to }, ..], ..]. Null
  // where some are missing: there is no way through.
  function streams() {
    const found = new Map();
    data.kinds.forEach((kind, number) => {
      const [from, to] = kind.name.split(".");
      if (!found.has(from)) found.set(from, { line: kind.queries, blocks: new Map() });
      kind.layers.forEach((layer, place) => {
        const block = layer.layer;
        const { blocks } = found.get(from);
        if (!blocks.has(block)) blocks.set(block, []);
        blocks.get(block).push({ kind: number, layer: place, to, order: layer.order });
      });
    });
    for (const { blocks } of found.values()) if ([...blocks.keys()].some((block) => block >= blocks.size)) return null;
    for (const stream of found.values()) stream.blocks = [...stream.blocks].sort((a, b) => a[0] - b[0]).map(([, all]) => all.sort((a, b) => a.order - b.order));
    return found;
  }

  // The largest of some shares as [number, share], largest first.
  const strongest = (shares, count, least = LEAST) => {
    const found = [];
    shares.forEach((share, number) => share >= least && found.push([number, share]));
    return found.sort((a, b) => b[1] - a[1]).slice(0, count);
  };

  // Mean of the heads of one row [keys].
  function row(kind, layer, query) {
    const { heads } = data.kinds[kind].layers[layer];
    const [queries, keys] = sizeOf(kind);
    const all = steps(kind, layer);
    const mean = new Float32Array(keys);
    for (let head = 0; head < heads; head++) {
      const start = (head * queries + query) * keys;
      for (let key = 0; key < keys; key++) mean[key] += SQUARE[all[start + key]];
    }
    for (let key = 0; key < keys; key++) mean[key] *= data.kinds[kind].weights.scale / Math.max(1, heads);
    return mean;
  }

  // Walks a stream from its last block to its first and gives the shares of the tokens it begins with. What goes to the
  // stream `other` is added to `sides`; there it arrives at block `top`.
  function walk(slot, name, blocks, begin, { other, top, edges, sides }) {
    let shares = begin;
    for (let block = blocks.length; block > 0; block--) {
      const before = new Float32Array(shares.length);
      for (const [query, share] of strongest(shares, KEPT)) {
        let left = share;
        for (const { kind, layer, to } of blocks[block - 1].toReversed()) {
          if (to !== name && to !== other) continue;
          const [into, slotTo, blockTo] = to === name ? [before, slot, block - 1] : [sides, OTHER, top];
          const weights = row(kind, layer, query);
          const part = left * (1 - STAYS);
          let sum = 0;
          for (let key = 0; key < weights.length; key++) {
            const gone = part * weights[key];
            sum += weights[key];
            into[key] += gone;
            if (gone >= LEAST / 4) edges.push({ from: [slot, block, query], to: [slotTo, blockTo, key], share: gone });
          }
          left -= part * Math.min(1, sum); // who sees nothing stays as it is
        }
        before[query] += left;
        edges.push({ from: [slot, block, query], to: [slot, block - 1, query], share: left, stays: true });
      }
      shares = before;
    }
    return shares;
  }

  // The streams that are drawn, from left to right, with their depth and what they begin with, and the edges between.
  function trace(place) {
    const all = streams();
    const [from, to] = data.kinds[state.kind].name.split(".");
    const name = place.side === "queries" ? from : to;
    const own = all.get(name);
    if (!own) return null;
    const other = own.blocks.flat().find((read) => read.to !== name)?.to;
    // A stream that reads this one, too (as in co-attention), is entered but not traced on.
    const theirs = all.get(other)?.blocks ?? [];
    const back = theirs.flat().some((read) => read.to === name);
    const depth = back ? 0 : theirs.length;
    const { tokens } = unit(place.line, place.index);
    const begin = new Float32Array(data.lines[place.line].pieces.length);
    for (const token of tokens) begin[token] = 1 / tokens.length;
    const found = { other, top: depth, edges: [], sides: new Float32Array(other === undefined ? 0 : tokensOf(other)) };
    const begun = walk(OWN, name, own.blocks, begin, found);
    const drawn = [{ slot: OWN, name, depth: own.blocks.length, begun }];
    if (other !== undefined) {
      const shares = depth > 0 ? walk(OTHER, other, theirs, found.sides, { edges: found.edges }) : found.sides;
      drawn.unshift({ slot: OTHER, name: other, depth, begun: shares });
    }
    for (const one of drawn) one.line = lineOfStream(one.name);
    return { streams: drawn, edges: found.edges };
  }

  // The line a stream reads, whose tokens its states begin with: better said by a kind that reads it.
  function lineOfStream(name) {
    const read = data.kinds.find((kind) => kind.name.split(".")[1] === name);
    return read ? read.keys : data.kinds.find((kind) => kind.name.split(".")[0] === name).queries;
  }

  const tokensOf = (name) => data.lines[lineOfStream(name)].pieces.length;
  const unitOf = (line, token) => (state.by === "words" ? data.lines[line].word[token] : token);
  const byUnit = (line, shares) => {
    const found = new Float32Array(units(line));
    shares.forEach((share, token) => (found[unitOf(line, token)] += share));
    return found;
  };

  // Edges between words, the strongest of each gap between two layers.
  function merged({ streams: drawn, edges }) {
    const lines = new Map(drawn.map(({ slot, line }) => [slot, line]));
    const gaps = new Map();
    for (const { from, to, share, stays } of edges) {
      const ends = [from, to].map(([slot, block, token]) => [slot, block, unitOf(lines.get(slot), token)]);
      const gap = `${from[0]} ${from[1]} ${to[0]}`;
      if (!gaps.has(gap)) gaps.set(gap, new Map());
      const key = ends[0][2] * 1e6 + ends[1][2];
      const edge = gaps.get(gap).get(key);
      if (edge) edge.share += share;
      else gaps.get(gap).set(key, { from: ends[0], to: ends[1], share, stays });
    }
    return [...gaps.values()]
      .flatMap((gap) => [...gap.values()].filter(({ share }) => share >= LEAST).sort((a, b) => b.share - a.share).slice(0, EDGES))
      .sort((a, b) => a.share - b.share);
  }

  // Where things are: columns are layers, rows are words.
  function layout(drawn, room) {
    const step = Math.min(24, Math.max(4, 620 / Math.max(...drawn.map(({ line }) => units(line)))));
    const gap = drawn.length > 1 ? 118 : 0;
    const columns = drawn.reduce((sum, { depth }) => sum + depth, 0);
    const column = Math.max(24, Math.min(130, (room - 2 * SIDE - gap) / Math.max(1, columns)));
    const left = new Map(drawn.map(({ slot }, place) => [slot, SIDE + place * (column * drawn[0].depth + gap)]));
    return {
      step, column, left,
      width: 2 * SIDE + gap + column * columns,
      height: 40 + step * Math.max(...drawn.map(({ line }) => units(line))),
      spot: ([slot, block, index]) => [left.get(slot) + column * block, 32 + (index + 0.5) * step],
    };
  }

  function picture(found, place, room) {
    const at = layout(found.streams, room);
    const made = svg("svg", { class: "flow", viewBox: `0 0 ${at.width} ${at.height}`, width: at.width, height: at.height, role: "img" });
    const dots = new Map();
    for (const { from, to, share, stays } of merged(found)) {
      const [[x, y], [ex, ey]] = [at.spot(from), at.spot(to)];
      const kind = stays ? "edge stays" : from[0] === to[0] ? "edge" : "edge across";
      const path = svg("path", { class: kind, d: `M${x} ${y}C${(x + ex) / 2} ${y} ${(x + ex) / 2} ${ey} ${ex} ${ey}` });
      path.style.strokeWidth = `${0.8 + 9 * share}px`;
      path.style.strokeOpacity = Math.min(0.95, 0.22 + 1.1 * Math.sqrt(share));
      made.append(path);
      for (const end of [from, to]) dots.set(end.join(" "), [...at.spot(end), Math.max(share, dots.get(end.join(" "))?.[2] ?? 0)]);
    }
    for (const [cx, cy, share] of dots.values()) made.append(svg("circle", { cx, cy, r: Math.min(at.step / 2, 1.5 + 3 * Math.sqrt(share)) }));
    for (const { slot, depth } of found.streams) {
      for (let block = 0; block <= depth; block++) {
        made.append(svg("text", { class: "small", x: at.left.get(slot) + at.column * block, y: 16, "text-anchor": "middle" }, block === 0 ? "0" : String(block)));
      }
    }
    names(made, found, place, at);
    return made;
  }

  function names(made, found, place, at) {
    const write = (line, index, x, anchor, strong) => {
      const words = unit(line, index).text;
      const label = svg("text", { class: strong ? "word" : "faint", x, y: 32 + (index + 0.5) * at.step + 4.5, "text-anchor": anchor });
      label.textContent = words.length <= 13 ? words : `${words.slice(0, 12)}…`;
      made.append(label);
    };
    const roomy = at.step >= 13;
    for (const { slot, line, begun } of found.streams) {
      const strong = new Set(strongest(byUnit(line, begun), roomy ? 8 : 5).map(([index]) => index));
      const every = roomy && slot === found.streams[0].slot;
      for (let index = 0; index < units(line); index++) {
        if (strong.has(index) || every) write(line, index, at.left.get(slot) - 10, "end", strong.has(index));
      }
    }
    const own = found.streams.at(-1);
    write(place.line, place.index, at.left.get(OWN) + at.column * own.depth + 10, "start", true);
  }

  panel({
    order: 40,
    name: "flow",
    title: "Through the layers",
    lead: "From the chosen word, on the right, back through every layer to the words it was made of, on the left.",
    heavy: true,
    wants: () => data.kinds.some((kind) => kind.layers.length > 0) && streams() !== null,
    build(section) {
      const holder = el("div", { class: "scroll" });
      const caption = el("p", { class: "quiet" });
      section.append(holder, caption);
      return (changed) => {
        if (!["at", "by", "kind", "width", "theme"].some((name) => changed.has(name))) return;
        const found = state.at && trace(state.at);
        if (!found) {
          holder.replaceChildren();
          caption.textContent = state.at ? "This word's stream has no layers of its own here." : "Choose a word to see what it was made of.";
          return;
        }
        const room = section.clientWidth - 2 * parseFloat(getComputedStyle(section).paddingLeft);
        const made = picture(found, state.at, room);
        const sums = found.streams
          .flatMap(({ line, begun }) => strongest(byUnit(line, begun), 5, 1e-6).map(([index, share]) => [line, index, share]))
          .sort((a, b) => b[2] - a[2])
          .slice(0, 5);
        made.setAttribute("aria-label", `Flow to ${text(state.at)}, mostly from ${sums.map(([line, index]) => unit(line, index).text).join(", ")}`);
        holder.replaceChildren(made);
        caption.replaceChildren(
          el("bdi", { class: "strong", text: text(state.at) }), " was made mostly of ",
          ...sums.flatMap(([line, index, share], rank) => [rank ? ", " : "", el("bdi", { class: "strong", text: unit(line, index).text }), ` ${percent(share)}`]),
          `. Each line carries a share of attention, mean of all heads; at every attention half stays with the word itself (the residual connection, dashed). The ${EDGES} strongest lines between two layers are drawn.`,
        );
      };
    },
  });
}
