// The text as two lines, what is read above and who reads below: choose a word, and what it is tied to lights up with
// its numbers; several can be kept side by side.
{
  const STRONG = 5; // ties that are told and drawn
  const LEAST = 0.02; // numbers below it are not written under a word

  const reads = (place, count = STRONG) =>
    ties(place).filter(([, value]) => Math.abs(value) >= 0.0005).slice(0, count);

  // "Hund reads dog 0.831, small 0.102", as text and as what can be inserted.
  function told(place) {
    const line = lineOf(opposite(place.side));
    const verb = place.side === "queries" ? (isSigned() ? " owes " : " reads ") : isSigned() ? " counts for " : " is read by ";
    const found = reads(place);
    const list = found.flatMap(([index, value], rank) => [rank ? ", " : "", el("bdi", { text: unit(line, index).text }), ` ${number(value)}`]);
    return [el("bdi", { class: "strong", text: text(place) }), verb, ...(found.length > 0 ? list : ["nothing that is shown"])];
  }

  function curves(holder, drawing, chips) {
    const box = holder.getBoundingClientRect();
    drawing.setAttribute("viewBox", `0 0 ${box.width} ${box.height}`);
    const middle = (element, edge) => {
      const of = element.getBoundingClientRect();
      const seen = element.parentElement.getBoundingClientRect(); // a long line scrolls
      return [of.left + of.width / 2 - box.left, Math.min(Math.max(of[edge], seen.top), seen.bottom) - box.top];
    };
    const places = state.peek && !state.pins.some((pin) => same(pin, state.peek)) ? [...state.pins, state.peek] : state.pins;
    const matrix = shown();
    const paths = places.flatMap((place, rank) => {
      const top = place.side === "keys";
      const [x, y] = middle(chips[place.side][place.index], top ? "bottom" : "top");
      return reads(place).map(([index, value]) => {
        const [to, end] = middle(chips[opposite(place.side)][index], top ? "top" : "bottom");
        const bend = (y + end) / 2;
        const share = Math.abs(value) / (matrix.signed ? matrix.peak || 1 : 1);
        const path = svg("path", { class: `s s${rank % 6}`, d: `M${x} ${y}C${x} ${bend} ${to} ${bend} ${to} ${end}` });
        path.style.strokeWidth = `${1 + 5 * share}px`;
        path.style.strokeOpacity = 0.15 + 0.75 * Math.sqrt(share);
        return path;
      });
    });
    drawing.replaceChildren(...paths);
  }

  panel({
    order: 10,
    name: "words",
    title: "Who reads whom",
    lead: "Choose a word, above or below, and what it is tied to lights up. Arrow keys move, Enter chooses, Escape clears.",
    wants: () => data.kinds.length > 0,
    build(section) {
      const drawing = svg("svg", { class: "curves", "aria-hidden": "true" });
      const lines = { keys: el("div", { class: "side" }), queries: el("div", { class: "side" }) };
      const holder = el("div", { class: "lines" }, drawing, lines.keys, lines.queries);
      const pins = el("ul", { class: "pins" });
      const several = el("button", { type: "button", class: "pill", text: "Keep several", onclick: (event) => timed(event, () => set({ several: !state.several })) });
      const clear = el("button", { type: "button", class: "pill", text: "Clear", onclick: (event) => timed(event, () => choose(null)) });
      holder.addEventListener("scroll", () => curves(holder, drawing, chips), { capture: true, passive: true });
      section.append(holder, el("div", { class: "under" }, pins, el("div", { class: "pills" }, several, clear)));
      const chips = { keys: [], queries: [] };
      const worn = new WeakMap();

      const draw = (side) => {
        const line = lineOf(side);
        const of = data.lines[line];
        const all = Array.from({ length: units(line) }, (_, index) => {
          const made = chip({ line, side, index }, { tabindex: index ? -1 : 0, "aria-pressed": "false" });
          made.append(el("small"));
          return made;
        });
        const row = el("div", { class: "line", dir: of.direction, role: "group", "aria-label": of.label }, ...all);
        roving(row, () => all);
        lines[side].replaceChildren(el("p", { class: "tag" }, el("bdi", { text: of.label }), side === "keys" ? " · is read" : " · reads"), row);
        chips[side] = all;
      };

      const light = (places) => {
        const matrix = shown();
        const strongest = { keys: new Map(), queries: new Map() };
        for (const place of places) {
          const into = strongest[opposite(place.side)];
          for (const [index, value] of ties(place)) if (Math.abs(value) >= Math.abs(into.get(index) ?? 0)) into.set(index, value);
        }
        for (const side of ["keys", "queries"]) chips[side].forEach((made, index) => dress(made, side, index, strongest[side].get(index), places, matrix));
      };

      // Most words stay as they are from one choice to the next, and are then left alone.
      const dress = (made, side, index, value, places, matrix) => {
        const chosen = places.findIndex((place) => place.side === side && place.index === index);
        const pinned = state.pins.some((pin) => pin.side === side && pin.index === index);
        const away = !matrix.places[side].has(index);
        const step = value === undefined ? -1 : stepOf(value, matrix);
        const written = value !== undefined && Math.abs(value) >= LEAST ? value.toFixed(2) : "";
        const look = `${step} ${matrix.signed} ${state.theme} ${written} ${chosen} ${pinned} ${away}`;
        if (worn.get(made) === look) return;
        worn.set(made, look);
        if (value === undefined) unlit(made);
        else lit(made, value, matrix);
        if (made.lastChild.textContent !== written) made.lastChild.textContent = written;
        made.classList.toggle("chosen", chosen >= 0);
        made.classList.toggle("away", away);
        made.setAttribute("aria-pressed", String(pinned));
        if (chosen >= 0) made.style.setProperty("--own", `var(--s${chosen % 6})`);
      };

      const tell = (places) => {
        pins.replaceChildren(
          ...places.map((place, rank) => {
            const dot = el("i", { class: "dot" });
            dot.style.background = `var(--s${rank % 6})`;
            return el("li", {}, dot, el("span", {}, ...told(place)));
          }),
        );
        if (places.length === 0) pins.replaceChildren(el("li", { class: "quiet", text: "Nothing is chosen yet." }));
      };

      return (changed) => {
        if (changed.has("kind") || changed.has("by")) ["keys", "queries"].forEach(draw);
        several.setAttribute("aria-pressed", String(state.several));
        clear.disabled = state.pins.length === 0;
        const extra = state.peek && !state.pins.some((pin) => same(pin, state.peek)) ? [state.peek] : [];
        const places = [...state.pins, ...extra];
        light(places);
        tell(places);
        curves(holder, drawing, chips);
        if (places.length > 0 && (changed.has("at") || changed.has("peek") || changed.has("choice"))) {
          say(pins.lastChild.textContent);
        }
      };
    },
  });
}
