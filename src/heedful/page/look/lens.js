// What each layer would say if it were the last: a column for each position, the first layer above, the answer below.
{
  const FEW = 5; // guesses told of a cell

  const best = (lens, layer, column) => lens.guesses[layer]?.[column]?.[0] ?? null;

  // A grid of one lens, and below it what one cell says.
  function grid(lens, section) {
    const line = data.lines[lens.line];
    const detail = el("div", { class: "lens-detail" });
    const read = (token) => (line ? inked(line.pieces[token] ?? "") : String(token + 1));
    const last = lens.layers.length - 1;
    let chosen = null;

    const tell = (button) => {
      const [layer, column] = button.dataset.cell.split(" ").map(Number);
      if (chosen) chosen.removeAttribute("aria-current");
      chosen = button;
      chosen.setAttribute("aria-current", "true");
      const guesses = lens.guesses[layer][column].slice(0, FEW);
      const rows = guesses.map(([text, probability]) => {
        const track = el("span", { class: "lens-bar" }, el("i"));
        track.firstChild.style.width = `${100 * Math.min(1, Math.max(0, probability ?? 0))}%`;
        return el("li", {}, el("bdi", { text: inked(text) }), track, el("b", { text: percent(probability ?? 0) }));
      });
      const where = [el("bdi", { class: "strong", text: lens.layers[layer] }), " at ", el("bdi", { class: "strong", text: read(lens.positions[column]) }), ` (token ${lens.positions[column] + 1})`];
      detail.replaceChildren(el("p", { class: "tag" }, ...where), el("ol", { class: "lens-guesses" }, ...rows));
      say(detail.textContent);
    };

    const cell = (layer, column) => {
      const guess = best(lens, layer, column);
      if (!guess) return el("td");
      const [text, probability] = guess;
      const button = el("button", { type: "button", class: "lens-cell", tabindex: layer === last && column === 0 ? 0 : -1, "data-cell": `${layer} ${column}` }, el("bdi", { text: inked(text) }), el("small", { text: percent(probability ?? 0) }));
      if (text === best(lens, last, column)?.[0]) button.classList.add("settled");
      return el("td", {}, button);
    };

    const head = lens.positions.map((token, column) => el("th", { scope: "col", "data-column": column }, el("bdi", { text: read(token) })));
    const body = lens.layers.map((label, layer) => el("tr", {}, el("th", { scope: "row", dir: "auto", text: label }), ...lens.positions.map((_, column) => cell(layer, column))));
    const table = el("table", { class: "lens", dir: line?.direction ?? "ltr" }, el("thead", {}, el("tr", {}, el("td", { text: "read" }), ...head)), el("tbody", {}, ...body));
    const cells = [...table.querySelectorAll("button")];
    roving(table, () => cells);
    table.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button) timed(event, () => tell(button));
    });
    section.append(el("p", { class: "tag", dir: "auto", text: lens.label }), el("div", { class: "scroll" }, table), detail);
    if (cells.length > 0) tell(cells.find((one) => one.tabIndex === 0) ?? cells[0]);
    return { lens, head, cells };
  }

  function shade({ lens, cells }) {
    for (const button of cells) {
      const [layer, column] = button.dataset.cell.split(" ").map(Number);
      const packed = RAMP[Math.round(255 * Math.sqrt(Math.min(1, Math.max(0, best(lens, layer, column)[1] ?? 0))))];
      button.style.background = rgb(packed);
      button.style.color = onto(packed);
    }
  }

  // The column of the word that is chosen above.
  function mark({ lens, head }) {
    const { at } = state;
    const tokens = at && data.lines[at.line] === data.lines[lens.line] ? unit(at.line, at.index).tokens : [];
    head.forEach((one, column) => one.classList.toggle("chosen", tokens.includes(lens.positions[column])));
  }

  panel({
    order: 50,
    name: "lens",
    title: "What each layer would say",
    lead: "Each column is a place in the text, each row a layer, read as if it were the last: the darker, the surer. What is bold is what the last layer says. Choose a field for more.",
    wants: () => data.lenses.some((lens) => lens.positions.length > 0),
    build(section) {
      const grids = data.lenses.filter((lens) => lens.positions.length > 0).map((lens) => grid(lens, section));
      section.append(el("p", { class: "quiet", text: "Earlier layers were never trained to speak through the last one’s words, so what they say is a hint, not a thought (logit lens, nostalgebraist 2020)." }));
      return (changed) => {
        if (changed.has("theme")) grids.forEach(shade);
        if (changed.has("at") || changed.has("by")) grids.forEach(mark);
      };
    },
  });
}
