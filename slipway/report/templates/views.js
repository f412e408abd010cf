// One view is shown at a time: the overview, or an image.

const TABLES = { components: makeComponents, checks: makeChecks };

function showView() {
    const wanted = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const view = wanted && wanted.classList.contains("view") ? wanted : document.getElementById("overview");
    document.querySelectorAll(".view").forEach((each) => each.classList.toggle("current", each === view));
    document.getElementById("go").value = view.id;
    for (const place of view.querySelectorAll("[data-table]:empty")) {
        const image = images.get(place.dataset.image);
        if (place.dataset.table === "tree") openFolder(image, "0");
        else place.append(...TABLES[place.dataset.table](image));
    }
    if (wanted === view) view.querySelector("h2").focus();
    scrollTo(0, 0);
    return drawVisible();
}

function start() {
    document.documentElement.classList.add("script");
    const form = document.getElementById("compare");
    for (const select of [form.elements.first, form.elements.second])
        select.append(...data.images.map((image) => make("option", {}, image.name)));
    form.elements.second.selectedIndex = Math.min(1, data.images.length - 1);
    form.addEventListener("change", compare);
    form.addEventListener("submit", (event) => event.preventDefault());
    compare();
    document.getElementById("go").addEventListener("change", (event) => {
        location.hash = event.target.value;
    });
    addEventListener("hashchange", showView);
    dark.addEventListener("change", drawVisible);
    addEventListener("resize", drawVisible);
    addEventListener("beforeprint", () => drawForPrint(true));
    addEventListener("afterprint", () => drawForPrint(false));
    showView();
    loadPlotly()
        .then(drawVisible)
        .then(() => {
            document.documentElement.dataset.ready = "yes";
        })
        .catch((error) => {
            const problem = document.getElementById("problem");
            problem.hidden = false;
            problem.textContent = `No chart can be drawn in this browser (${error.message}); the tables have all figures.`;
        });
}

start();
