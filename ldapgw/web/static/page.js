// SPDX-License-Identifier: MIT
// What pages can do besides: copy buttons.  Everything else works without this file.
for (const button of document.querySelectorAll("[data-copy]")) button.hidden = false;
