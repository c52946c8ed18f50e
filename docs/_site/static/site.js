// SPDX-License-Identifier: MIT
// What the theme leaves out for people who use a screen reader or a keyboard.
document.querySelector(".sidebar-drawer")?.setAttribute("aria-label", "Site");
document.querySelector(".toc-drawer")?.setAttribute("aria-label", "On this page");
for (const caption of document.querySelectorAll('.caption[role="heading"]')) caption.setAttribute("aria-level", "2");

// What scrolls sideways can be scrolled with the keyboard.
const reach = () => {
  for (const box of document.querySelectorAll("article pre, article .table-wrapper")) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  }
};
addEventListener("load", reach);
addEventListener("resize", reach);

// The site of a release is beside those of other releases, and versions.js names them all.
const root = new URL(document.documentElement.dataset.content_root ?? ".", location.href);
const shown = root.pathname.match(/\/docs-([^/]+)\/$/)?.[1];
const brand = document.querySelector(".sidebar-brand");
if (shown && brand) {
  const script = document.createElement("script");
  script.src = new URL("../versions.js", root);
  script.addEventListener("load", () => {
    const menu = document.createElement("select");
    menu.className = "versions";
    menu.setAttribute("aria-label", "Version");
    menu.append(...versions.map((version) => new Option(version, version, false, version === shown)));
    menu.addEventListener("change", () => location.assign(new URL(`../docs-${menu.value}/`, root)));
    brand.after(menu);
  });
  document.head.append(script);
}
