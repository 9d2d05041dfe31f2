package main

import (
	"fmt"
	"slices"
	"strings"
)

// lines are what to try, each in the process of a service. README.md has the same.
var lines = []struct{ role, line string }{
	{customers, `curl -s --json '{"customer_id":"0a000000-0000-4000-8000-000000000001","name":"Ada","email":"ada@example.com","addresses":[{"street":"Main Street 1","city":"Kiel"}]}' %s/customers`},
	{customers, `curl -s --json '{"customer_id":"0a000000-0000-4000-8000-000000000001","name":"Ada L.","email":"ada@example.com","addresses":[]}' %s/customers/update`},
	{products, `curl -s --json '{"product_id":"0b000000-0000-4000-8000-000000000001","name":"Teapot","price":4200}' %s/products`},
	{products, `curl -s --json '{"product_id":"0b000000-0000-4000-8000-000000000001"}' %s/products/view`},
	{readers, `curl -s --json '{"id":"0a000000-0000-4000-8000-000000000001"}' %s/reader/find`},
	{readers, `curl -s --json '{"id":"0b000000-0000-4000-8000-000000000001"}' %s/reader/find`},
	{customers, `curl -s --json '{"topic":"%scustomer-events","type":"customer.updated","key":"nobody","data":{"customer_id":"nobody"}}' %s/customers/publish`},
	{"", `curl -s %s/services`},
	{"", `curl -s %s/openapi.json`},
}

// welcome says what to try.
func welcome(o *options, url string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "The shop (%s) is at %s\nTry:\n\n", strings.Join(o.Roles, ", "), url)
	for _, l := range lines {
		if l.role != "" && !slices.Contains(o.Roles, l.role) {
			continue
		}
		args := []any{url}
		if strings.Count(l.line, "%s") == 2 {
			args = []any{o.Prefix, url}
		}
		fmt.Fprintf(&b, l.line+"\n", args...)
	}
	if o.embedded && len(o.Roles) > 1 {
		fmt.Fprintf(&b, "\nThen look at the event that could not be read, and start a second reader, which shares the work:\n\n"+
			"go run ./cmd/tidings deadletters list --store '%s'\n"+
			"go run ./examples/shop --data '%s' --role reader --addr 127.0.0.1:0\n", strings.ReplaceAll(o.Store, placeholder, readers), o.data)
	}
	b.WriteString("\nPress Ctrl-C to end.\n")
	return b.String()
}
