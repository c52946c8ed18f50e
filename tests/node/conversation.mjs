// SPDX-License-Identifier: MIT
// Holds one conversation through ldapts and prints what came of it as JSON.
// Usage: node conversation.mjs '{"url", "certificate", "startTls", "login", "password", "base", "person"}'

import { readFileSync } from "node:fs";
import { Attribute, Change, Client, ServerSideSortingRequestControl } from "ldapts";

const asked = JSON.parse(process.argv[2]);
const trust = { ca: [readFileSync(asked.certificate)], minVersion: "TLSv1.2" };
const secure = asked.url.startsWith("ldaps:");

async function refused(attempt) {
  try {
    await attempt();
    return 0;
  } catch (error) {
    return error.code;
  }
}

const client = new Client({
  url: asked.url,
  timeout: 5000,
  connectTimeout: 5000,
  ...(secure ? { tlsOptions: trust } : {}),
});
const found = {};
try {
  if (asked.startTls) await client.startTLS(trust);
  found.anonymous = await refused(() => client.search(asked.base));
  found.wrong = await refused(() => client.bind(asked.login, "guess"));
  await client.bind(asked.login, asked.password);
  found.whoami = (await client.exop("1.3.6.1.4.1.4203.1.11.3")).value?.toString();

  const persons = { scope: "sub", filter: "(objectClass=inetOrgPerson)", attributes: ["cn", "sn"] };
  const all = await client.search(asked.base, persons);
  found.all = all.searchEntries.map((entry) => entry.dn);

  found.pages = [];
  for await (const page of client.searchPaginated(asked.base, { ...persons, paged: { pageSize: 7 } })) {
    found.pages.push(page.searchEntries.map((entry) => entry.dn));
  }

  const sort = new ServerSideSortingRequestControl({
    value: [{ attributeType: "sn", reverseOrder: true }],
    critical: true,
  });
  found.sorted = (await client.search(asked.base, persons, sort)).searchEntries.map((entry) => entry.dn);

  const schema = await client.search("cn=subschema", { scope: "base", attributes: ["objectClasses"] });
  found.classes = schema.searchEntries[0].objectClasses;

  found.entry = (await client.search(asked.person, { scope: "base" })).searchEntries[0];
  found.compared = await client.compare(asked.person, "cn", found.entry.cn);
  const change = new Change({
    operation: "replace",
    modification: new Attribute({ type: "cn", values: ["other"] }),
  });
  found.refused = [
    await refused(() => client.add(`uid=new,${asked.base}`, { objectClass: "inetOrgPerson", cn: "n", sn: "n" })),
    await refused(() => client.modify(asked.person, change)),
    await refused(() => client.modifyDN(asked.person, `uid=other,${asked.base}`)),
    await refused(() => client.del(asked.person)),
  ];
} finally {
  await client.unbind();
}
console.log(JSON.stringify(found));
