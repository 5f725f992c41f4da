// All heads of a kind as small pictures, layers down and heads across, or in order of a measure; and one of them large.
{
  const SMALL = 96; // CSS pixels of a small picture at most
  const LARGE = 260;
  const told = (name) => data.measures.find((one) => one.name === name) ?? { label: name, note: "", telling: "high" };

  // Steps [queries, keys] of a head in a canvas of at most `most` device pixels a side; of cells that share a pixel the
  // largest is drawn.
  function picture(canvas, all, head, [queries, keys], most) {
    const pool = Math.max(1, Math.ceil(Math.max(queries, keys) / most));
    const [rows, columns] = [Math.ceil(queries / pool), Math.ceil(keys / pool)];
    canvas.width = Math.max(1, columns);
    canvas.height = Math.max(1, rows);
    const image = new ImageData(canvas.width, canvas.height);
    const pixels = new Uint32Array(image.data.buffer);
    const start = head * queries * keys;
    if (pool === 1) for (let cell = 0; cell < queries * keys; cell++) pixels[cell] = RAMP[all[start + cell]];
    else {
      const largest = new Uint8Array(rows * columns);
      for (let query = 0; query < queries; query++) {
        const row = Math.floor(query / pool) * columns;
        const from = start + query * keys;
        for (let key = 0, column = row; key < keys; column++) {
          const end = Math.min(key + pool, keys);
          for (let most = largest[column]; key < end; key++) if (all[from + key] > most) largest[column] = most = all[from + key];
        }
      }
      for (let cell = 0; cell < largest.length; cell++) pixels[cell] = RAMP[largest[cell]];
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
  }

  // Where each value lies between the least and the most of its measure, 0..255.
  function spread(table) {
    const all = table.flat().filter((value) => value !== null);
    const [low, high] = [Math.min(...all), Math.max(...all)];
    return (value) => (value === null || value === undefined ? 0 : high > low ? Math.round((255 * (value - low)) / (high - low)) : 128);
  }

  panel({
    order: 30,
    name: "heads",
    title: "Every head",
    lead: "One small picture for each head: layers down, heads across. Choose one, and the text and the matrix above show it alone.",
    heavy: true,
    wants: () => data.kinds.some((kind) => kind.layers.length > 0),
    build(section) {
      const sort = el("select", { id: "sort" });
      const turn = el("button", { type: "button", class: "pill" });
      const about = el("p", { class: "quiet" });
      const order = el("p", { class: "unseen", role: "status" });
      const grid = el("div", { class: "heads", role: "group" });
      const large = el("canvas", { class: "large" });
      const heat = el("canvas", { class: "heat-map", role: "img" });
      const facts = el("dl", { class: "facts" });
      const title = el("p", { class: "tag" });
      const aside = el("div", { class: "aside" }, title, large, facts, el("p", { class: "tag", text: "Heat of the measure" }), heat);
      section.append(el("div", { class: "bar plain" }, el("fieldset", {}, el("legend", { text: "in order of" }), sort, turn)), about, order, el("div", { class: "two" }, el("div", { class: "scroll" }, grid), aside));
      let falling = true;
      let buttons = [];
      let widest = 1;
      const tables = () => data.kinds[state.kind].measures;
      const chosen = () => tables()[Number(sort.value)];

      const draw = () => {
        const kind = data.kinds[state.kind];
        widest = Math.max(1, ...kind.layers.map((layer) => layer.heads));
        const most = Math.round(SMALL * (devicePixelRatio || 1));
        buttons = kind.layers.flatMap((layer, place) =>
          Array.from({ length: layer.heads }, (_, head) => {
            const canvas = el("canvas", { "aria-hidden": "true" });
            const made = el("button", { type: "button", class: "head", tabindex: -1 }, canvas, el("span", { text: `${layer.layer + 1}·${head + 1}` }), el("small"));
            made.addEventListener("click", (event) => timed(event, () => set({ choice: { layer: place, head } })));
            return { made, canvas, place, head };
          }),
        );
        for (const one of buttons) picture(one.canvas, steps(state.kind, one.place, state.weighted), one.head, sizeOf(state.kind), most);
      };

      const arrange = () => {
        const measured = chosen();
        const value = (one) => measured?.[1][one.place]?.[one.head] ?? null;
        const sorted = [...buttons];
        const sign = falling ? -1 : 1;
        if (measured) sorted.sort((a, b) => (value(a) === null) - (value(b) === null) || sign * (value(a) - value(b)) || a.place - b.place || a.head - b.head);
        const step = measured ? spread(measured[1]) : null;
        sorted.forEach((one, rank) => {
          const name = `layer ${data.kinds[state.kind].layers[one.place].layer + 1}, head ${one.head + 1}`;
          const [, , small] = one.made.children;
          small.textContent = measured ? (value(one) === null ? "–" : Number(value(one).toPrecision(3))) : "";
          one.made.setAttribute("aria-label", measured ? `${name}: ${told(measured[0]).label} ${small.textContent}, place ${rank + 1} of ${sorted.length}` : name);
          small.style.background = measured ? ramp(step(value(one))) : "";
          small.style.color = measured ? onto(RAMP[step(value(one))]) : "";
          one.made.style.gridRow = measured ? "" : one.place + 1;
          one.made.style.gridColumn = measured ? "" : one.head + 1;
        });
        grid.style.setProperty("--heads", widest);
        grid.setAttribute("aria-label", `Heads of ${data.kinds[state.kind].label}`);
        grid.replaceChildren(...sorted.map((one) => one.made));
        turn.hidden = heat.hidden = aside.children[3].hidden = !measured;
        turn.textContent = falling ? "highest first" : "lowest first";
        about.textContent = measured ? told(measured[0]).note : "";
        order.textContent = measured ? `In order of ${told(measured[0]).label}, ${turn.textContent}.` : "In order of layers and heads.";
        if (measured) warm(measured, step);
      };

      const warm = (measured, step) => {
        const layers = data.kinds[state.kind].layers;
        heat.width = widest;
        heat.height = layers.length;
        const image = new ImageData(widest, layers.length);
        const pixels = new Uint32Array(image.data.buffer);
        layers.forEach((layer, place) => {
          for (let head = 0; head < layer.heads; head++) pixels[place * widest + head] = RAMP[step(measured[1][place]?.[head])];
        });
        heat.getContext("2d").putImageData(image, 0, 0);
        heat.style.aspectRatio = `${widest} / ${layers.length}`;
        heat.setAttribute("aria-label", `${told(measured[0]).label} of every head, layers down, heads across`);
      };

      const mark = () => {
        const { layer, head } = state.choice;
        const current = buttons.find((one) => one.place === layer && one.head === head) ?? null;
        for (const one of buttons) one.made.setAttribute("aria-pressed", String(one === current));
        if (!buttons.some((one) => one.made.tabIndex === 0) || current) {
          for (const one of buttons) one.made.tabIndex = -1;
          const first = current?.made ?? grid.firstElementChild;
          if (first) first.tabIndex = 0;
        }
        const seen = current ?? buttons[0];
        if (!seen) return;
        title.textContent = `Layer ${data.kinds[state.kind].layers[seen.place].layer + 1}, head ${seen.head + 1}${current ? "" : " (none is chosen)"}`;
        const [queries, keys] = sizeOf(state.kind);
        picture(large, steps(state.kind, seen.place, state.weighted), seen.head, [queries, keys], Math.round(LARGE * (devicePixelRatio || 1)));
        large.setAttribute("aria-label", `${title.textContent}, large`);
        facts.replaceChildren(...tables().flatMap(([name, table]) => [el("dt", { text: told(name).label }), el("dd", { text: Number((table[seen.place]?.[seen.head] ?? NaN).toPrecision(3)) })]));
      };

      roving(grid, () => [...grid.children]);
      sort.addEventListener("change", (event) =>
        timed(event, () => {
          falling = !chosen() || told(chosen()[0]).telling === "high"; // the telling end comes first
          arrange();
          mark();
        }),
      );
      turn.addEventListener("click", (event) => timed(event, () => ((falling = !falling), arrange(), mark())));
      return (changed) => {
        const anew = ["kind", "weighted", "theme"].some((name) => changed.has(name));
        if (changed.has("kind")) sort.replaceChildren(el("option", { value: -1, text: "layer and head" }), ...tables().map(([name], place) => el("option", { value: place, text: told(name).label })));
        if (anew) draw();
        if (anew) arrange();
        if (anew || changed.has("choice")) mark();
      };
    },
  });
}
