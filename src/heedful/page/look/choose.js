// The bar on top: which attention is shown, through which heads, by words or tokens. It sets `state` and nothing else.
{
  const radio = (name, value, label, pick) => {
    const input = el("input", { type: "radio", name, value, onchange: pick });
    return { input, made: el("label", {}, input, el("span", { dir: "auto", text: label })) };
  };

  const tick = (label, flip) => {
    const input = el("input", { type: "checkbox", onchange: (event) => timed(event, () => flip(input.checked)) });
    return { input, made: el("label", { class: "tick" }, input, el("span", { text: label })) };
  };

  const options = (select, all) => select.replaceChildren(...all.map(([value, label]) => el("option", { value, text: label })));

  panel({
    order: 8,
    name: "choose",
    bare: true,
    wants: () => data.kinds.length > 0,
    build(holder) {
      const kinds = data.kinds.map((kind, place) =>
        radio("kind", place, kind.label, (event) => timed(event, () => set({ kind: place }))),
      );
      const through = el("select", { id: "through" });
      const layer = el("select", { id: "layer", "aria-label": "Layer" });
      const head = el("select", { id: "head", "aria-label": "Head" });
      const by = ["words", "tokens"].map((value) => radio("by", value, value, (event) => timed(event, () => set({ by: value }))));
      const hide = tick("hide starts and ends", (on) => set({ hide: on }));
      const weighted = tick("weighted by values", (on) => set({ weighted: on }));
      const note = el("p", { class: "note-line", id: "note" });

      const pick = (event) =>
        timed(event, () => {
          const [what, place] = through.value.split(" ");
          if (what === "view") return set({ choice: { view: Number(place) } });
          if (what === "all") return set({ choice: {} });
          const layers = data.kinds[state.kind].layers;
          const chosen = Math.min(Number(layer.value) || 0, layers.length - 1);
          if (what === "layer") return set({ choice: { layer: chosen } });
          set({ choice: { layer: chosen, head: Math.min(Number(head.value) || 0, layers[chosen].heads - 1) } });
        });
      for (const select of [through, layer, head]) select.addEventListener("change", pick);

      const group = (legend, ...all) => el("fieldset", {}, el("legend", { text: legend }), ...all);
      holder.append(
        el("div", { class: "bar" },
          ...(kinds.length > 1 ? [group("Show", ...kinds.map((one) => one.made))] : []),
          group("through", through, layer, head),
          ...(data.lines.some((line) => line.words.length < line.pieces.length) ? [group("by", ...by.map((one) => one.made))] : []),
          el("fieldset", {}, ...(data.lines.some((line) => line.control.includes(true)) ? [hide.made] : []), ...(data.kinds.some((kind) => kind.weighted) ? [weighted.made] : [])),
        ),
        note,
      );

      return (changed) => {
        const kind = data.kinds[state.kind];
        const { choice } = state;
        if (changed.has("kind") || changed.has("loaded")) {
          const single = state.loaded && kind.layers.length > 0 ? [["layer", "the mean of a layer"], ["head", "one head"]] : [];
          options(through, [...kind.views.map((view, place) => [`view ${place}`, view.label]), ["all", "the mean of all heads"], ...single]);
          options(layer, kind.layers.map((one, place) => [place, `layer ${one.layer + 1}`]));
        }
        if (!["kind", "choice", "by", "hide", "weighted", "loaded"].some((key) => changed.has(key))) return;
        through.value = choice.view !== undefined ? `view ${choice.view}` : choice.head !== undefined ? "head" : choice.layer !== undefined ? "layer" : "all";
        layer.hidden = choice.layer === undefined;
        head.hidden = choice.head === undefined;
        if (choice.layer !== undefined) layer.value = choice.layer;
        if (choice.head !== undefined) {
          options(head, Array.from({ length: kind.layers[choice.layer].heads }, (_, place) => [place, `head ${place + 1}`]));
          head.value = choice.head;
        }
        kinds.forEach((one, place) => (one.input.checked = place === state.kind));
        by.forEach((one) => (one.input.checked = one.input.value === state.by));
        hide.input.checked = state.hide;
        weighted.input.checked = state.weighted;
        weighted.input.disabled = choice.view !== undefined;
        note.textContent = explained(kind);
      };
    },
  });
}

// What the choice is, in a sentence or three.
function explained(kind) {
  const { choice } = state;
  const heads = kind.layers.reduce((sum, layer) => sum + layer.heads, 0);
  const place = choice.layer === undefined ? "" : kind.layers[choice.layer].layer + 1;
  const parts = [];
  if (choice.view !== undefined) parts.push(kind.views[choice.view].note);
  else if (choice.layer === undefined) parts.push(`The mean of all ${heads} heads.`);
  else if (choice.head === undefined) parts.push(`The mean of the ${kind.layers[choice.layer].heads} heads of layer ${place}.`);
  else parts.push(`Layer ${place}, head ${choice.head + 1}, alone.`);
  if (state.weighted && choice.view === undefined) parts.push("Weights are those of what the values add, not of attention alone.");
  if (state.hide && isSigned()) parts.push("Starts and ends are hidden.");
  else if (state.hide) parts.push("Starts and ends are hidden; what they got is shared out again, so each row sums to 1.");
  return parts.join(" ");
}
