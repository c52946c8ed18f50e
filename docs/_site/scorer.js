// SPDX-License-Identifier: MIT
// The order of what the site's search finds: what helps to use and run a gateway comes before why it is built as it is.
const FOLDERS = [
  ["how-to/troubleshooting", 9],
  ["how-to/messages", 9],
  ["reference/operations", 6],
  ["how-to/", 6],
  ["tutorials/", 5],
  ["employees", 4],
  ["faq", 4],
  ["reference/phones", 5],
  ["reference/", 4],
  ["privacy", 3],
  ["explanation/architecture", 0],
  ["explanation/", 2],
  ["project/", -4],
];
var Scorer = {
  score: ([docname, , , , score]) => score + (FOLDERS.find(([folder]) => docname.startsWith(folder))?.[1] ?? 0),
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
