// Questions: the page brings them as folded answers; here they become something to answer. Answers stay in this browser.
(function () {
  "use strict";
  const KEY = "from-llama-to-listener-quiz";
  const chinese = document.documentElement.lang.toLowerCase().startsWith("zh");
  const say = (english, zh) => (chinese ? zh : english);

  // A browser may refuse storage, in private windows or for files: the questions still work then.
  function read() {
    try { return JSON.parse(localStorage.getItem(KEY)) || {}; } catch { return {}; }
  }
  function write(all) {
    try { localStorage.setItem(KEY, JSON.stringify(all)); } catch { /* not kept */ }
  }

  function question(form) {
    const inputs = [...form.querySelectorAll("input")];
    const details = form.querySelector("details");
    const verdict = form.querySelector(".quiz-verdict");
    const reasons = [...details.querySelectorAll("li")];
    const { quiz, question: id } = form.dataset;
    const button = document.createElement("button");
    button.type = "submit";
    button.className = "quiz-check";
    button.textContent = say("Check", "核对");
    verdict.before(button);
    details.hidden = true;
    for (const input of inputs) input.disabled = false;

    function judge(chosen) {
      const right = inputs.every((input, i) => (input.dataset.right === "true") === chosen.includes(i));
      verdict.textContent = right ? say("✓ Right.", "✓ 正确。") : say("✗ Not yet. Read why below.", "✗ 还不对，请看下面的说明。");
      verdict.className = `quiz-verdict ${right ? "quiz-right" : "quiz-wrong"}`;
      // Right: every reason. Wrong: the reasons of what was chosen, so that one can try again.
      reasons.forEach((reason, i) => { reason.hidden = !right && !chosen.includes(i); });
      details.hidden = false;
      details.open = true;
      return right;
    }

    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const chosen = inputs.flatMap((input, i) => (input.checked ? [i] : []));
      if (!chosen.length) {
        verdict.textContent = say("Choose an answer first.", "请先选择一个答案。");
        return;
      }
      const right = judge(chosen), all = read();
      const before = (all[quiz] || {})[id] || { tries: 0 };
      all[quiz] = { ...all[quiz], [id]: { right, chosen, tries: before.tries + 1 } };
      write(all);
    });

    const earlier = (read()[quiz] || {})[id];
    if (earlier && Array.isArray(earlier.chosen)) {
      inputs.forEach((input, i) => { input.checked = earlier.chosen.includes(i); });
      judge(earlier.chosen);
    }
  }

  function progress(box) {
    const all = read();
    let right = 0, total = 0;
    for (const row of box.querySelectorAll("[data-progress]")) {
      const count = +row.dataset.count;
      const done = Object.values(all[row.dataset.progress] || {}).filter((one) => one.right).length;
      row.querySelector("span").textContent = say(`${done} of ${count} right`, `${count} 题中答对 ${done} 题`);
      right += Math.min(done, count);
      total += count;
    }
    const note = box.querySelector("p");
    note.textContent = say(`${right} of ${total} questions answered rightly in this browser. `, `在这个浏览器里，${total} 题中答对 ${right} 题。`);
    const button = document.createElement("button");
    button.type = "button";
    button.className = "quiz-check";
    button.textContent = say("Forget my answers", "清除我的作答");
    button.addEventListener("click", () => {
      try { localStorage.removeItem(KEY); } catch { /* nothing was kept */ }
      button.remove();
      progress(box);
    });
    note.append(button);
  }

  function start() {
    document.querySelectorAll("form[data-quiz]").forEach(question);
    document.querySelectorAll(".quiz-progress").forEach(progress);
  }
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
