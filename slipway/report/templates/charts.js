// The charts, drawn by plotly.js; the folder that is open is the same in treemap and table.

function layOut(more) {
    const axis = { gridcolor: color("line"), zerolinecolor: color("line"), automargin: true, fixedrange: true };
    return {
        ...LAYOUT,
        font: { color: color("text"), family: "system-ui, sans-serif" },
        legend: { orientation: "h", y: 1, yanchor: "bottom" },
        ...more,
        xaxis: { ...axis, ...more.xaxis },
        yaxis: { ...axis, ...more.yaxis },
    };
}

function drawSizes(place) {
    const shown = data.images.filter((image) => image.size).reverse();
    const names = shown.map((image) => image.name);
    const published = shown.flatMap((image) => image.published.map((row) => [image.name, row]));
    const traces = [
        {
            type: "bar",
            orientation: "h",
            name: "size",
            y: names,
            x: shown.map((image) => image.size / 1e9),
            marker: { color: color("size") },
            hovertemplate: "%{x:.2f} GB<extra></extra>",
        },
        {
            type: "scatter",
            mode: "markers",
            name: "budget",
            y: names,
            x: shown.map((image) => image.most / 1e9),
            hovertemplate: "at most %{x:.2f} GB<extra></extra>",
            marker: { symbol: "line-ns-open", size: 16, color: color("budget"), line: { width: 3 } },
        },
        {
            type: "scatter",
            mode: "markers",
            name: "published by others",
            y: published.map(([name]) => name),
            x: published.map(([, row]) => row.bytes / 1e9),
            text: published.map(([, row]) => plain(`${row.system} ${row.image}, ${row.claim}`)),
            hovertemplate: "%{text}: %{x:.1f} GB<extra></extra>",
            marker: { symbol: "diamond", size: 10, color: color("published") },
        },
    ];
    return [
        traces,
        layOut({
            height: 90 + 30 * names.length,
            xaxis: { title: { text: "GB" }, rangemode: "tozero" },
            yaxis: { type: "category" },
        }),
    ];
}

function drawTimes() {
    const colors = { build: color("size"), checks: color("passed"), audit: color("published"), scan: color("not-run") };
    const names = [...new Set(data.times.map((row) => row.image))].reverse();
    const traces = Object.keys(colors)
        .map((step) => {
            const rows = data.times.filter((row) => row.step === step);
            return {
                type: "bar",
                orientation: "h",
                name: step,
                y: rows.map((row) => row.image),
                base: rows.map((row) => row.begin.slice(0, 19)),
                x: rows.map((row) => row.seconds * 1000),
                width: 0.6,
                marker: { color: colors[step] },
                customdata: rows.map((row) => row.seconds),
                hovertemplate: `${step}: %{customdata:.1f} s<extra></extra>`,
            };
        })
        .filter((trace) => trace.y.length);
    return [
        traces,
        layOut({
            height: 100 + 26 * names.length,
            barmode: "overlay",
            xaxis: { type: "date" },
            yaxis: { type: "category", categoryarray: names },
        }),
    ];
}

function drawHistory(place, image) {
    const dates = image.history.map((row) => row.built.slice(0, 19));
    const line = (name, values, shade, axis) => ({
        type: "scatter",
        mode: "lines+markers",
        name,
        x: dates,
        y: values,
        yaxis: axis,
        line: { color: shade },
        connectgaps: false,
    });
    const traces = [
        line(
            "size (GB)",
            image.history.map((row) => row.bytes && row.bytes / 1e9),
            color("size"),
            "y",
        ),
        line(
            "build (s)",
            image.history.map((row) => row.build_seconds),
            color("published"),
            "y2",
        ),
        line(
            "checks (s)",
            image.history.map((row) => row.check_seconds),
            color("passed"),
            "y2",
        ),
    ];
    const seconds = {
        title: { text: "s" },
        rangemode: "tozero",
        domain: [0, 0.44],
        gridcolor: color("line"),
        automargin: true,
        fixedrange: true,
    };
    return [traces, layOut({ height: 360, yaxis: { title: { text: "GB" }, domain: [0.56, 1] }, yaxis2: seconds })];
}

function drawTree(place, image) {
    const trace = {
        type: "treemap",
        ...flatten(image.tree),
        branchvalues: "total",
        maxdepth: 8,
        pathbar: { visible: true },
        textfont: { color: "#fff" },
        texttemplate: "%{label}<br>%{customdata}",
        hovertemplate: "%{label}<br>%{customdata}, %{percentParent:.1%} of the folder<extra></extra>",
        marker: { line: { color: color("back"), width: 1 }, depthfade: false },
        tiling: { pad: 2 },
    };
    trace.customdata = trace.values.map(bytes);
    return [
        [trace],
        {
            ...LAYOUT,
            height: Math.min(520, innerHeight * 0.7),
            treemapcolorway: FOLDERS,
            font: { family: "system-ui, sans-serif" },
        },
    ];
}

const DRAWINGS = { sizes: drawSizes, times: drawTimes, history: drawHistory, tree: drawTree };

// On paper charts are narrower and light; a browser draws the paper when the event has been handled.
function drawForPrint(printing) {
    document.documentElement.classList.toggle("printing", printing);
    drawVisible();
}

async function drawVisible() {
    if (!window.Plotly) return;
    const printing = document.documentElement.classList.contains("printing");
    for (const place of document.querySelectorAll(".view.current .plot")) {
        const image = images.get(place.dataset.image);
        const [traces, layout] = DRAWINGS[place.dataset.plot](place, image);
        if (traces[0].type === "treemap" && place.data) traces[0].level = place.data[0].level;
        const drawn = Plotly.react(place, traces, { ...layout, width: printing ? PAPER : place.clientWidth }, CONFIG);
        if (place.dataset.plot === "tree" && !place.dataset.ready) {
            place.dataset.ready = "yes";
            await drawn;
            place.on("plotly_treemapclick", (event) => {
                if (event.nextLevel) openFolder(image, event.nextLevel);
            });
        }
    }
}

async function loadPlotly() {
    const packed = Uint8Array.from(atob(document.getElementById("plotly").textContent), (letter) =>
        letter.charCodeAt(0),
    );
    const text = await new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
    document.head.append(make("script", {}, text));
}
