// Runs with a change: a head off, a word hidden, a state of another run. Which matter, and what came out of each.
{
  const NAMES = { head: "heads off", word: "words hidden", state: "states of another text" };
  const NOTHING = 0.005; // nats: less cannot be told from nothing in what is shown
  const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(Math.abs(value) < 0.1 ? 3 : 2)}`;
  const size = (run) => Math.abs(run.change ?? 0);

  // A bar to the left or the right of a middle.
  function bar(value, peak) {
    const made = el("span", { class: "if-bar", "aria-hidden": "true" }, el("i"));
    const share = peak > 0 ? Math.min(1, Math.abs(value) / peak) : 0;
    made.firstChild.style.width = `${50 * share}%`;
    made.firstChild.style[value < 0 ? "right" : "left"] = "50%";
    made.classList.add(value < 0 ? "less" : "more");
    return made;
  }

  // Which tokens two answers share: the longest common subsequence, as [of the one or null, of the other or null].
  function aligned(one, other) {
    const lengths = Array.from({ length: one.length + 1 }, () => new Uint16Array(other.length + 1));
    for (let i = one.length - 1; i >= 0; i--) {
      for (let j = other.length - 1; j >= 0; j--) {
        lengths[i][j] = one[i] === other[j] ? lengths[i + 1][j + 1] + 1 : Math.max(lengths[i + 1][j], lengths[i][j + 1]);
      }
    }
    const pairs = [];
    let [i, j] = [0, 0];
    while (i < one.length || j < other.length) {
      const kept = i < one.length && j < other.length && one[i] === other[j];
      const differs = i < one.length && j < other.length && !kept && lengths[i + 1][j + 1] === lengths[i][j];
      const drops = !kept && !differs && i < one.length && (j >= other.length || lengths[i + 1][j] >= lengths[i][j + 1]);
      pairs.push([kept || differs || drops ? i++ : null, drops ? null : j < other.length ? j++ : null]);
    }
    return pairs;
  }

  // The two answers below each other, what differs marked, and by how much each original token grew likelier.
  function tokens(run) {
    const old = data.said.map((said) => said.text);
    const now = run.tokens.map((said) => said.text);
    const changes = run.changes.length === old.length ? run.changes.map((change) => change ?? 0) : [];
    const peak = Math.max(0.1, ...changes.map(Math.abs));
    const pairs = now.length > 0 ? aligned(old, now) : old.map((_, place) => [place, null]);
    const cell = (text, name) => (text === null ? el("span", { class: "if-none", text: "" }) : el(name === "" ? "span" : "mark", { class: name }, el("bdi", { text: inked(text) })));
    return pairs.map(([i, j]) => {
      const same = now.length === 0 || (i !== null && j !== null && old[i] === now[j]);
      const column = el("div", { class: "if-column" }, cell(i === null ? null : old[i], same ? "" : "gone"));
      if (now.length > 0) column.append(cell(j === null ? null : now[j], same ? "" : "come"));
      if (changes.length > 0) {
        const change = i === null ? null : changes[i];
        const up = el("span", { class: "if-up", "aria-hidden": "true" }, el("i"));
        up.firstChild.style.height = `${(50 * Math.abs(change ?? 0)) / peak}%`;
        up.firstChild.style[(change ?? 0) < 0 ? "top" : "bottom"] = "50%";
        up.classList.add((change ?? 0) < 0 ? "less" : "more");
        column.append(up, el("small", { text: change === null ? "" : Math.abs(change) < NOTHING ? "0" : signed(change) }));
      }
      return column;
    });
  }

  function verdict(run) {
    const loss = size(run) < NOTHING ? "Nothing changes: the answer is as likely as before." : `The original answer becomes ${run.change < 0 ? "less" : "more"} likely: ${signed(run.change)}.`;
    const anew = run.text === "" && run.tokens.length === 0;
    if (anew) return size(run) < NOTHING ? loss : `${loss} What would be answered then was not asked for; that is done for the largest changes.`;
    return run.text === data.answer ? `${loss} The answer stays the same.` : `${loss} The answer changes.`;
  }

  // What the panels above can show of it.
  function above(run) {
    if (run.what === "head" && run.kind >= 0 && run.layer >= 0) {
      const show = (event) => timed(event, () => set({ kind: run.kind, choice: { layer: run.layer, head: run.head } }));
      return el("button", { type: "button", class: "pill", text: "Show this head above", onclick: show });
    }
    const kind = data.kinds.findIndex((one) => one.keys === run.line);
    if (run.what !== "word" || kind < 0) return "";
    const index = () => (state.by === "words" ? run.word : (data.lines[run.line].tokens[run.word][0] ?? 0));
    const show = (event) => timed(event, () => {
      if (data.kinds[state.kind].keys !== run.line) set({ kind });
      choose({ line: run.line, side: "keys", index: index() }, false);
    });
    return el("button", { type: "button", class: "pill", text: "Show this word above", onclick: show });
  }

  function detail(run) {
    const whole = [el("p", { class: "tag", text: "Before" }), el("p", { class: "if-text", dir: "auto", text: data.answer })];
    if (run.text !== "") whole.push(el("p", { class: "tag", text: "Then" }), el("p", { class: "if-text", dir: "auto", text: run.text }));
    const each = data.said.length > 0 ? tokens(run) : [];
    const legend = run.tokens.length > 0 ? "Above what was said, in the middle what is said then, below" : "Below each token";
    return [
      el("h3", {}, el("bdi", { text: run.label })),
      el("p", { class: "if-verdict", text: verdict(run) }),
      ...(each.length > 0 ? [el("div", { class: "if-tokens", dir: "auto", role: "group", "aria-label": "The answers, token by token" }, ...each), el("p", { class: "quiet", text: `${legend} how the log-probability of the original token changes, in nats.` })] : whole),
      above(run),
    ];
  }

  panel({
    order: 70,
    name: "whatif",
    title: "What if",
    lead: "The same text read again with one change (without a head or a word, or with a state of another text), the largest first. Numbers say by how much the original answer becomes likelier (in nats, the natural logarithm of its probability; of a likeness, its cosine): below 0, the change hurts.",
    wants: () => data.what_if.length > 0,
    build(section) {
      const runs = data.what_if.toSorted((a, b) => size(b) - size(a));
      const peak = size(runs[0]);
      const out = el("div", { class: "if-detail", "aria-live": "polite" });
      const list = el("div", { class: "if-list", role: "group", "aria-label": "Changed runs, the largest change first" });
      const rows = runs.map((run) => {
        const row = el("button", { type: "button", class: "if-run", "aria-pressed": "false", tabindex: -1 }, el("bdi", { text: run.label }), bar(run.change ?? 0, peak), el("b", { text: size(run) < NOTHING ? "0" : signed(run.change) }));
        row.addEventListener("click", (event) => timed(event, () => pick(run)));
        return row;
      });
      const pick = (run) => {
        rows.forEach((row, place) => row.setAttribute("aria-pressed", String(runs[place] === run)));
        out.replaceChildren(...(run ? detail(run) : []));
      };
      const filter = (what) => {
        rows.forEach((row, place) => {
          row.hidden = what !== "" && runs[place].what !== what;
          row.tabIndex = -1;
        });
        const left = rows.findIndex((row) => !row.hidden);
        if (left >= 0) rows[left].tabIndex = 0;
        pick(left >= 0 ? runs[left] : null);
      };
      const whats = Object.keys(NAMES).filter((what) => runs.some((run) => run.what === what));
      const options = [["", `all ${runs.length}`], ...whats.map((what) => [what, `${NAMES[what]} ${runs.filter((run) => run.what === what).length}`])].map(([what, label]) => {
        const input = el("input", { type: "radio", name: "what", value: what, onchange: (event) => timed(event, () => filter(what)) });
        input.checked = what === "";
        return el("label", {}, input, el("span", { text: label }));
      });
      list.append(...rows);
      roving(list, () => rows.filter((row) => !row.hidden));
      if (peak < NOTHING) section.append(el("p", { class: "strong", text: "Nothing changed: none of these runs moves the answer by as much as 0.005." }));
      if (whats.length > 1) section.append(el("fieldset", { class: "if-filter" }, el("legend", { text: "Show" }), ...options));
      section.append(el("div", { class: "if-two" }, list, out));
      filter("");
    },
  });
}
