"use strict";
// Shows one view at a time, and makes charts and the tables that are too long to be in the page twice. Every text of an
// image gets into the page as text: textContent in tables, plain() in charts, whose labels would take markup.

const data = JSON.parse(document.getElementById("data").textContent);
const images = new Map(data.images.map((image) => [image.name, image]));
const dark = matchMedia("(prefers-color-scheme: dark)");
const LAYOUT = { margin: { l: 8, r: 8, t: 8, b: 8 }, paper_bgcolor: "transparent", plot_bgcolor: "transparent" };
const FOLDERS = ["#2f5f9e", "#8a4b08", "#2c6e49", "#7a3b69", "#5b5b5b", "#8c2f39"]; // white text is readable on each
const PAPER = 660; // pixels of A4 between its margins
const CONFIG = { displayModeBar: false };

function make(name, attributes, ...children) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
}

function makeButton(text, act) {
    const button = make("button", { type: "button", class: "plain" }, text);
    button.addEventListener("click", act);
    return button;
}

function bytes(number) {
    if (number === null || number === undefined) return "-";
    for (const [unit, size] of [
        ["GB", 1e9],
        ["MB", 1e6],
        ["kB", 1e3],
    ]) {
        const value = number / size;
        if (Math.abs(value) >= 0.9995)
            return `${value.toFixed(Math.abs(value) < 10 ? 2 : Math.abs(value) < 100 ? 1 : 0)} ${unit}`;
    }
    return `${number} B`;
}

function color(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function plain(text) {
    return text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}

function markOutcome(word) {
    return make("span", { class: `outcome ${word.replace(" ", "-")}` }, word);
}

// A table with a filter and with columns that sort. columns: title, cell(row), and value(row) where numbers sort.
function makeTable(label, columns, rows, choices) {
    const input = make("input", { type: "search", size: 24 });
    const select = make(
        "select",
        {},
        make("option", { value: "" }, "all"),
        ...(choices || []).map((word) => make("option", {}, word)),
    );
    const count = make("output", {});
    const body = make("tbody", {});
    const heads = columns.map((column) => make("th", { scope: "col", ...(column.value ? { class: "number" } : {}) }));
    let order = null;
    const texts = new Map(rows.map((row) => [row, row.text.toLowerCase()]));

    function show() {
        const wanted = input.value.toLowerCase();
        const shown = rows.filter(
            (row) => texts.get(row).includes(wanted) && (!select.value || row.choice === select.value),
        );
        if (order) {
            const { column, sign } = order;
            const key = column.value || ((row) => column.text(row).toLowerCase());
            shown.sort((a, b) => sign * (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0));
        }
        body.replaceChildren(
            ...shown.map((row) =>
                make(
                    "tr",
                    {},
                    ...columns.map((column, number) => {
                        const attributes = column.value ? { class: "number" } : {};
                        return make(
                            number ? "td" : "th",
                            number ? attributes : { ...attributes, scope: "row" },
                            column.cell ? column.cell(row) : column.text(row),
                        );
                    }),
                ),
            ),
        );
        count.textContent = `${shown.length} of ${rows.length}`;
    }

    columns.forEach((column, number) => {
        heads[number].append(
            makeButton(column.title, () => {
                const sign = order && order.column === column ? -order.sign : column.value ? -1 : 1;
                order = { column, sign };
                heads.forEach((head) => head.removeAttribute("aria-sort"));
                heads[number].setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
                show();
            }),
        );
    });
    input.addEventListener("input", show);
    select.addEventListener("change", show);
    const filter = make("div", { class: "filter" }, make("label", {}, "Filter ", input));
    if (choices) filter.append(make("label", {}, "Only ", select));
    filter.append(count);
    show();
    const table = make("table", {}, make("thead", {}, make("tr", {}, ...heads)), body);
    return [filter, make("div", { class: "scroll tall", role: "region", tabindex: "0", "aria-label": label }, table)];
}
