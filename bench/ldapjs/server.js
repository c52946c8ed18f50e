// SPDX-License-Identifier: MIT
// ldapjs as its documentation shows it: a loop over all entries, with the filter's own matches().  Arguments: PORT FILE
// (an LDIF file).  Its filters know upper from lower case, so they look at copies in lower case.
import { readFileSync } from 'node:fs'
import ldap from 'ldapjs'

function attribute (line) {
  const [, name, colons, value] = line.match(/^([^:]+)(::?) ?(.*)$/)
  return [name, colons === '::' ? Buffer.from(value, 'base64').toString() : value]
}

function entry (block) {
  const [[, dn], ...values] = block.trim().split('\n').map(attribute)
  const attributes = {}
  const lowered = {}
  for (const [name, value] of values) {
    (attributes[name] ??= []).push(value);
    (lowered[name] ??= []).push(value.toLowerCase())
  }
  return { dn, attributes, lowered }
}

const [port, file] = process.argv.slice(2)
const entries = readFileSync(file, 'utf8').trim().split('\n\n').map(entry)
const suffix = entries[0].dn
const phone = entries.find(one => one.attributes.userPassword)
const people = entries.filter(one => one.attributes.uid)
const server = ldap.createServer()

server.bind(phone.dn, (req, res, next) => {
  if (!phone.attributes.userPassword.includes(req.credentials)) return next(new ldap.InvalidCredentialsError())
  res.end()
  return next()
})

server.search(suffix, (req, res, next) => {
  let left = req.sizeLimit || people.length
  for (const one of people) {
    if (!req.filter.matches(one.lowered)) continue
    if (left-- === 0) return next(new ldap.SizeLimitExceededError())
    res.send({ dn: one.dn, attributes: { ...one.attributes } })
  }
  res.end()
  return next()
})

server.listen(Number(port), '127.0.0.1')
