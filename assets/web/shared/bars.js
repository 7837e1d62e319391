// The answer and the probability of each class, as bars.

export class Bars {
  constructor(answer, bars, classes) {
    this.answer = answer;
    this.bars = bars;
    this.rows = [];
    this.resize(classes);
  }

  resize(classes) {
    if (this.rows.length === classes) return;
    this.bars.replaceChildren();
    this.rows = Array.from({ length: classes }, (_, digit) => {
      const [name, track, bar, share] = ["span", "div", "div", "span"].map((tag) => document.createElement(tag));
      name.textContent = digit;
      track.className = "track";
      bar.className = "bar";
      share.className = "share";
      track.append(bar);
      this.bars.append(name, track, share);
      return { bar, share };
    });
  }

  // `probabilities` is null where there is nothing to say.
  show(probabilities) {
    if (probabilities) this.resize(probabilities.length);
    const best = probabilities ? probabilities.indexOf(Math.max(...probabilities)) : -1;
    this.rows.forEach(({ bar, share }, digit) => {
      const p = probabilities ? probabilities[digit] : 0;
      bar.style.width = `${100 * p}%`;
      bar.classList.toggle("best", digit === best);
      share.textContent = probabilities ? `${(100 * p).toFixed(p > 0.1 ? 1 : 2)} %` : "";
    });
    const [digit, sure] = this.answer.children;
    digit.textContent = best < 0 ? "–" : best;
    sure.textContent = best < 0 ? "" : `${(100 * probabilities[best]).toFixed(1)} % sure`;
  }
}
