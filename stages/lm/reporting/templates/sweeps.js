"use strict";
// The pictures of the sweeps: parallel coordinates with brushes, scatter plots and learning curves that follow them.
for (const sweep of document.querySelectorAll(".sweep")) {
  const data = JSON.parse(sweep.querySelector("script").textContent);
  const axes = [...data.axes, { name: data.metric, scale: "number", isMetric: true }];
  const hasResult = (trial) => trial.rank !== null;
  const last = Math.max(1, data.trials.filter(hasResult).length - 1);
  const ranges = axes.map(() => null);
  const drawn = [];

  const make = (parent, tag, attributes, text) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    if (text !== undefined) element.textContent = text;
    return parent.appendChild(element);
  };
  const canvas = (parent, width, height, label) => {
    const picture = make(parent, "svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
    picture.style.font = "12px var(--sans)";
    return picture;
  };
  const short = (value) => {
    if (typeof value !== "number") return String(value);
    const size = Math.abs(value), isPlain = value === 0 || (1e-3 <= size && size < 1e5);
    return isPlain ? String(Number(value.toPrecision(3))) : value.toExponential(1).replace("e+", "e");
  };
  const colour = (trial) =>
    hasResult(trial) ? `color-mix(in oklab, var(--series-2) ${(100 * trial.rank) / last}%, var(--series-1))` : "var(--floor)";

  // The place of a trial on an axis, 0 to 1; null where it has none.
  const valueOf = (trial, number) => (axes[number].isMetric ? (hasResult(trial) ? trial.metric : null) : trial.values[number]);
  axes.forEach((axis, number) => {
    const values = data.trials.map((trial) => valueOf(trial, number)).filter((value) => value !== null);
    const convert = axis.scale === "logarithm" ? Math.log : Number;
    const low = Math.min(...values.map(convert)), high = Math.max(...values.map(convert));
    if (axis.scale === "places") {
      axis.place = (index) => (index + 0.5) / axis.labels.length;
      axis.ticks = axis.labels.map((label, index) => [label, axis.place(index)]);
    } else {
      axis.place = (value) => (value === null ? null : high > low ? (convert(value) - low) / (high - low) : 0.5);
      const back = axis.scale === "logarithm" ? Math.exp : Number;
      axis.ticks = values.length ? [0, 0.25, 0.5, 0.75, 1].map((share) => [back(low + share * (high - low)), share]) : [];
    }
  });
  const show = (element, trial, shape) => {
    element.setAttribute("stroke", colour(trial));
    if (shape === "mark") element.setAttribute("fill", colour(trial));
    if (shape === "line" && !hasResult(trial)) element.setAttribute("stroke-dasharray", "3 3");
    const values = data.axes.map((axis, index) => `${axis.name}: ${axis.labels ? axis.labels[trial.values[index]] : short(trial.values[index])}`).join("\n");
    const result = trial.metric === null ? "" : `\n${data.metric}: ${short(trial.metric)}`;
    make(element, "title", {}, `trial ${trial.number}, ${trial.state}\n${values}${result}`);
    drawn.push([element, trial, shape]);
  };
  const update = () => {
    const isChosen = (trial) =>
      ranges.every((range, number) => {
        const place = axes[number].place(valueOf(trial, number));
        return range === null || (place !== null && range[0] <= place && place <= range[1]);
      });
    for (const [element, trial, shape] of drawn) {
      const chosen = isChosen(trial);
      element.setAttribute("opacity", chosen ? 0.9 : 0.07);
      if (shape === "line") element.setAttribute("stroke-width", trial.rank === 0 ? 3 : 1.4);
    }
  };

  const width = 980, height = 330, top = 40, bottom = 300;
  const across = (number) => 70 + (number * (width - 160)) / Math.max(1, axes.length - 1);
  const up = (share) => bottom - share * (bottom - top);
  const parallel = canvas(sweep.querySelector(".parallel"), width, height, `Parallel coordinates of ${data.trials.length} trials`);
  for (const trial of data.trials) {
    const points = axes.map((axis, number) => {
      const place = axis.place(valueOf(trial, number));
      return `${across(number)},${place === null ? bottom + 20 : up(place)}`;
    });
    show(make(parallel, "polyline", { points: points.join(" "), fill: "none" }), trial, "line");
  }
  axes.forEach((axis, number) => {
    const x = across(number);
    make(parallel, "line", { x1: x, x2: x, y1: top, y2: bottom, stroke: "var(--muted)" });
    make(parallel, "text", { x, y: top - 18, "text-anchor": "middle", fill: "var(--ink)" }, axis.name);
    for (const [value, share] of axis.ticks)
      make(parallel, "text", { x: x + 6, y: up(share) + 4, fill: "var(--muted)" }, short(value));
    const mark = make(parallel, "rect", { x: x - 8, width: 16, y: top, height: 0, fill: "var(--series-1)", opacity: 0.25 });
    const area = make(parallel, "rect", { x: x - 14, width: 28, y: top - 8, height: bottom - top + 16, fill: "transparent" });
    area.style.cursor = "ns-resize";
    area.style.touchAction = "none";
    let from = null;
    const shareAt = (event) => {
      const box = parallel.getBoundingClientRect();
      return Math.min(1, Math.max(0, (bottom - ((event.clientY - box.top) * height) / box.height) / (bottom - top)));
    };
    const choose = (event) => {
      const to = shareAt(event), low = Math.min(from, to), high = Math.max(from, to);
      ranges[number] = high - low > 0.01 ? [low, high] : null;
      mark.setAttribute("y", up(high));
      mark.setAttribute("height", ranges[number] ? (high - low) * (bottom - top) : 0);
      update();
    };
    area.addEventListener("pointerdown", (event) => {
      area.setPointerCapture(event.pointerId);
      from = shareAt(event);
    });
    area.addEventListener("pointermove", (event) => from !== null && choose(event));
    area.addEventListener("pointerup", (event) => {
      choose(event);
      from = null;
    });
  });

  const metric = axes[axes.length - 1];
  const panel = 300, tall = 230;
  data.axes.forEach((axis, number) => {
    const host = sweep.querySelector(".against");
    const picture = canvas(host, panel, tall, `${data.metric} against ${axis.name}`);
    picture.style.cssText += "width: min(100%, 20rem); display: inline-block";
    const x = (share) => 50 + share * (panel - 70), y = (share) => 190 - share * 160;
    make(picture, "text", { x: x(0.5), y: 225, "text-anchor": "middle", fill: "var(--ink)" }, axis.name);
    for (const [value, share] of axis.scale === "places" ? axis.ticks : [axis.ticks[0], axis.ticks[2], axis.ticks[4]])
      make(picture, "text", { x: x(share), y: 208, "text-anchor": "middle", fill: "var(--muted)" }, short(value));
    for (const [value, share] of metric.ticks)
      make(picture, "text", { x: 44, y: y(share) + 4, "text-anchor": "end", fill: "var(--muted)" }, short(value));
    for (const trial of data.trials) {
      const place = metric.place(valueOf(trial, axes.length - 1)), cx = x(axis.place(trial.values[number]));
      const cross = `M${cx - 4},10l8,8m0,-8l-8,8`;
      const mark = place === null ? make(picture, "path", { d: cross }) : make(picture, "circle", { cx, cy: y(place), r: 4 });
      show(mark, trial, "mark");
    }
  });

  const learning = canvas(sweep.querySelector(".curves"), width, height, `Learning curves of ${data.trials.length} trials`);
  const steps = Math.max(1, ...data.trials.flatMap((trial) => trial.curve.map(([step]) => step)));
  const log = (loss) => Math.log(Math.max(loss, 1e-9)); // a trial that flies off would press all others flat
  const losses = data.trials.flatMap((trial) => trial.curve.map(([, loss]) => log(loss))).sort((a, b) => a - b);
  const least = losses[0] ?? 0, most = losses[losses.length - 1] ?? 1;
  const place = ([step, loss]) => `${60 + (step / steps) * (width - 90)},${up((log(loss) - least) / (most - least || 1))}`;
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    make(learning, "text", { x: 52, y: up(share) + 4, "text-anchor": "end", fill: "var(--muted)" }, short(Math.exp(least + share * (most - least))));
    make(learning, "text", { x: 60 + share * (width - 90), y: bottom + 22, "text-anchor": "middle", fill: "var(--muted)" }, short(share * steps));
  }
  for (const trial of data.trials) {
    if (trial.curve.length > 1) show(make(learning, "polyline", { points: trial.curve.map(place).join(" "), fill: "none" }), trial, "line");
    else for (const [x, y] of trial.curve.map((point) => place(point).split(",")))
      show(make(learning, "circle", { cx: x, cy: y, r: 3 }), trial, "mark");
  }
  update();
}
