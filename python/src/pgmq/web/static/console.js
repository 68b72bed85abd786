// Renews what is live on the page every two seconds, and helps with selecting and copying. Everything
// else works without it.
"use strict";

const state = document.getElementById("state");

function renew(fresh, old) {
    if (fresh && fresh.innerHTML !== old.innerHTML && !old.contains(document.activeElement)) {
        const places = [...old.querySelectorAll(".wide")].map((each) => each.scrollLeft);
        old.innerHTML = fresh.innerHTML;
        old.querySelectorAll(".wide").forEach((each, i) => { each.scrollLeft = places[i] || 0; });
        prepare(old);
    }
}

async function refresh() {
    if (document.hidden) return;
    try {
        const answer = await fetch(location.href, { redirect: "error", cache: "no-store" });
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        document.querySelectorAll("[data-live]").forEach((old) => {
            renew(page.getElementById(old.id), old);
        });
        if (answer.status === 401) location.reload();
    } catch {
        state.textContent = "";
        const notice = document.createElement("p");
        notice.className = "notice bad";
        notice.textContent = "The console does not answer. This page goes on as soon as it does.";
        state.append(notice);
    }
}

async function refreshForGood() {
    await refresh();
    setTimeout(refreshForGood, 2000);
}

function prepare(part) {
    part.querySelectorAll("[data-copy]").forEach((button) => { button.hidden = false; });
}

document.addEventListener("click", async ({ target }) => {
    if (target.matches("[data-copy]")) {
        await navigator.clipboard.writeText(target.parentNode.querySelector("code").textContent);
        target.textContent = "Copied";
    }
});
document.addEventListener("change", ({ target }) => {
    if (target.matches("[data-all]")) {
        target.closest("table").querySelectorAll("input[name=ids]").forEach((each) => {
            each.checked = target.checked;
        });
    }
});

prepare(document);
// What a form has answered is not asked for again.
if (document.querySelector("[data-live]") && !document.querySelector("[data-still]")) {
    setTimeout(refreshForGood, 2000);
}
