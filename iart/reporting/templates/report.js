'use strict';
(() => {
  const SVG = 'http://www.w3.org/2000/svg';
  const DASHES = ['', '7 4', '2 4', '9 3 2 3'];
  const charts = JSON.parse(document.getElementById('charts').textContent);

  const element = (name, attributes, parent) => {
    const node = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (parent) parent.append(node);
    return node;
  };

  /* Round steps of 1, 2 or 5 that cut the range in about `count` pieces. */
  const ticks = (low, high, count) => {
    const raw = (high - low) / count || 1;
    const power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((f) => f * power).find((s) => s >= raw * 0.99);
    const found = [];
    for (let v = Math.ceil(low / step - 1e-9) * step; v <= high + step * 1e-9; v += step) found.push(v);
    return { found, digits: Math.max(0, -Math.floor(Math.log10(step) + 1e-9)) };
  };

  class Chart {
    constructor(figure) {
      this.data = charts[Number(figure.dataset.chart)];
      this.plot = figure.querySelector('.plot');
      this.readout = figure.querySelector('.readout');
      this.index = null;
      const values = this.data.series.flatMap((s) => s.values).filter((v) => v !== null);
      const low = values.length ? Math.min(...values) : 0;
      const high = values.length ? Math.max(...values) : 1;
      const room = (high - low || Math.abs(high) * 0.01 || 1) * 0.08;
      this.low = low - room;
      this.high = high + room;
      new ResizeObserver(() => this.draw()).observe(this.plot);
      this.plot.addEventListener('pointermove', (event) => this.point(event));
      this.plot.addEventListener('pointerdown', (event) => this.point(event));
      this.plot.addEventListener('pointerleave', () => document.activeElement !== this.plot && this.show(null));
      this.plot.addEventListener('blur', () => this.show(null));
      this.plot.addEventListener('focus', () => this.index === null && this.show(0));
      this.plot.addEventListener('keydown', (event) => this.key(event));
      this.show(null);
    }

    x(i) { return this.left + (i / Math.max(1, this.data.frames.length - 1)) * (this.width - this.left - 10); }
    y(v) { return 8 + ((this.high - v) / (this.high - this.low)) * (this.height - 34); }

    draw() {
      this.width = this.plot.clientWidth;
      this.height = this.plot.clientHeight;
      if (!this.width) return;
      this.plot.replaceChildren();
      const svg = element('svg', { 'aria-hidden': 'true', focusable: 'false' }, this.plot);
      const scale = ticks(this.low, this.high, 5);
      this.left = 14 + 7.5 * Math.max(...scale.found.map((v) => v.toFixed(scale.digits).length));
      for (const v of scale.found) {
        element('line', { class: 'grid', x1: this.left, x2: this.width - 10, y1: this.y(v), y2: this.y(v) }, svg);
        element('text', { x: this.left - 8, y: this.y(v) + 4, 'text-anchor': 'end' }, svg).textContent = v.toFixed(scale.digits);
      }
      const last = this.data.frames.length - 1;
      const bottom = this.height - 26;
      element('line', { class: 'axis', x1: this.left, x2: this.width - 10, y1: bottom, y2: bottom }, svg);
      for (const i of ticks(0, last, Math.max(2, Math.floor(this.width / 90))).found.filter(Number.isInteger)) {
        element('line', { class: 'axis', x1: this.x(i), x2: this.x(i), y1: bottom, y2: bottom + 4 }, svg);
        element('text', { x: this.x(i), y: this.height - 8, 'text-anchor': 'middle' }, svg).textContent = i;
      }
      for (const series of this.data.series) {
        let path = '';
        let pen = 'M';
        series.values.forEach((v, i) => {
          if (v === null) { pen = 'M'; return; }
          path += `${pen}${this.x(i).toFixed(1)} ${this.y(v).toFixed(1)}`;
          pen = 'L';
        });
        const k = series.color;
        element('path', { class: `line c${k % 6}`, d: path, 'stroke-dasharray': DASHES[k % 4] }, svg);
      }
      this.cursor = element('g', {}, svg);
      this.show(this.index);
    }

    point(event) {
      const box = this.plot.getBoundingClientRect();
      const share = (event.clientX - box.left - this.left) / (this.width - this.left - 10);
      this.show(Math.round(share * (this.data.frames.length - 1)));
    }

    key(event) {
      const last = this.data.frames.length - 1;
      const now = this.index ?? 0;
      const to = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: last, PageUp: now - 10, PageDown: now + 10 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      this.show(to);
    }

    show(index) {
      const { frames, series, digits } = this.data;
      this.index = index === null ? null : Math.min(frames.length - 1, Math.max(0, index));
      this.readout.replaceChildren();
      if (this.cursor) this.cursor.replaceChildren();
      const say = (text, strong) => {
        const span = document.createElement('span');
        span.append(text);
        if (strong !== undefined) {
          const b = document.createElement('b');
          b.textContent = strong;
          span.append(b);
        }
        this.readout.append(span);
      };
      if (this.index === null) {
        say('mean of the frames');
        for (const s of series) say(`${s.label} `, s.mean);
        return;
      }
      say('frame ', frames[this.index]);
      for (const s of series) {
        const v = s.values[this.index];
        say(`${s.label} `, v === null ? '∞' : v.toFixed(digits));
        if (this.cursor && v !== null) {
          element('circle', { class: `dot c${s.color % 6}`, cx: this.x(this.index), cy: this.y(v), r: 4.5 }, this.cursor);
        }
      }
      if (!this.cursor) return;
      const at = this.x(this.index);
      this.cursor.prepend(element('line', { class: 'cursor', x1: at, x2: at, y1: 8, y2: this.height - 26 }));
    }
  }

  class Viewer {
    constructor(root) {
      this.shots = [...root.querySelectorAll('.shot')];
      this.pick = root.querySelector('.pick-shot');
      this.sides = { left: root.querySelector('.pick-left'), right: root.querySelector('.pick-right') };
      this.range = root.querySelector('input[type="range"]');
      this.pick.addEventListener('change', () => this.change());
      for (const select of Object.values(this.sides)) select.addEventListener('change', () => this.update());
      this.range.addEventListener('input', () => this.update());
      root.querySelector('.swap').addEventListener('click', () => {
        const { left, right } = this.sides;
        [left.value, right.value] = [right.value, left.value];
        this.update();
      });
      for (const shot of this.shots) {
        const stage = shot.querySelector('.stage');
        const drag = (event) => {
          const box = stage.getBoundingClientRect();
          this.range.value = ((event.clientX - box.left) / box.width) * 100;
          this.update();
        };
        stage.addEventListener('pointerdown', (event) => { stage.setPointerCapture(event.pointerId); drag(event); });
        stage.addEventListener('pointermove', (event) => { if (event.buttons || event.pointerType === 'touch') drag(event); });
      }
      this.update();
    }

    /* Another frame may have other versions: keep those chosen where it has them. */
    change() {
      const shot = this.shots[Number(this.pick.value)];
      const names = [...shot.querySelectorAll('img')].map((image) => image.dataset.name);
      for (const [side, select] of Object.entries(this.sides)) {
        const wanted = names.includes(select.value) ? select.value : names[Number(shot.dataset[side])];
        select.replaceChildren(...names.map((name) => new Option(name, name)));
        select.value = wanted;
      }
      this.update();
    }

    update() {
      const current = this.shots[Number(this.pick.value)];
      const left = this.sides.left.value;
      const right = this.sides.right.value;
      const cut = Number(this.range.value);
      for (const shot of this.shots) shot.hidden = shot !== current;
      const stage = current.querySelector('.stage');
      stage.style.setProperty('--cut', `${cut}%`);
      for (const image of stage.querySelectorAll('img')) {
        const { name } = image.dataset;
        image.classList.toggle('on-left', name === left);
        image.classList.toggle('on-right', name === right);
        image.hidden = name !== left && name !== right;
      }
      this.tag(stage.querySelector('.tag.l'), stage, left, cut > 12);
      this.tag(stage.querySelector('.tag.r'), stage, right, cut < 88);
      this.range.setAttribute('aria-valuetext', `${Math.round(cut)} % ${left}, ${Math.round(100 - cut)} % ${right}`);
    }

    tag(node, stage, name, visible) {
      const image = [...stage.querySelectorAll('img')].find((i) => i.dataset.name === name);
      const small = document.createElement('small');
      small.textContent = image.dataset.figures;
      node.replaceChildren(name, small);
      node.hidden = !visible;
    }
  }

  document.querySelectorAll('.chart').forEach((figure) => new Chart(figure));
  document.querySelectorAll('.viewer').forEach((root) => new Viewer(root));
  document.documentElement.dataset.ready = 'yes';
})();
