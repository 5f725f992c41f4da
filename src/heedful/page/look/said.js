// The answer token by token: the less sure the model was, the warmer; what else it might have said on focus.
{
  const sure = (said) => Math.exp(said.logprob ?? 0);

  panel({
    order: 5,
    name: "said",
    bare: true,
    wants: () => data.said.length > 0 && document.getElementById("answer") !== null,
    build(holder) {
      const detail = el("p", { class: "quiet detail" });
      const rest = "The warmer a token, the less sure the model was. Point at one to see what else it might have said.";
      const tell = (said) => {
        if (!said) return detail.replaceChildren(rest);
        const others = said.others.filter(([text]) => text !== said.text).slice(0, 4);
        const log = said.logprob === null ? "" : ` (${said.logprob.toFixed(2)} nats)`;
        detail.replaceChildren(
          el("bdi", { class: "strong", text: inked(said.text) }),
          ` ${percent(sure(said))}${log}`,
          others.length > 0 ? ". Instead: " : "",
          ...others.flatMap(([text, probability], place) => [place ? ", " : "", el("bdi", { class: "strong", text: inked(text) }), ` ${percent(probability)}`]),
        );
      };
      const chips = data.said.map((said, place) => {
        const log = said.logprob === null ? "" : `, ${percent(sure(said))} sure`;
        const made = el("button", { type: "button", class: "chip token", tabindex: place ? -1 : 0 }, el("bdi", { text: inked(said.text) }), el("span", { class: "unseen", text: log }));
        made.style.setProperty("--unsure", `${Math.round(100 * (1 - sure(said)))}%`);
        for (const event of ["pointerenter", "focus", "click"]) made.addEventListener(event, () => tell(said));
        for (const event of ["pointerleave", "blur"]) made.addEventListener(event, () => tell(null));
        return made;
      });
      const answer = document.getElementById("answer");
      const line = el("div", { class: "tokens", role: "group", "aria-label": "The answer, token by token", dir: "auto" }, ...chips);
      roving(line, () => chips);
      answer.replaceChildren(line, detail);
      tell(null);
      holder.remove();
    },
  });
}
