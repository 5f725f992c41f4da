// The matrix of what is chosen: who reads down, what is read across. One canvas; labels beside it; a table on demand.
{
  const SMALLEST = 2; // CSS pixels of a cell
  const LARGEST = 38;
  const LABELLED = 12; // cells at least as large have labels
  const TOUCHED = 17; // the least where the page is as narrow as a phone
  const WHOLE = 2500; // cells that a table shows; of more, only the strongest of each row
  const measure = document.createElement("canvas").getContext("2d");

  const widest = (side, indices) => {
    measure.font = "14px system-ui, sans-serif";
    return Math.min(130, Math.max(20, ...indices.map((index) => measure.measureText(unit(lineOf(side), index).text).width)));
  };

  function layout(matrix, room) {
    const [left, high] = [widest("queries", matrix.rows), widest("keys", matrix.columns)];
    const ratio = devicePixelRatio || 1;
    const fits = (room - left - 14 - high * 0.7) / Math.max(1, matrix.columns.length);
    const cell = Math.max(Math.round(SMALLEST * ratio), Math.floor(Math.min(LARGEST, Math.max(fits, room < 560 && matrix.columns.length <= 60 ? TOUCHED : 0)) * ratio)) / ratio;
    const labelled = cell >= LABELLED;
    return { cell, ratio, labelled, left: labelled ? left + 12 : 0, top: labelled ? high * 0.72 + 20 : 0, lean: labelled ? high * 0.7 : 0 };
  }

  function colours(matrix, canvas, at) {
    const size = Math.round(at.cell * at.ratio);
    const [rows, columns] = [matrix.rows.length, matrix.columns.length];
    const gap = at.cell >= 8 ? Math.round(at.ratio) : 0;
    canvas.width = Math.max(1, columns * size);
    canvas.height = Math.max(1, rows * size);
    canvas.style.width = `${columns * at.cell}px`;
    canvas.style.height = `${rows * at.cell}px`;
    const image = new ImageData(canvas.width, canvas.height);
    const pixels = new Uint32Array(image.data.buffer);
    const table = matrix.signed ? DIVERGING : RAMP;
    for (let i = 0; i < rows; i++) {
      const start = i * size * canvas.width;
      for (let j = 0; j < columns; j++) {
        pixels.fill(table[stepOf(matrix.at(i, j), matrix)], start + j * size, start + (j + 1) * size - gap);
      }
      for (let y = 1; y < size - gap; y++) pixels.copyWithin(start + y * canvas.width, start, start + canvas.width);
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
  }

  function labels(matrix, at, holder) {
    if (!at.labelled) return [];
    const made = (side, index, x, y) => {
      const { text: words, control } = unit(lineOf(side), index);
      const label = el("bdi", { class: `label ${side}${control ? " control" : ""}`, text: words, title: words });
      label.style.left = `${x}px`;
      label.style.top = `${y}px`;
      label.style.fontSize = `${Math.min(14, at.cell * 0.64 + 1)}px`;
      if (side === "queries") label.style.width = `${at.left - 8}px`;
      label.addEventListener("click", (event) => timed(event, () => choose({ line: lineOf(side), side, index }, withOthers(event))));
      holder.append(label);
    };
    matrix.rows.forEach((index, i) => made("queries", index, 0, at.top + (i + 0.5) * at.cell));
    matrix.columns.forEach((index, j) => made("keys", index, at.left + (j + 0.5) * at.cell, at.top - 6));
  }

  function table(matrix) {
    const name = (side, index) => el("bdi", { text: unit(lineOf(side), index).text });
    const row = (i, ...cells) => el("tr", {}, el("th", { scope: "row" }, name("queries", matrix.rows[i])), ...cells);
    const whole = matrix.values.length <= WHOLE;
    const head = whole
      ? matrix.columns.map((index) => el("th", { scope: "col", class: "number" }, name("keys", index)))
      : [el("th", { scope: "col", text: "its strongest five" })];
    const body = matrix.rows.map((index, i) => {
      if (whole) return row(i, ...matrix.columns.map((_, j) => el("td", { class: "number", text: matrix.at(i, j).toFixed(3) })));
      const five = ties({ line: lineOf("queries"), side: "queries", index }).slice(0, 5);
      return row(i, el("td", {}, ...five.flatMap(([key, value]) => [name("keys", key), ` ${number(value)}  `])));
    });
    return el("table", {}, el("thead", {}, el("tr", {}, el("td"), ...head)), el("tbody", {}, ...body));
  }

  function legend(matrix) {
    const canvas = el("canvas", { width: 129, height: 1, class: "legend-ramp", "aria-hidden": "true" });
    const image = new ImageData(129, 1);
    const pixels = new Uint32Array(image.data.buffer);
    const [low, high] = [matrix.signed ? -matrix.peak : 0, Math.max(matrix.peak, matrix.signed ? 0 : 1)];
    for (let x = 0; x <= 128; x++) {
      const value = low + ((high - low) * x) / 128;
      pixels[x] = (matrix.signed ? DIVERGING : RAMP)[stepOf(value, matrix)];
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
    return [el("span", { text: matrix.signed ? number(low) : "0" }), canvas, el("span", { text: matrix.signed ? number(high) : String(Number(high.toPrecision(3))) })];
  }

  panel({
    order: 20,
    name: "alignment",
    title: "The whole matrix",
    lead: "Each row is a word that reads, each column a word that is read. A row says how one word shares out its attention.",
    wants: () => data.kinds.length > 0,
    build(section) {
      const canvas = el("canvas");
      const cursor = el("div", { class: "cursor", hidden: true });
      const bands = el("div", { class: "bands" });
      const names = el("div", {});
      const plane = el("div", { class: "plane" }, canvas, names, bands, cursor);
      const holder = el("div", { class: "scroll matrix", tabindex: 0, role: "application", "aria-roledescription": "matrix" }, plane);
      const readout = el("p", { class: "readout" });
      const key = el("div", { class: "legend" });
      const grid = el("div", { class: "scroll", hidden: true, tabindex: 0, role: "region", "aria-label": "The matrix as a table" });
      const toggle = el("button", { type: "button", class: "pill", text: "Show as table", "aria-pressed": "false" });
      section.append(el("div", { class: "two" }, el("div", {}, holder, grid), el("div", { class: "aside" }, el("p", { class: "tag", text: "This cell" }), readout, el("p", { class: "tag", text: "Colour" }), key, toggle)));
      let at = null;
      let cell = null;

      const read = (i, j, aloud) => {
        const matrix = shown();
        cell = i === null ? null : [i, j];
        cursor.hidden = cell === null;
        if (cell === null) return void (readout.textContent = "Point at a cell to read it; arrow keys move, Enter chooses its row.");
        cursor.style.transform = `translate(${at.left + j * at.cell}px,${at.top + i * at.cell}px)`;
        cursor.style.width = cursor.style.height = `${at.cell}px`;
        const [query, read] = [unit(lineOf("queries"), matrix.rows[i]).text, unit(lineOf("keys"), matrix.columns[j]).text];
        const verb = matrix.signed ? " owes " : " reads ";
        readout.replaceChildren(el("b", { text: number(matrix.at(i, j)) }), el("bdi", { class: "strong", text: query }), verb, el("bdi", { class: "strong", text: read }));
        if (aloud) say(`${query}${verb}${read} ${number(matrix.at(i, j))}`);
      };

      const under = (event) => {
        const matrix = shown();
        const box = canvas.getBoundingClientRect();
        const [j, i] = [event.clientX - box.left, event.clientY - box.top].map((offset) => Math.floor(offset / at.cell));
        return i >= 0 && j >= 0 && i < matrix.rows.length && j < matrix.columns.length ? [i, j] : null;
      };
      const row = (i) => ({ line: lineOf("queries"), side: "queries", index: shown().rows[i] });
      canvas.addEventListener("pointermove", (event) => under(event) && read(...under(event)));
      canvas.addEventListener("pointerleave", () => read(null));
      canvas.addEventListener("click", (event) => under(event) && timed(event, () => choose(row(under(event)[0]), withOthers(event))));
      holder.addEventListener("keydown", (event) => {
        const matrix = shown();
        const moves = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0], Home: [0, -1e9], End: [0, 1e9] };
        const move = moves[event.key];
        if (matrix.values.length === 0 || event.altKey || event.target !== holder) return;
        if (event.key === "Enter" || event.key === " ") timed(event, () => choose(row(cell ? cell[0] : 0), withOthers(event)));
        else if (!move) return;
        event.preventDefault();
        const [i, j] = cell && move ? [cell[0] + move[0], cell[1] + move[1]] : (cell ?? [0, 0]);
        read(Math.min(Math.max(i, 0), matrix.rows.length - 1), Math.min(Math.max(j, 0), matrix.columns.length - 1), Boolean(move));
        cursor.scrollIntoView({ block: "nearest", inline: "nearest" });
      });
      holder.addEventListener("blur", () => read(null));
      toggle.addEventListener("click", () => {
        const on = toggle.getAttribute("aria-pressed") !== "true";
        toggle.setAttribute("aria-pressed", String(on));
        [holder.hidden, grid.hidden] = [on, !on];
        grid.replaceChildren(...(on ? [table(shown())] : []));
      });

      const draw = () => {
        const matrix = shown();
        at = layout(matrix, holder.parentElement.clientWidth);
        colours(matrix, canvas, at);
        canvas.style.left = `${at.left}px`;
        canvas.style.top = `${at.top}px`;
        plane.style.width = `${at.left + matrix.columns.length * at.cell + at.lean}px`;
        plane.style.height = `${at.top + matrix.rows.length * at.cell}px`;
        names.replaceChildren();
        labels(matrix, at, names);
        holder.setAttribute("aria-label", `${data.kinds[state.kind].label}: ${matrix.rows.length} rows that read, ${matrix.columns.length} columns that are read. Arrow keys move among cells, Enter chooses a row.`);
        key.replaceChildren(...legend(matrix));
        if (!grid.hidden) grid.replaceChildren(table(matrix));
        read(null);
      };

      const mark = () => {
        const matrix = shown();
        const [width, height] = [matrix.columns.length * at.cell, matrix.rows.length * at.cell];
        const all = state.peek && !state.pins.some((pin) => same(pin, state.peek)) ? [...state.pins, state.peek] : state.pins;
        bands.replaceChildren(
          ...all.flatMap((place, rank) => {
            const there = matrix.places[place.side].get(place.index);
            if (there === undefined) return [];
            const band = el("div", { class: "band" });
            const [x, y, w, h] = place.side === "queries" ? [0, there * at.cell, width, at.cell] : [there * at.cell, 0, at.cell, height];
            Object.assign(band.style, { left: `${at.left + x}px`, top: `${at.top + y}px`, width: `${w}px`, height: `${h}px`, borderColor: `var(--s${rank % 6})` });
            return [band];
          }),
        );
      };

      return (changed) => {
        if (["kind", "choice", "by", "hide", "weighted", "theme", "width"].some((name) => changed.has(name))) draw();
        mark();
      };
    },
  });
}
