// SPDX-License-Identifier: MIT

// Reads a phone book through go-ldap, with StartTLS and in pages; prints the uids, one a line.
// Usage: go run read.go HOST:PORT CERTIFICATE LOGIN PASSWORD BASE FILTER PAGE
package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log"
	"os"
	"strconv"

	"github.com/go-ldap/ldap"
)

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	server, login, password, base, filter := os.Args[1], os.Args[3], os.Args[4], os.Args[5], os.Args[6]
	certificate, err := os.ReadFile(os.Args[2])
	must(err)
	size, err := strconv.Atoi(os.Args[7])
	must(err)
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(certificate) {
		log.Fatal("no certificate in ", os.Args[2])
	}
	connection, err := ldap.DialURL("ldap://" + server)
	must(err)
	defer connection.Close()
	must(connection.StartTLS(&tls.Config{RootCAs: roots, ServerName: "localhost"}))
	must(connection.Bind(login, password))
	request := ldap.NewSearchRequest(
		base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false, filter, []string{"uid"}, nil)
	found, err := connection.SearchWithPaging(request, uint32(size))
	must(err)
	for _, entry := range found.Entries {
		fmt.Println(entry.GetAttributeValue("uid"))
	}
}
