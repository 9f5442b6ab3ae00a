// The explorers of the page "Try it". The first half computes and knows no page: tests compare it with Python.
(function () {
  "use strict";
  const GIB = 2 ** 30;

  // helpers.vram.formula.PeakFormula.phases: bytes of each phase for a micro-batch.
  function phases(lines, tokens, kept, length) {
    const found = {};
    for (const [name, [c, t, k, square]] of Object.entries(lines)) {
      if (kept || !name.endsWith("+logits")) found[name] = c + t * tokens + k * kept + square * tokens * length;
    }
    return found;
  }

  function peak(lines, tokens, kept, length) {
    return Math.round(Math.max(...Object.values(phases(lines, tokens, kept, length))));
  }

  // helpers.vram.formula.PeakFormula.most_tokens, in rows.
  function mostRows(lines, capacity, share, length) {
    let rows = 0;
    while (rows < 4096 && peak(lines, (rows + 1) * length, Math.round((rows + 1) * length * share), length) <= capacity) rows += 1;
    return rows;
  }

  // Temperature, then top-k (0: off), then top-p, as in transformers. Tokens come as [text, logit], the others as
  // [logit, count], both likeliest first. What is left shares the probability.
  function sample(distribution, temperature, topK, topP) {
    const all = [...distribution.tokens.map(([text, logit]) => ({ text, logit, count: 1 })),
      ...distribution.others.map(([logit, count]) => ({ text: null, logit, count }))];
    for (const one of all) one.each = Math.exp(one.logit / temperature);
    let left = topK || Infinity;
    for (const one of all) { one.kept = Math.min(one.count, left); left -= one.kept; }
    let total = all.reduce((sum, one) => sum + one.each * one.kept, 0);
    let before = 0;
    for (const one of all) {
      if (topP >= 1) break;
      const needed = before >= topP * total ? 0 : Math.ceil((topP * total - before) / one.each);
      one.kept = Math.min(one.kept, Math.max(needed, before === 0 ? 1 : 0));
      before += one.each * one.kept;
    }
    total = all.reduce((sum, one) => sum + one.each * one.kept, 0);
    const tokens = all.filter((one) => one.text !== null).map((one) => ({ text: one.text, p: one.kept * one.each / total }));
    const others = all.filter((one) => one.text === null && one.kept);
    const entropy = all.reduce((sum, one) => {
      const p = one.each / total;
      return one.kept && p > 0 ? sum - one.kept * p * Math.log(p) : sum;
    }, 0);
    return {
      tokens,
      kept: all.reduce((sum, one) => sum + one.kept, 0),
      others: { kept: others.reduce((s, o) => s + o.kept, 0), p: others.reduce((s, o) => s + o.kept * o.each / total, 0) },
      hesitates: Math.exp(entropy),
    };
  }

  // What a limit does to dialogues: cut at the limit, or left out when longer.
  function cut(lengths, limit) {
    const total = lengths.reduce((sum, n) => sum + n, 0);
    const longer = lengths.filter((n) => n > limit);
    const beyond = longer.reduce((sum, n) => sum + n - limit, 0);
    const leftOut = longer.reduce((sum, n) => sum + n, 0);
    return { dialogues: longer.length / lengths.length, cutOff: beyond / total, leftOut: leftOut / total };
  }

  if (typeof module !== "undefined") module.exports = { phases, peak, mostRows, sample, cut };
  if (typeof document === "undefined") return;

  const chinese = document.documentElement.lang.toLowerCase().startsWith("zh");
  const say = (english, zh) => (chinese ? zh : english);
  const percent = (x) => `${(100 * x).toFixed(1)}${chinese ? "%" : " %"}`;
  const number = (x) => x.toLocaleString(chinese ? "zh-CN" : "en");
  let made = 0;

  function element(name, attributes = {}, ...children) {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children);
    return node;
  }

  // A labelled control; `show` writes its value for eyes and screen readers.
  function slider(panel, label, min, max, step, value, show) {
    const id = `explorer-${made += 1}`;
    const input = element("input", { type: "range", id, min, max, step, value });
    const output = element("output", { for: id });
    const tell = () => { output.value = show(+input.value); input.setAttribute("aria-valuetext", output.value); };
    input.addEventListener("input", tell);
    tell();
    panel.append(element("label", { for: id }, label), input, output);
    return input;
  }

  function choice(panel, label, options, value) {
    const id = `explorer-${made += 1}`;
    const select = element("select", { id });
    for (const [key, text] of options) select.append(new Option(text, key, false, key === value));
    panel.append(element("label", { for: id }, label), select, element("span"));
    return select;
  }

  // Bars as a table: readable without colours, and for a screen reader.
  function bars(caption, head) {
    const body = element("tbody");
    const table = element("table", { class: "explorer-bars" }, element("caption", {}, caption),
      element("thead", {}, element("tr", {}, ...head.map((text) => element("th", { scope: "col" }, text)))), body);
    table.fill = (rows) => body.replaceChildren(...rows.map(([name, share, text, strong]) => element("tr", strong ? { class: "explorer-strong" } : {},
      element("th", { scope: "row" }, name),
      element("td", {}, element("span", { class: "explorer-bar", style: `width:${Math.max(0, Math.min(100, 100 * share)).toFixed(2)}%`, "aria-hidden": "true" }), element("span", {}, text)))));
    return table;
  }

  function frame(place) {
    const panel = element("div", { class: "explorer-controls" });
    const answer = element("p", { class: "explorer-answer", role: "status", "aria-live": "polite" });
    place.replaceChildren(panel, answer);
    return { panel, answer };
  }

  const WAYS = {
    "16-bit base": "16 位基座",
    "16-bit base, no checkpointing": "16 位基座，不用梯度检查点",
    "16-bit base, fused loss": "16 位基座，融合损失",
    "16-bit base, fused loss, no checkpointing": "16 位基座，融合损失，不用梯度检查点",
    "4-bit base": "4 位基座",
    "4-bit base, fused loss": "4 位基座，融合损失",
  };
  const PHASES = {
    forward: ["forward pass", "前向传播"],
    "forward+logits": ["forward pass, with logits", "前向传播，含 logits"],
    "backward+logits": ["backward pass, with logits", "反向传播，含 logits"],
    backward: ["backward pass", "反向传播"],
    optimizer: ["optimizer step", "优化步"],
  };

  const TOOLS = {
    vram(place, data) {
      const { panel, answer } = frame(place);
      const way = choice(panel, say("way to train", "训练方式"), Object.keys(data.coefficients).map((k) => [k, say(k, WAYS[k] || k)]), "16-bit base");
      const card = choice(panel, say("card", "显卡"), Object.entries(data.cards).map(([k, c]) => [k, `${k}, ${c.gib} GiB`]), "h100");
      const batch = slider(panel, say("dialogues in a micro-batch", "每个微批的对话数"), 1, 16, 1, 6, String);
      const length = slider(panel, say("tokens in a dialogue", "每段对话的词元数"), 512, 8192, 512, 3072, number);
      const share = slider(panel, say("supervised share", "监督词元占比"), 5, 100, 1, Math.round(100 * data.supervised_share), (x) => percent(x / 100));
      const table = bars(say("Peak of each phase, predicted", "各时段的峰值（预测）"), [say("phase", "时段"), "GiB"]);
      place.append(table);
      return () => {
        const lines = data.coefficients[way.value], tokens = batch.value * length.value, part = share.value / 100;
        const found = phases(lines, tokens, Math.round(tokens * part), +length.value);
        const most = peak(lines, tokens, Math.round(tokens * part), +length.value);
        const one = data.cards[card.value];
        const room = (one.gib * GIB - one.context) * (1 - data.margin);
        const rows = mostRows(lines, room, part, +length.value);
        const gib = (most / GIB).toFixed(2);
        answer.textContent = most <= room
          ? say(`${gib} GiB in tensors at the peak, predicted: it fits on ${card.value}, where up to ${rows} such dialogues fit.`,
            `张量峰值 ${gib} GiB（预测）：${card.value} 装得下，最多可装 ${rows} 段这样的对话。`)
          : say(`${gib} GiB in tensors at the peak, predicted: too much for ${card.value}, where ${rows} such dialogues fit.`,
            `张量峰值 ${gib} GiB（预测）：${card.value} 装不下，这样的对话最多装 ${rows} 段。`);
        table.fill(Object.keys(PHASES).filter((name) => name in found).map((name) => [name, found[name]]).map(([name, bytes]) => [say(...PHASES[name]), bytes / (one.gib * GIB), (bytes / GIB).toFixed(2), Math.round(bytes) === most]));
      };
    },

    sampling(place, data) {
      const { panel, answer } = frame(place);
      const start = choice(panel, say("beginning", "开头"), Object.entries(data.beginnings).map(([k, b]) => [k, `${b.question} → ${b.answer} …`]), "exam");
      const temperature = slider(panel, say("temperature", "温度"), 0.1, 2, 0.05, 1, (x) => x.toFixed(2));
      const topK = slider(panel, "top-k", 0, 100, 1, 0, (x) => (x ? String(x) : say("off", "关闭")));
      const topP = slider(panel, "top-p", 0.05, 1, 0.01, 1, (x) => x.toFixed(2));
      const table = bars(say("The likeliest next tokens", "最可能的下一个词元"), [say("token", "词元"), say("probability", "概率")]);
      const button = element("button", { type: "button", class: "explorer-button" }, say("Draw ten", "抽取十次"));
      const drawn = element("p", { role: "status", "aria-live": "polite" });
      place.append(table, button, drawn);
      const now = () => sample(data.beginnings[start.value], +temperature.value, +topK.value, +topP.value);
      button.addEventListener("click", () => {
        const found = now();
        const words = Array.from({ length: 10 }, () => {
          let u = Math.random();
          for (const one of found.tokens) if ((u -= one.p) < 0) return one.text;
          return say("(a rare token)", "（罕见词元）");
        });
        drawn.textContent = words.join(" | ");
      });
      return () => {
        const found = now();
        answer.textContent = say(
          `${number(found.kept)} of ${number(data.vocabulary)} tokens can be drawn; the model hesitates among ${found.hesitates.toFixed(1)} of them.`,
          `${number(data.vocabulary)} 个词元中有 ${number(found.kept)} 个可能被抽到；模型相当于在其中 ${found.hesitates.toFixed(1)} 个之间犹豫。`);
        const top = found.tokens.slice(0, 12).map((one) => [one.text, one.p / found.tokens[0].p, one.p ? percent(one.p) : "–"]);
        const rest = 1 - found.tokens.slice(0, 12).reduce((sum, one) => sum + one.p, 0);
        table.fill([...top, [say("all others", "其余全部"), Math.min(1, Math.max(0, rest) / found.tokens[0].p), percent(Math.max(0, rest))]]);
        drawn.textContent = "";
      };
    },

    lengths(place, data) {
      const { panel, answer } = frame(place);
      const which = choice(panel, say("tokenizer", "分词器"), Object.keys(data.tokens).map((k) => [k, k]), "SmolLM2");
      const limit = slider(panel, "max_length", 64, 1024, 16, 448, number);
      const table = bars(say("What the limit does to the training dialogues", "上限对训练对话的影响"), [say("share", "占比"), say("of all", "占全部的比例")]);
      place.append(table);
      return () => {
        const found = cut(data.tokens[which.value], +limit.value);
        answer.textContent = say(
          `${percent(found.dialogues)} of ${number(data.tokens[which.value].length)} dialogues are longer than ${number(+limit.value)} tokens.`,
          `${number(data.tokens[which.value].length)} 段对话中，${percent(found.dialogues)} 超过 ${number(+limit.value)} 个词元。`);
        table.fill([
          [say("dialogues that are longer", "超长的对话"), found.dialogues, percent(found.dialogues)],
          [say("tokens lost if each is cut at the limit", "在上限处截断时失去的词元"), found.cutOff, percent(found.cutOff)],
          [say("tokens lost if each is left out", "整段丢掉时失去的词元"), found.leftOut, percent(found.leftOut)],
        ]);
      };
    },
  };

  function start() {
    for (const place of document.querySelectorAll("[data-explorer]")) {
      const update = TOOLS[place.dataset.explorer](place, JSON.parse(place.querySelector("script").textContent));
      place.addEventListener("input", update);
      update();
    }
  }
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
