// The tables of components, checks and folders, and the comparison of two images.

// --- components, checks, comparison --------------------------------------------------------------

function nameAdvisory(text) {
    const found = /^(\w+) (CVE-\d{4}-\d+)(?= )/.exec(text);
    if (!found) return make("div", {}, text);
    const link = make("a", { href: `https://www.cve.org/CVERecord?id=${found[2]}`, rel: "noreferrer" }, found[2]);
    return make("div", {}, `${found[1]} `, link, text.slice(found[0].length));
}

function listComponents(image) {
    return image.components.map(([index, size, pull]) => {
        const [kind, name, version, licenses, advisories] = data.components[index];
        const text = [kind, name, version, ...licenses, ...advisories].join(" ");
        return { kind, name, version, licenses, advisories, size, pull, text, choice: kind };
    });
}

function makeComponents(image) {
    const rows = listComponents(image);
    if (!rows.length) return [make("p", {}, "no component is known")];
    return makeTable(
        `Components of ${image.name}`,
        [
            { title: "component", text: (row) => row.name },
            { title: "version", text: (row) => row.version },
            { title: "kind", text: (row) => row.kind },
            { title: "size", text: (row) => bytes(row.size), value: (row) => row.size ?? -1 },
            { title: "an update pulls", text: (row) => bytes(row.pull), value: (row) => row.pull ?? -1 },
            {
                title: "license",
                text: (row) => row.licenses.join(", "),
                cell: (row) => make("div", { class: "license" }, row.licenses.join(", ")),
            },
            {
                title: "advisories",
                text: (row) => row.advisories.join(" "),
                cell: (row) => make("div", {}, ...row.advisories.map(nameAdvisory)),
            },
        ],
        rows,
        [...new Set(rows.map((row) => row.kind))].sort(),
    );
}

function makeChecks(image) {
    const rows = image.checks.map(([index, outcome, reason, seconds, output]) => {
        const [name, requirements] = data.checks[index];
        return {
            name,
            requirements,
            outcome,
            reason,
            seconds,
            output,
            choice: outcome,
            text: [name, reason, ...requirements].join(" "),
        };
    });
    if (!rows.length) return [make("p", {}, "no check has run")];
    const explain = (row) =>
        make(
            "div",
            { class: "long" },
            row.reason,
            ...(row.output ? [make("details", {}, make("summary", {}, "output"), make("pre", {}, row.output))] : []),
        );
    return makeTable(
        `Checks of ${image.name}`,
        [
            { title: "check", text: (row) => row.name, cell: (row) => make("div", { class: "long" }, row.name) },
            { title: "outcome", text: (row) => row.outcome, cell: (row) => markOutcome(row.outcome) },
            { title: "requirements", text: (row) => row.requirements.join(" ") },
            { title: "seconds", text: (row) => row.seconds.toFixed(1), value: (row) => row.seconds },
            { title: "reason", text: (row) => row.reason, cell: explain },
        ],
        rows,
        ["failed", "not run", "passed"],
    );
}

function listChanges(first, second) {
    const both = new Map();
    [first, second].forEach((image, side) => {
        for (const each of listComponents(image)) {
            const key = `${each.kind} ${each.name}`;
            if (!both.has(key))
                both.set(key, [
                    { versions: [], size: 0 },
                    { versions: [], size: 0 },
                ]);
            both.get(key)[side].versions.push(each.version);
            both.get(key)[side].size += each.size ?? 0;
        }
    });
    return [...both]
        .map(([key, [before, after]]) => {
            const versions = [before, after].map((side) => side.versions.join(", ") || "not there");
            return { key, versions, change: after.size - before.size, text: `${key} ${versions.join(" ")}` };
        })
        .filter((row) => row.change || row.versions[0] !== row.versions[1])
        .sort((a, b) => Math.abs(b.change) - Math.abs(a.change));
}

function compare() {
    const form = document.getElementById("compare");
    const [first, second] = [images.get(form.elements.first.value), images.get(form.elements.second.value)];
    const have = new Set(first.layers.map(([digest]) => digest));
    const parts = [];
    if (first.size && second.size) {
        const difference = second.size - first.size;
        parts.push(
            `${first.name} has ${bytes(first.size)}, ${second.name} ${bytes(second.size)}: ${bytes(Math.abs(difference))} ${difference < 0 ? "less" : "more"}. `,
        );
    }
    if (first.layers.length && second.layers.length) {
        const own = new Map(second.layers.filter(([digest]) => !have.has(digest)));
        const pulled = [...own.values()].reduce((sum, size) => sum + size, 0);
        parts.push(`Whoever has ${first.name} pulls ${bytes(pulled)} for ${second.name}.`);
    } else {
        parts.push("What one pulls beside the other is not known: the contents of both must be measured.");
    }
    const known = first.components.length && second.components.length;
    const rows = known ? listChanges(first, second) : [];
    const signed = (row) => (row.change > 0 ? "+" : row.change < 0 ? "−" : "") + bytes(Math.abs(row.change));
    document.getElementById("compared").replaceChildren(
        make("p", {}, ...parts),
        ...(rows.length
            ? makeTable(
                  "Differences",
                  [
                      { title: "component", text: (row) => row.key },
                      { title: first.name, text: (row) => row.versions[0] },
                      { title: second.name, text: (row) => row.versions[1] },
                      { title: "change", text: signed, value: (row) => row.change },
                  ],
                  rows,
              )
            : [make("p", {}, known ? "No component differs." : "Their components are not known.")]),
    );
}

// --- contents ------------------------------------------------------------------------------------

// The open folder is a list of indexes from the root. The treemap and the table show the same folder.
function flatten(tree) {
    const found = { ids: [], labels: [], parents: [], values: [] };
    (function add([name, size, , children], id, parent) {
        found.ids.push(id);
        found.labels.push(plain(name));
        found.parents.push(parent);
        found.values.push(size);
        children.forEach((child, number) => add(child, `${id}.${number}`, id));
    })(tree, "0", "");
    return found;
}

function openFolder(image, id) {
    const place = document.querySelector(`[data-table=tree][data-image="${image.name}"]`);
    const trail = id
        .split(".")
        .slice(1)
        .reduce((folders, number) => [...folders, folders.at(-1)[3][number]], [image.tree]);
    const folder = trail.at(-1);
    const steps = trail.map((each, depth) =>
        make(
            "li",
            {},
            depth ? "› " : "",
            makeButton(each[0], () =>
                goTo(
                    image,
                    id
                        .split(".")
                        .slice(0, depth + 1)
                        .join("."),
                ),
            ),
        ),
    );
    const rows = folder[3].map((child, number) =>
        make(
            "tr",
            {},
            make(
                "th",
                { scope: "row" },
                child[3].length ? makeButton(child[0], () => goTo(image, `${id}.${number}`)) : child[0],
            ),
            make("td", { class: "number" }, bytes(child[1])),
            make("td", { class: "number" }, folder[1] ? `${((100 * child[1]) / folder[1]).toFixed(1)} %` : ""),
            make("td", {}, child[2]),
        ),
    );
    const head = make(
        "tr",
        {},
        ...["folder or file", "size", "of this folder", "component"].map((title, number) =>
            make("th", { scope: "col", ...(number === 1 || number === 2 ? { class: "number" } : {}) }, title),
        ),
    );
    place.replaceChildren(
        make("ol", { class: "path", "aria-label": "Open folder" }, ...steps),
        make(
            "div",
            { class: "scroll tall", role: "region", tabindex: "0", "aria-label": `Folders of ${image.name}` },
            make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows)),
        ),
    );
    return place;
}

function goTo(image, id) {
    const place = openFolder(image, id);
    place.querySelector(".path li:last-child button").focus();
    const chart = document.querySelector(`.plot[data-plot=tree][data-image="${image.name}"]`);
    if (chart.data) Plotly.restyle(chart, { level: id });
}
