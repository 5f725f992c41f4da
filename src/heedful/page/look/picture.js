// A picture and a text that read each other: choose a word and see where it looks and what looks at it, or a region and
// see its words. Each direction that there is has its own picture and words.
{
  const BEND = 0.7; // shares are drawn as their power
  const FAINT = 0.14; // how much of a region is left that is not read at all
  const NIGHT = "#1b1f24"; // what regions fade into, in light and dark
  const LARGEST = 420; // CSS pixels of the longer edge
  const TOLD = 3;

  // What is no region: the token for the whole picture.
  const isWhole = (line, token) => Boolean(line.control[token]);

  // What regions are called: by row and column where they make a grid, else by number.
  function named(line) {
    const { boxes } = line.picture;
    const parts = boxes.filter((_, token) => !isWhole(line, token));
    const key = (value) => value.toFixed(3);
    const [columns, rows] = [0, 1].map((axis) => [...new Set(parts.map((box) => key(box[axis])))].sort((a, b) => a - b));
    const places = new Set(parts.map((box) => `${key(box[0])} ${key(box[1])}`));
    const grid = parts.length === columns.length * rows.length && places.size === parts.length;
    let count = 0;
    return boxes.map((box, token) => {
      if (isWhole(line, token)) return "the whole picture";
      count++;
      return grid ? `row ${rows.indexOf(key(box[1])) + 1}, column ${columns.indexOf(key(box[0])) + 1}` : `region ${count}`;
    });
  }

  // The same choice for another kind, as far as it has it: the view of that name, the layer, the head; else what it
  // begins with.
  function choiceFor(kind) {
    const { choice } = state;
    const of = data.kinds[kind];
    if (kind === state.kind) return choice;
    if (choice.view !== undefined) {
      const view = of.views.findIndex((one) => one.name === data.kinds[state.kind].views[choice.view].name);
      return view < 0 ? startingChoice(kind) : { view };
    }
    const layer = choice.layer === undefined ? -1 : of.layers.findIndex((one) => one.layer === data.kinds[state.kind].layers[choice.layer].layer);
    if (layer < 0) return startingChoice(kind);
    return choice.head === undefined || choice.head >= of.layers[layer].heads ? { layer } : { layer, head: choice.head };
  }

  function through(kind, choice) {
    const of = data.kinds[kind];
    if (choice.view !== undefined) return of.views[choice.view].label;
    if (choice.layer === undefined) return "the mean of all heads";
    const layer = `layer ${of.layers[choice.layer].layer + 1}`;
    return choice.head === undefined ? `the mean of ${layer}` : `${layer}, head ${choice.head + 1}`;
  }

  // One direction. `shows` is the side of the kind that is the picture.
  function figure(kind, shows, state_) {
    const of = data.kinds[kind];
    const [seen, read] = [of[shows], of[opposite(shows)]];
    const { picture } = data.lines[seen];
    const names = named(data.lines[seen]);
    const canvas = el("canvas", { role: "img", "aria-label": data.lines[seen].label });
    const holder = el("div", { class: "regions", role: "group", "aria-label": `Regions of ${data.lines[seen].label}` });
    const frame = el("div", { class: "seen" }, canvas, holder);
    const words = el("div", { class: "line", role: "group", dir: data.lines[read].direction, "aria-label": data.lines[read].label });
    const whole = el("p", { class: "quiet whole" });
    const told = el("p", { class: "pins seen-told" });
    const using = el("span", {});
    const made = el("div", { class: "direction" }, el("p", { class: "tag" }, el("bdi", { text: of.label }), ": ", using), frame, whole, words, told);
    const image = new Image();
    image.src = picture.src;
    const factor = LARGEST / Math.max(picture.width, picture.height);
    const [width, height] = [picture.width * factor, picture.height * factor];
    frame.style.aspectRatio = `${picture.width} / ${picture.height}`;
    frame.style.maxWidth = `${Math.round(width)}px`;
    let chips = [];

    const select = (event, side, index) => timed(event, () => {
      if (state.kind !== kind) set({ kind, choice: choiceFor(kind) });
      choose({ line: of[side], side, index }, false);
    });

    // Smaller regions lie above larger ones, so that each can be reached.
    const area = ([x1, y1, x2, y2]) => (x2 - x1) * (y2 - y1);
    const regions = picture.boxes.map((box, index) => {
      if (isWhole(data.lines[seen], index)) return null;
      const button = el("button", { type: "button", class: "region", tabindex: -1, "aria-pressed": "false", title: names[index] });
      const [x1, y1, x2, y2] = box.map((value) => 100 * value);
      Object.assign(button.style, { left: `${x1}%`, top: `${y1}%`, width: `${x2 - x1}%`, height: `${y2 - y1}%`, zIndex: String(1 + Math.round(1000 * (1 - area(box)))) });
      button.addEventListener("click", (event) => select(event, shows, index));
      return button;
    });
    const shownRegions = regions.filter(Boolean);
    if (shownRegions.length > 0) shownRegions[0].tabIndex = 0;
    holder.append(...shownRegions);
    roving(holder, () => shownRegions);

    const drawWords = () => {
      chips = Array.from({ length: units(read) }, (_, index) => {
        const { text: label, control } = unit(read, index);
        const one = el("button", { type: "button", class: control ? "chip control" : "chip", tabindex: index ? -1 : 0, "aria-pressed": "false" }, el("bdi", { text: label }), el("small"));
        one.addEventListener("click", (event) => select(event, opposite(shows), index));
        return one;
      });
      words.replaceChildren(...chips);
    };
    roving(words, () => chips);

    // What is chosen, as seen from here: { side, index } of this kind, or null.
    const chosen = () => {
      const { at } = state;
      if (!at) return null;
      if (at.line === seen) return { side: shows, index: at.index };
      return at.line === read ? { side: opposite(shows), index: at.index } : null;
    };

    // The other side's values of a place, by their numbers.
    const values = (matrix, at) => {
      const found = new Map();
      const here = matrix.places[at.side].get(at.index);
      if (here === undefined) return found;
      const others = at.side === "queries" ? matrix.columns : matrix.rows;
      others.forEach((index, there) => found.set(index, at.side === "queries" ? matrix.at(here, there) : matrix.at(there, here)));
      return found;
    };

    // The picture, each region as bright as it is read, or in the colours of the ramp. Of regions that overlap, what is
    // read most is on top.
    const paintRegions = (shares, matrix) => {
      const ratio = devicePixelRatio || 1;
      [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
      const pen = canvas.getContext("2d");
      pen.imageSmoothingEnabled = factor < 2;
      const whole_ = () => pen.drawImage(image, 0, 0, canvas.width, canvas.height);
      if (shares === null) return whole_();
      const peak = Math.max(0, ...[...shares].filter(([index]) => regions[index]).map(([, value]) => Math.abs(value))) || 1;
      pen.fillStyle = NIGHT;
      pen.fillRect(0, 0, canvas.width, canvas.height);
      pen.globalAlpha = FAINT;
      whole_();
      const sorted = [...shares].filter(([index]) => regions[index]).sort((a, b) => Math.abs(a[1]) - Math.abs(b[1]));
      for (const [index, value] of sorted) {
        const [x1, y1, x2, y2] = picture.boxes[index].map((edge, axis) => Math.round(edge * (axis % 2 ? canvas.height : canvas.width)));
        const share = Math.abs(value) / peak;
        pen.save();
        pen.beginPath();
        pen.rect(x1, y1, x2 - x1, y2 - y1);
        pen.clip();
        pen.globalAlpha = 1;
        pen.fillStyle = NIGHT;
        pen.fillRect(x1, y1, x2 - x1, y2 - y1);
        pen.globalAlpha = state_.colours || matrix.signed ? 0.5 : FAINT + (1 - FAINT) * share ** BEND;
        whole_();
        if (state_.colours || matrix.signed) {
          pen.globalAlpha = 0.75;
          pen.fillStyle = matrix.signed ? diverging(stepOf(value, matrix)) : ramp(Math.round(255 * Math.sqrt(share)));
          pen.fillRect(x1, y1, x2 - x1, y2 - y1);
        }
        pen.restore();
      }
    };

    const tell = (at, found) => {
      if (!at) return told.replaceChildren("Choose a word, or a region of the picture.");
      const region = at.side === shows;
      const verb = at.side === "queries" ? (isSigned(kind, choiceFor(kind)) ? " owes to " : " reads ") : " is read by ";
      const name = (index, side) => (side === shows ? names[index] : unit(read, index).text);
      const list = [...found].filter(([index]) => region || regions[index]).sort((a, b) => Math.abs(b[1]) - Math.abs(a[1])).slice(0, TOLD);
      told.replaceChildren(
        el("bdi", { class: "strong", text: name(at.index, at.side) }), verb,
        ...(list.length > 0 ? list.flatMap(([index, value], rank) => [rank ? ", " : "", el("bdi", { text: name(index, opposite(at.side)) }), ` ${number(value)}`]) : ["nothing that is shown"]),
      );
    };

    const update = () => {
      const choice = choiceFor(kind);
      const matrix = shown(kind, choice);
      const at = chosen();
      const found = at ? values(matrix, at) : new Map();
      const byRegion = at && at.side !== shows;
      using.textContent = through(kind, choice);
      const strongest = byRegion ? [...found].filter(([index]) => regions[index]).reduce((a, b) => (Math.abs(b[1]) > Math.abs(a[1]) ? b : a), [-1, 0])[0] : -1;
      regions.forEach((button, index) => {
        if (!button) return;
        const value = byRegion ? found.get(index) : undefined;
        button.classList.toggle("strongest", index === strongest);
        const pressed = at?.side === shows && at.index === index;
        button.classList.toggle("chosen", Boolean(pressed));
        button.setAttribute("aria-pressed", String(Boolean(pressed)));
        button.setAttribute("aria-label", value === undefined ? names[index] : `${names[index]}, ${number(value)}`);
        button.title = button.getAttribute("aria-label");
      });
      chips.forEach((one, index) => {
        const value = at && !byRegion ? found.get(index) : undefined;
        if (value === undefined) unlit(one);
        else lit(one, value, matrix);
        one.lastChild.textContent = value !== undefined && Math.abs(value) >= 0.02 ? value.toFixed(2) : "";
        const pressed = Boolean(byRegion && at.index === index);
        one.classList.toggle("chosen", pressed);
        one.setAttribute("aria-pressed", String(pressed));
      });
      const all = picture.boxes.findIndex((_, token) => isWhole(data.lines[seen], token));
      whole.hidden = all < 0;
      const part = byRegion ? found.get(all) : undefined;
      whole.textContent = part === undefined ? "One more token stands for the whole picture." : `The token for the whole picture: ${number(part)}.`;
      paintRegions(byRegion ? found : null, matrix);
      tell(at, found);
    };
    image.addEventListener("load", update);
    return { made, update, drawWords, kind, told };
  }

  // Kinds between a picture and a text, as [kind, the side that is the picture].
  const directions = () =>
    data.kinds.flatMap((kind, place) => {
      const sides = ["keys", "queries"].filter((side) => data.lines[kind[side]].picture);
      return sides.length === 1 ? [[place, sides[0]]] : [];
    });

  panel({
    order: 60,
    name: "picture",
    title: "The picture and the words",
    lead: "Choose a word: regions are as bright as it reads them, the strongest is framed. Or choose a region, by pointer or arrow keys, and its words light up.",
    wants: () => directions().length > 0,
    build(section) {
      const own = { colours: false };
      const figures = directions().map(([kind, side]) => figure(kind, side, own));
      const toggle = el("button", { type: "button", class: "pill", text: "Shade in colours", "aria-pressed": "false" });
      toggle.addEventListener("click", (event) => timed(event, () => {
        own.colours = !own.colours;
        toggle.setAttribute("aria-pressed", String(own.colours));
        figures.forEach((one) => one.update());
      }));
      section.append(el("div", { class: "directions" }, ...figures.map((one) => one.made)), el("div", { class: "pills" }, toggle), el("p", { class: "quiet", text: "Brightness is relative to the region that is read most; the numbers are not." }));
      return (changed) => {
        if (changed.has("by")) figures.forEach((one) => one.drawWords());
        figures.forEach((one) => one.update());
        const first = figures.find((one) => one.kind === state.kind);
        if (state.at && first && changed.has("at") && !changed.has("theme")) say(first.told.textContent);
      };
    },
  });
}
